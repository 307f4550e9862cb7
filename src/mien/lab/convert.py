"""A trained Vision Transformer → an ONNX file that the light run-time embeds face crops with."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import onnxruntime

from mien.errors import NoEmbedder
from mien.lab import vit
from mien.lab.export import export_onnx
from mien.lab.weights import Encoder, load
from mien.quantise import quantise

LARGEST_DIFFERENCE = 1e-4
"""Between Keras's float32 embeddings and those of the exported file."""
LEAST_COSINE = 0.99
"""Between Keras's embeddings and those of an int8 file."""
CHECK_CROPS = 3


@dataclass(frozen=True, kw_only=True)
class EmbedderInfo:
    """An embedder that was written to an ONNX file."""

    path: Path
    name: str
    source: str
    licence: str | None
    weights_sha256: str
    width: int
    """Numbers an embedding."""
    crop_size: int
    """Pixels a side of a face crop."""
    parameters: int
    precision: str
    """``"float32"`` or ``"int8"``."""
    sha256: str
    """Of the ONNX file."""
    bytes: int
    """Of the ONNX file."""
    largest_difference: float
    """Between Keras's embeddings and the file's, over random crops."""
    least_cosine: float
    """Between Keras's embeddings and the file's, over random crops."""


def convert(
    source: str | Path,
    out: str | Path,
    *,
    crop_size: int = 48,
    int8: bool = False,
    revision: str | None = None,
) -> EmbedderInfo:
    """Write an embedder that the light run-time reads: one ONNX file from crops to embeddings.

    Its input ``crops`` is float32 in shape (n, crop_size, crop_size, 3), RGB of 0 to 255; its
    output ``embedding`` float32 in shape (n, width). The same source gives the same bytes.

    Args:
        source: as :func:`load` takes it.
        out: the file to write; an old one is replaced.
        crop_size: pixels a side of a face crop, at least 1.
        int8: store and multiply the matrices of the blocks as 8-bit numbers: a quarter of the
            size, and embeddings that differ a little.
        revision: as :func:`load` takes it.

    Raises:
        NoEmbedder: as :func:`load` does; or the file does not give Keras's embeddings.
        InvalidArgument: the crop size is below 1, or as :func:`load` does.
    """
    encoder = load(source, revision=revision)
    model = vit.embedder(encoder.network, encoder.preparation, crop_size=crop_size)
    precision = "int8" if int8 else "float32"
    out = Path(out)
    draft = out.with_name(f".{out.name}.draft")
    try:
        export_onnx(
            model,
            draft,
            input_names=["crops"],
            output_name="embedding",
            metadata=_metadata(encoder, crop_size, precision),
        )
        if int8:
            # The answer must not depend on the machine, and not all have VNNI.
            quantise(draft, draft, reduce_range=True)
        difference, cosine = _compare(model, draft, crop_size)
        _refuse_bad_file(out, precision, difference, cosine)
        content = draft.read_bytes()
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
    return EmbedderInfo(
        path=out,
        name=encoder.name,
        source=encoder.source,
        licence=encoder.licence,
        weights_sha256=encoder.weights_sha256,
        width=encoder.config.width,
        crop_size=crop_size,
        parameters=encoder.network.count_params(),
        precision=precision,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        largest_difference=difference,
        least_cosine=cosine,
    )


def _metadata(encoder: Encoder, crop_size: int, precision: str) -> dict[str, str]:
    values = {
        "mien.embedder": encoder.name,
        "mien.crop_size": str(crop_size),
        "mien.width": str(encoder.config.width),
        "mien.source": encoder.source,
        "mien.weights_sha256": encoder.weights_sha256,
        "mien.precision": precision,
    }
    return values if encoder.licence is None else {**values, "mien.licence": encoder.licence}


def _compare(model: keras.Model, path: Path, crop_size: int) -> tuple[float, float]:
    shape = (CHECK_CROPS, crop_size, crop_size, 3)
    crops = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    expected = np.asarray(model(crops, training=False))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (answer,) = session.run(["embedding"], {"crops": crops})
    lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(answer, axis=1)
    cosines = (expected * answer).sum(axis=1) / lengths
    return float(np.abs(expected - answer).max()), float(cosines.min())


def _refuse_bad_file(out: Path, precision: str, difference: float, cosine: float) -> None:
    if precision == "float32" and not difference <= LARGEST_DIFFERENCE:
        raise NoEmbedder(
            f"{out} was not written: its embeddings differ from Keras's by {difference:.1e}, and "
            f"may by {LARGEST_DIFFERENCE:.0e}: try other versions of jax2onnx and onnxruntime"
        )
    if not cosine >= LEAST_COSINE:
        raise NoEmbedder(
            f"{out} was not written: the cosine between its embeddings and Keras's is "
            f"{cosine:.4f}, and must be at least {LEAST_COSINE}: convert it without int8"
        )
