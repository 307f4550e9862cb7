"""An embedder's ONNX file, opened at the precision that was asked for."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.errors import BundleMismatch, DeviceUnavailable, InvalidArgument, MissingDependency
from mien.kept import kept
from mien.processor import FAST, multiplies
from mien.quantise import FIRST_OF_BLOCKS, quantise
from mien.session import open_session

PRECISIONS = ("f32", "bf16", "int8")
"""What networks may compute with: float32; 16 bits, 8 of them the exponent; 8 bits where matrices
are multiplied, with the rest at the best of the others."""
OPENVINO, ONNXRUNTIME = "openvino", "onnxruntime"
GROUP = 128
"""Activations that share a scale in OpenVINO. Of 22 faces through ViT-B/16, 32 took 3.9 s of
processor time, 128 2.9 s, 256 2.8 s; the embeddings are about as near to float32's by each."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Graph:
    """An opened graph of one output; safe to call from several threads."""

    takes: Sequence[Sequence[Any]]
    """Shape of each input; what is no whole number is open."""
    gives: Sequence[Any]
    """Shape of the output."""
    metadata: Mapping[str, str]
    run: Callable[[Floats], Floats]


def engine_of(precision: str) -> str | None:
    """Name the package that computes with a precision here; ``None`` where none is installed.

    >>> engine_of("f32")
    'onnxruntime'
    """
    if precision == "f32":
        return ONNXRUNTIME
    if find_spec("openvino"):
        return OPENVINO
    return ONNXRUNTIME if precision == "int8" and find_spec("onnx") else None


def version_of(engine: str) -> str:
    """Give the version of an installed package.

    >>> version_of("numpy").count(".") > 0
    True
    """
    # It takes a hundredth of a second to import, and most starts do without.
    from importlib.metadata import version  # noqa: PLC0415

    return version(engine)


def open_graph(path: Path, *, sha256: str, device: str = "cpu", precision: str = "f32") -> Graph:
    """Open an ONNX file.

    Args:
        path: the file, of float32.
        sha256: of the file: what is made of it is kept in the user's cache under that name.
        device: ``"cpu"`` or ``"cuda"``.
        precision: one of :data:`PRECISIONS`; on ``"cuda"`` only ``"f32"``.

    Raises:
        BundleMismatch: no ONNX graph that can be run.
        DeviceUnavailable: the device, or the processor for that precision, is not there.
        InvalidArgument: an unknown precision, or one that the device does not do.
        MissingDependency: the precision needs a package that is not installed.
    """
    _check_precision(precision, device)
    if precision == "f32":
        return _onnxruntime(path, device)
    if engine_of(precision) == OPENVINO:
        return _openvino(path, sha256, precision)
    # Weights have another range where the processor would saturate.
    kind = "vnni" if multiplies("int8") else "plain"
    name = f"{sha256[:24]}-{kind}-onnxruntime-{version_of('onnxruntime')}"
    folder = kept(name, partial(_quantised, path))
    return _onnxruntime(folder / "int8.onnx", device)


def _check_precision(precision: str, device: str) -> None:
    if precision not in PRECISIONS:
        choices = ", ".join(("auto", *PRECISIONS))
        raise InvalidArgument(f"precision must be one of {choices}, not {precision!r}")
    if device != "cpu" and precision != "f32":
        raise InvalidArgument(
            f"precision must be f32 on {device}, not {precision!r}; leave out --precision"
        )
    if precision == "bf16" and not multiplies("bf16"):
        raise DeviceUnavailable(
            f"precision 'bf16' needs a processor with {' or '.join(sorted(FAST['bf16']))}; "
            "choose f32 or int8"
        )
    if engine_of(precision) is None:
        raise MissingDependency(
            f"precision {precision!r} needs OpenVINO: pip install 'mien[openvino]', or "
            "'.[openvino]' in a clone"
        )


def _onnxruntime(path: Path, device: str) -> Graph:
    session = open_session(path, device=device)
    inputs = session.get_inputs()

    def run(values: Floats) -> Floats:
        rows: Floats = session.run(None, {inputs[0].name: values})[0]
        return rows

    return Graph(
        takes=[given.shape for given in inputs],
        gives=session.get_outputs()[0].shape,
        metadata=session.get_modelmeta().custom_metadata_map,
        run=run,
    )


def _quantised(path: Path, folder: Path) -> None:
    quantise(path, folder / "int8.onnx", reduce_range=not multiplies("int8"))


def _openvino(path: Path, sha256: str, precision: str) -> Graph:
    core = import_openvino().Core()
    options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "bf16" if multiplies("bf16") else "f32"}
    source = path
    if precision == "int8":
        options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = GROUP
        name = f"{sha256[:24]}-openvino-{version_of('openvino')}"
        source = kept(name, partial(_compressed, core, path)) / "int8.xml"
    try:
        model = core.read_model(source)
        compiled = core.compile_model(model, "CPU", options)
    except RuntimeError as error:
        raise BundleMismatch(
            f"{path.name} is no ONNX graph that OpenVINO {version_of('openvino')} can run: "
            f"{str(error).splitlines()[0]}"
        ) from error
    # One call keeps all processors busy; a second one at once would only take memory.
    request, one = compiled.create_infer_request(), threading.Lock()

    def run(values: Floats) -> Floats:
        with one:
            rows: Floats = request.infer([values])[compiled.output(0)].copy()
        return rows

    return Graph(
        takes=[_shape(given) for given in compiled.inputs],
        gives=_shape(compiled.output(0)),
        metadata={},
        run=run,
    )


def import_openvino() -> Any:
    """Import OpenVINO without the part that tells its maker of every use: mien sends nothing."""
    if "openvino" not in sys.modules:
        absent: Any = None
        # None makes the import fail, and OpenVINO does without.
        sys.modules["openvino_telemetry"] = absent
    try:
        import openvino  # noqa: PLC0415 - an optional part, and large
    finally:
        if sys.modules.get("openvino_telemetry", True) is None:
            del sys.modules["openvino_telemetry"]
    return openvino


def _shape(port: Any) -> list[int | str]:
    sizes = port.get_partial_shape()
    return [size.get_length() if size.is_static else "batch" for size in sizes]


def _compressed(core: Any, path: Path, folder: Path) -> None:
    """Store the blocks' matrices as 8-bit numbers and a scale a column; OpenVINO does the rest."""
    openvino = import_openvino()
    operations = openvino.opset13
    model = core.read_model(path)
    ordered = model.get_ordered_ops()
    kinds = [node.get_type_name() for node in ordered]
    start = min((kinds.index(kind) for kind in FIRST_OF_BLOCKS if kind in kinds), default=0)
    for node in ordered[start:]:
        matrix = node.input_value(1).get_node() if node.get_type_name() == "MatMul" else None
        if matrix is None or matrix.get_type_name() != "Constant":
            continue
        weights = matrix.get_data()
        scale = np.abs(weights).max(axis=0, keepdims=True) / 127
        scale[scale == 0] = 1
        rounded = np.round(weights / scale).astype(np.int8)
        whole = operations.convert(operations.constant(rounded), np.float32)
        product = operations.multiply(whole, operations.constant(scale.astype(np.float32)))
        node.input(1).replace_source_output(product.output(0))
    openvino.save_model(model, folder / "int8.xml", compress_to_fp16=False)
