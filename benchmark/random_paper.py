"""The paper's system with random weights, in the formats of mien and of those it is built from.

Time does not depend on what weights are. The last layers are scaled so that answers are as sure of
themselves as trained ones are: else all probabilities would be one eighth, and alike by themselves.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import mien.lab

# isort: split
import keras
import numpy as np

from mien.bundle import SCHEMA, Networks, load_bundle, write_manifest
from mien.calibration import Calibration
from mien.config import Config, EmbeddingConfig, config_hash
from mien.emotions import EMOTIONS
from mien.kept import kept
from mien.lab.convert import convert
from mien.lab.export import export_onnx
from mien.lab.presets import PRESETS
from mien.verify import golden_inputs, golden_outputs

SHARPNESS = 2.0
"""Standard deviation of the last layer's outputs."""


@dataclass(frozen=True, kw_only=True)
class VitSize:
    """The sizes of a Vision Transformer; those of ViT-B/16 unless told otherwise."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    inner: int = 3072


USUAL_SIZE = VitSize()


def random_paper(size: VitSize = USUAL_SIZE) -> Path:
    """Give a folder of the user's cache with ``hf``, ``audio.keras``, ``video.keras``, ``bundle``.

    Making it takes a minute, once.
    """
    name = f"random-paper-{size.width}-{size.depth}-{size.heads}-{size.inner}"
    return kept(name, partial(make, size))


def make(size: VitSize, folder: Path) -> None:
    """Make all that in an empty folder."""
    _vit(size).save_pretrained(folder / "hf")
    bundle = folder / "bundle"
    bundle.mkdir()
    convert(folder / "hf", bundle / "embedder.onnx")
    config = Config(embedding=EmbeddingConfig(name="random-vit", width=size.width))
    preset = PRESETS["paper"]
    keras.utils.set_random_seed(0)
    speech, faces = config.speech, config.faces
    heard = np.random.default_rng(0).normal(size=(32, speech.frames * speech.columns))
    embedder_rows = np.random.default_rng(1).normal(size=(32, faces.frames, size.width))
    for branch, design, inputs in (
        ("audio", preset.audio(speech), heard),
        ("video", preset.video, embedder_rows),
    ):
        network = design.network(inputs.astype(np.float32))
        _sharpen(network, inputs.astype(np.float32))
        network.save(folder / f"{branch}.keras")
        export_onnx(
            network,
            bundle / f"{branch}.onnx",
            input_names=["inputs"],
            output_name="probabilities",
            metadata={},
        )
    _write_bundle(bundle, config)


def _vit(size: VitSize):  # type: ignore[no-untyped-def] # transformers is untyped
    import torch  # noqa: PLC0415 - of the extra "reference", which few benchmarks need
    import transformers  # noqa: PLC0415

    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=size.width,
        num_hidden_layers=size.depth,
        num_attention_heads=size.heads,
        intermediate_size=size.inner,
        # As uneven as trained ones: with transformers' own 0.02 all faces look the same.
        initializer_range=1 / np.sqrt(size.width),
    )
    return transformers.ViTModel(config, add_pooling_layer=False)


def _sharpen(network: keras.Model, inputs: np.ndarray) -> None:
    """Scale the last layer until what goes into the softmax varies as much as in trained ones."""
    last = network.layers[-1]
    logits = np.log(network.predict(inputs, verbose=0) + 1e-9)
    kernel, bias = last.get_weights()
    last.set_weights([kernel * SHARPNESS / max(logits.std(), 1e-3), bias])


def _write_bundle(folder: Path, config: Config) -> None:
    np.savez(folder / "golden.npz", **golden_inputs(config))  # type: ignore[arg-type]
    manifest = {
        "schema": SCHEMA,
        "name": "random-paper",
        "mien_version": mien.__version__,
        "labels": list(EMOTIONS),
        "config": config.to_dict(),
        "config_sha256": config_hash(config),
        "embedder": {"file": "embedder.onnx", "name": "random-vit"},
        "networks": {branch: {"file": f"{branch}.onnx"} for branch in ("audio", "video")},
        "golden": {"file": "golden.npz"},
        "training": {},
        "scores": {},
        "licence": "none: random weights",
        "calibration": Calibration.none(["audio", "video"]).to_dict(),
    }
    write_manifest(folder, manifest)
    inputs = golden_inputs(config)
    outputs = golden_outputs(Networks(load_bundle(folder)), inputs)
    np.savez(folder / "golden.npz", **inputs, **outputs)  # type: ignore[arg-type]
    write_manifest(folder, manifest)
