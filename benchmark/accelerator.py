"""Clips a second with the embedder on an accelerator, and where the time goes.

    python benchmark/accelerator.py --clip CLIP.mp4 --clips 64

ViT-B/16 by ONNX Runtime's CUDA (the package onnxruntime-gpu) and by JAX, whichever finds a device.
Decoding and looking for faces stay on the processor's cores.
"""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import mien.lab  # noqa: F401

# isort: split
import jax
import numpy as np
import onnxruntime

from measuring import parser, report, seconds_of, told
from mien.ahead import in_order
from mien.bundle import load_bundle
from mien.detectors import HaarDetector
from mien.embed import Embedder
from mien.faces import follow_faces
from mien.lab import vit
from mien.lab.weights import load
from mien.media import open_clip
from mien.recognise import Recogniser
from random_paper import random_paper

Embed = Callable[[np.ndarray], np.ndarray]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every library that finds an accelerator."""
    made = parser(__doc__)
    made.add_argument("--clips", type=int, default=64)
    made.add_argument("--any", action="store_true", help="JAX on the processor too: for tests")
    made.add_argument("--paper", type=Path, help="folder that random_paper made; ViT-B/16's else")
    given = made.parse_args(arguments)
    on_jax = jax.default_backend() != "cpu" or given.any
    on_cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if not (on_jax or on_cuda):
        print("accelerator: neither JAX nor ONNX Runtime finds one here", file=sys.stderr)
        return 0
    with told("accelerator"):
        folder = given.paper or random_paper()
        bundle = folder / "bundle"
        ways: dict[str, Embed] = {}
        if on_cuda:
            ways["ONNX Runtime, CUDA"] = Embedder(bundle / "embedder.onnx", device="cuda").embed
        if on_jax:
            ways[f"JAX, {jax.devices()[0].device_kind}"] = jax_embedder(folder / "hf")
        rows = [
            _row(name, embed, bundle, given.clip, clips=given.clips, times=given.times)
            for name, embed in ways.items()
        ]
        report("accelerator", rows, results=given.results, clip=given.clip.name)
    return 0


def jax_embedder(folder: Path, *, crop_size: int = 48) -> Embed:
    """Load a Vision Transformer into JAX, compiled once for each number of faces."""
    encoder = load(folder)
    model = vit.embedder(encoder.network, encoder.preparation, crop_size=crop_size)
    compiled = jax.jit(lambda crops: model(crops, training=False))
    return lambda crops: np.asarray(compiled(crops.astype(np.float32)))


def _row(  # noqa: PLR0913 - each is one thing to measure with
    name: str, embed: Embed, bundle: Path, clip: Path, *, clips: int, times: int
) -> dict[str, Any]:
    recogniser = Recogniser(bundle, precision="f32")
    answering: Any = recogniser._answering
    answering.embed = embed
    crops = _crops(bundle, clip)
    alone = seconds_of(partial(embed, crops), times=times)
    seen = seconds_of(lambda: _crops(bundle, clip), times=times)
    recogniser.predict(clip)
    start = time.perf_counter()
    list(recogniser.predict_each([clip] * clips))
    whole = time.perf_counter() - start
    start = time.perf_counter()
    list(in_order(partial(_crops, bundle), [clip] * clips))
    cores = time.perf_counter() - start
    return {
        "embedder": name,
        "clips a second": clips / whole,
        "without embedding": clips / cores,
        "seconds to embed a clip": alone,
        "seconds to decode and see": seen,
    }


def _crops(bundle: Path, clip: Path) -> np.ndarray:
    config = load_bundle(bundle).config
    with open_clip(
        clip, frames=config.faces.frames, sample_rate=config.speech.sample_rate, samples=1
    ) as opened:
        found = follow_faces(opened.frames(), config=config.faces, detector=HaarDetector())
    assert found.crops is not None  # noqa: S101 - the clip shows a face
    return found.crops


if __name__ == "__main__":
    sys.exit(main())
