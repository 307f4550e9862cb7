"""A Vision Transformer's ONNX file → one whose blocks multiply 8-bit numbers.

Activations are quantised as they come (dynamically), so no pictures are needed to do it.
"""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mien.errors import MissingDependency

FIRST_OF_BLOCKS = ("ReduceMean", "LayerNormalization", "MVN")
"""Kinds of node by which a block starts: its first normalisation. What comes before, the resizing
and the patch embedding, stays float32: pixels are what all else is computed from."""


def quantise(path: Path, out: Path, *, reduce_range: bool) -> None:
    """Write a copy whose blocks' matrices are 8-bit, with one scale a column.

    Args:
        path: ONNX file of float32.
        out: the file to write; the same as ``path`` replaces it.
        reduce_range: use 7 of 8 bits: processors without VNNI saturate when two 8-bit products are
            added.

    Raises:
        MissingDependency: no onnx.
    """
    try:
        import onnx  # noqa: PLC0415 - it is large, and few need it
        from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependency(
            f"quantising embedders needs onnx ({error}): pip install 'mien[openvino]', which does "
            "without, or pip install onnx"
        ) from error
    draft = out.with_name(f"{out.name}.draft")
    try:
        with _quiet_root_logger():
            quantize_dynamic(
                path,
                draft,
                nodes_to_quantize=_block_matrices(onnx.load(path).graph),
                op_types_to_quantize=["MatMul"],
                per_channel=True,
                reduce_range=reduce_range,
                weight_type=QuantType.QInt8,
            )
        model = onnx.load(draft)
        own = {prop.key: prop.value for prop in model.metadata_props if prop.key[:5] == "mien."}
        onnx.helper.set_model_props(model, own)
        draft.write_bytes(model.SerializeToString(deterministic=True))
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)


def _block_matrices(graph: Any) -> list[str]:
    constants = {tensor.name for tensor in graph.initializer}
    kinds = [node.op_type for node in graph.node]
    start = min((kinds.index(kind) for kind in FIRST_OF_BLOCKS if kind in kinds), default=0)
    return [
        node.name
        for node in graph.node[start:]
        if node.op_type == "MatMul" and node.input[1] in constants
    ]


@contextlib.contextmanager
def _quiet_root_logger() -> Iterator[None]:
    """Hide the advice that quantisation gives on the root logger about each of its steps."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
