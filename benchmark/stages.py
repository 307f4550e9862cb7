"""Seconds that each stage takes for a clip, beside the least that this machine could take.

    python benchmark/stages.py --clip CLIP.mp4

The floor of decoding is FFmpeg decoding all frames and no more. The floor of a network is its
multiplications and additions over what one matrix product reaches, in the same engine, precision
and run. The floor of looking for faces is reading the pictures once: a bound that nothing reaches.
"""

import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnx

from measuring import parser, report, seconds_of, told
from mien.bundle import Bundle, Networks, load_bundle
from mien.config import SpeechConfig
from mien.detectors import HaarDetector
from mien.embed import hash_file
from mien.faces import follow_faces
from mien.graphs import open_graph
from mien.media import Clip, Frame, open_clip
from mien.speech import speech_features
from mien.trial import open_networks
from random_paper import random_paper

TOKENS, WIDTH, INNER = 22 * 197, 768, 3072
"""Of the matrix product: that of a block's perceptron, for the faces of a clip."""


def operations(path: Path) -> int:
    """Count the multiplications and additions of an ONNX file's matrices, for a batch of one."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(path), data_prop=True).graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        shapes[value.name] = [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
    return sum(_operations(node, shapes) for node in graph.node)


def _operations(node: Any, shapes: dict[str, list[int]]) -> int:
    if node.op_type == "Conv":
        return 2 * math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])
    if node.op_type in {"MatMul", "Gemm"}:
        return 2 * math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    return 0


def matrix_rate(precision: str, *, times: int, tokens: int = TOKENS) -> float:
    """Give the operations a second of one large matrix product, as the embedder would run it."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    chance = np.random.default_rng(0)
    weights = onnx.numpy_helper.from_array(
        chance.normal(size=(WIDTH, INNER)).astype(np.float32), "weights"
    )
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["rows", "weights"], ["product"], name="product")],
        "product",
        [helper.make_tensor_value_info("rows", kind, ["batch", WIDTH])],
        [helper.make_tensor_value_info("product", kind, ["batch", INNER])],
        [weights],
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "product.onnx"
        opset = [helper.make_opsetid("", 21)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
        opened = open_graph(path, sha256=hash_file(path), precision=precision)
    rows = chance.normal(size=(tokens, WIDTH)).astype(np.float32)
    return 2 * tokens * WIDTH * INNER / seconds_of(partial(opened.run, rows), times=times)


def plain_decode(clip: Path) -> int:
    """Decode all frames and no more; give how many there are."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        return sum(1 for _ in container.decode(stream))


def _opened(clip: Path, bundle: Bundle) -> tuple[Clip, list[Frame]]:
    config = bundle.config
    with open_clip(
        clip,
        frames=config.faces.frames,
        sample_rate=config.speech.sample_rate,
        samples=config.speech.samples,
    ) as opened:
        return opened, list(opened.frames())


def _speech_operations(config: SpeechConfig) -> float:
    fft = 2.5 * config.frame_length * math.log2(config.frame_length)
    mel = 2 * (config.frame_length // 2 + 1) * config.mel_bands
    return config.frames * (fft + mel + 2 * config.mel_bands * config.mfcc)


def rows_of(clip: Path, bundle: Bundle, *, precision: str, times: int) -> Iterator[dict[str, Any]]:
    """Measure the stages of one bundle, one after the other and not overlapped."""
    networks = open_networks(bundle, device="cpu", precision=precision)
    embedder = networks.embedder
    opened, frames = _opened(clip, bundle)
    crops = follow_faces(frames, config=bundle.config.faces, detector=HaarDetector()).crops
    if embedder is None or crops is None or opened.waveform is None:
        return
    embeddings = embedder.embed(crops)
    speech = bundle.config.speech
    heard = speech_features(opened.waveform, config=speech)[None]
    detector = HaarDetector()
    exact = matrix_rate("f32", times=times)
    rate = matrix_rate(embedder.precision, times=times)
    floors = {
        "decode": seconds_of(partial(plain_decode, clip), times=times),
        "faces": seconds_of(lambda: [frame.image.copy() for frame in frames], times=times),
        "embed": len(crops) * operations(_file(bundle, "embedder")) / rate,
        "audio": _speech_operations(speech) / exact,
        "networks": sum(operations(_file(bundle, part)) for part in ("audio", "video")) / exact,
    }
    stages: dict[str, Callable[[], object]] = {
        "decode": lambda: _opened(clip, bundle),
        "faces": lambda: follow_faces(frames, config=bundle.config.faces, detector=detector),
        "embed": lambda: embedder.embed(crops),
        "audio": lambda: speech_features(opened.waveform, config=speech),  # type: ignore[arg-type]
        "networks": lambda: _answers(networks, heard, embeddings[None]),
    }
    for name, stage in stages.items():
        seconds = seconds_of(stage, times=times)
        yield {
            "bundle": bundle.name,
            "precision": embedder.precision,
            "stage": name,
            "seconds": seconds,
            "floor": floors[name],
            "times the floor": seconds / floors[name],
        }


def _file(bundle: Bundle, part: str) -> Path:
    path = bundle.file(part)
    assert path is not None  # noqa: S101 - asked for only where the bundle has it
    return path


def _answers(networks: Networks, heard: np.ndarray, seen: np.ndarray) -> None:
    networks.answer("audio", heard)
    networks.answer("video", seen)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every stage of the default bundle and of the paper's system."""
    made = parser(__doc__)
    made.add_argument("--precision", default="auto")
    made.add_argument("--bundle", type=Path, action="append", help="instead of these two")
    given = made.parse_args(arguments)
    with told("stages"):
        paths = given.bundle or [None, random_paper() / "bundle"]
        rows = [
            row
            for path in paths
            for row in rows_of(
                given.clip, load_bundle(path), precision=given.precision, times=given.times
            )
        ]
        report("stages", rows, results=given.results, clip=given.clip.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
