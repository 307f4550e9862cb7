"""Keras model → ONNX file that any ONNX Runtime since 1.20 reads, byte for byte reproducible."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import keras

from mien.errors import InvalidArgument, MissingDependency
from mien.lab.files import write_atomically

try:
    import jax2onnx
    import onnx
except ImportError as error:
    raise MissingDependency(
        f"ONNX export needs jax2onnx and onnx ({error}): pip install 'mien[lab]'"
    ) from error

# It tells users of each inner value whose type it could not infer; nothing comes of it.
logging.getLogger("onnx_ir").setLevel(logging.ERROR)

OPSET = 21
"""The newest that ONNX Runtime 1.20, the oldest one mien supports, reads."""
IR_VERSION = 10
"""The file format that goes with :data:`OPSET`; onnx's own default is newer than old run-times."""
LARGEST_FILE = 2**31 - 1
"""Bytes; protocol buffers, and with them ONNX files in one piece, end here."""


def export_onnx(
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    input_names: Sequence[str],
    output_name: str,
    metadata: Mapping[str, str],
) -> None:
    """Write a Keras model, as it is used and not as it is trained, to one ONNX file.

    The first axis of every input and of the output is called ``batch`` and takes any size; all
    numbers are float32. The same model gives the same bytes. The file appears whole or not at all.

    Args:
        model: a built model of float32 inputs and one output.
        path: where to write; missing folders are made, an old file is replaced.
        input_names: one name an input, in the order of ``model.inputs``.
        output_name: the name of the output.
        metadata: stored as the file's ``metadata_props``.

    Raises:
        InvalidArgument: Keras runs on another backend than JAX; the names do not fit the
            inputs; an input has an open axis besides the batch; or the file would exceed 2 GiB.

    >>> import tempfile, onnxruntime
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> path = Path(tempfile.mkdtemp()) / "dense.onnx"
    >>> export_onnx(model, path, input_names=["x"], output_name="y", metadata={"mien.kind": "toy"})
    >>> onnxruntime.InferenceSession(path).get_inputs()[0].shape
    ['batch', 4]
    """
    _require_jax()
    with _root_logger_untouched():
        proto = jax2onnx.to_onnx(
            lambda *inputs: model(inputs[0] if len(inputs) == 1 else list(inputs), training=False),
            _input_shapes(model, input_names),
            model_name="mien",
            opset=OPSET,
            input_names=list(input_names),
            output_names=[output_name],
        )
    _pool_channels_first(proto.graph)
    _flatten_vectors(proto.graph)
    _drop_unused(proto.graph)
    proto.ir_version = IR_VERSION
    onnx.helper.set_model_props(proto, dict(sorted(metadata.items())))
    if proto.ByteSize() > LARGEST_FILE:
        raise InvalidArgument(
            f"model must fit an ONNX file of {LARGEST_FILE:,} bytes, "
            f"not {proto.ByteSize():,}: choose a smaller network"
        )
    content = proto.SerializeToString(deterministic=True)
    write_atomically(Path(path), lambda file: file.write(content))


@contextmanager
def _root_logger_untouched() -> Iterator[None]:
    """Keep jax2onnx from giving the root logger a handler, which would tell all lines twice."""
    nothing = logging.NullHandler()
    logging.root.addHandler(nothing)
    try:
        yield
    finally:
        logging.root.removeHandler(nothing)


def _require_jax() -> None:
    backend = keras.config.backend()
    if backend != "jax":
        raise InvalidArgument(
            f"KERAS_BACKEND must be 'jax' for ONNX export, not {backend!r}: "
            "set KERAS_BACKEND=jax before Python starts"
        )


def _input_shapes(model: keras.Model, names: Sequence[str]) -> list[tuple[str | int, ...]]:
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    if isinstance(names, str) or len(names) != len(shapes):
        raise InvalidArgument(
            f"input_names must hold one name for each of the model's {len(shapes)} inputs, "
            f"not {names!r}"
        )
    for name, shape in zip(names, shapes, strict=True):
        if None in shape[1:]:
            raise InvalidArgument(
                f"model's input {name!r} must leave only its first axis open, not {shape}: "
                "give keras.Input fixed sizes"
            )
    return [("batch", *shape[1:]) for shape in shapes]


def _pool_channels_first(graph: onnx.GraphProto) -> None:
    """Rewrite poolings over all axes, batch and channels too, as poolings over the picture.

    jax2onnx 0.17 writes Keras's max pooling as Unsqueeze, Unsqueeze, MaxPool, Squeeze with windows
    like (1, 2, 2, 1). ONNX Runtime refuses four axes, and runs three of them on one thread.
    """
    producers = {name: node for node in graph.node for name in node.output}
    readers = {name: node for node in graph.node for name in node.input}
    for pool in [node for node in graph.node if node.op_type == "MaxPool"]:
        inner = producers.get(pool.input[0])
        outer = producers.get(inner.input[0]) if inner else None
        squeeze = readers.get(pool.output[0])
        if (
            inner is None
            or outer is None
            or squeeze is None
            or [outer.op_type, inner.op_type, squeeze.op_type]
            != ["Unsqueeze", "Unsqueeze", "Squeeze"]
            or not _leaves_ends_alone(pool)
        ):
            continue
        axes = len(_integers(pool)["kernel_shape"])
        _become_transpose(inner, outer.input[0], [0, axes - 1, *range(1, axes - 1)])
        _become_transpose(squeeze, pool.output[0], [0, *range(2, axes), 1])
        for name, values in _integers(pool).items():
            _set_integers(pool, name, _inner_axes(name, values))
        graph.node.remove(outer)
    written = {name for node in graph.node for name in node.output}
    # Shapes recorded for the old order of axes would contradict the new one.
    stale = [
        value
        for value in graph.value_info
        if value.name not in written or producers[value.name].op_type in {"MaxPool", "Transpose"}
    ]
    for value in stale:
        graph.value_info.remove(value)


def _integers(node: onnx.NodeProto) -> dict[str, list[int]]:
    return {
        attribute.name: list(attribute.ints)
        for attribute in node.attribute
        if attribute.type == onnx.AttributeProto.INTS
    }


def _set_integers(node: onnx.NodeProto, name: str, values: Sequence[int]) -> None:
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute(name, values)])


def _inner_axes(name: str, values: list[int]) -> list[int]:
    half = len(values) // 2
    if name == "pads":
        return values[1 : half - 1] + values[half + 1 : -1]
    return values[1:-1]


def _leaves_ends_alone(pool: onnx.NodeProto) -> bool:
    integers = _integers(pool)
    pads = integers.pop("pads", [0, 0, 0, 0])
    half = len(pads) // 2
    return {pads[0], pads[half - 1], pads[half], pads[-1]} == {0} and all(
        values[0] == values[-1] == 1 for values in integers.values()
    )


def _become_transpose(node: onnx.NodeProto, source: str, order: list[int]) -> None:
    node.op_type = "Transpose"
    del node.input[:]
    node.input.append(source)
    del node.attribute[:]
    node.attribute.append(onnx.helper.make_attribute("perm", order))


def _flatten_vectors(graph: onnx.GraphProto) -> None:
    """Write constants of shape (1, 1, n) as (n) where broadcasting does the same.

    ONNX Runtime takes a scale and an offset for those of a layer normalisation, and then runs its
    nine nodes as one, only when they are vectors.
    """
    known = [*graph.value_info, *graph.input]
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in known}
    inside = set[str]().union(*(_names_read(inner) for inner in _subgraphs(graph)))
    for tensor in graph.initializer:
        if len(tensor.dims) < 2 or set(tensor.dims[:-1]) != {1} or tensor.name in inside:
            continue
        readers = [node for node in graph.node if tensor.name in node.input]
        others = [name for node in readers for name in node.input if name != tensor.name]
        if {node.op_type for node in readers} <= {"Add", "Mul"} and all(
            ranks.get(name, 0) >= len(tensor.dims) for name in others
        ):
            del tensor.dims[:-1]


def _subgraphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield attribute.g


def _names_read(graph: onnx.GraphProto) -> set[str]:
    names = {name for node in graph.node for name in node.input}
    names |= {output.name for output in graph.output}
    return names.union(*(_names_read(inner) for inner in _subgraphs(graph)))


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Drop constants that nothing reads; ONNX Runtime would warn of each on every load."""
    read = _names_read(graph)
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)
    for inner in _subgraphs(graph):
        _drop_unused(inner)
