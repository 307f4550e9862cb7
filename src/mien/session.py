"""ONNX Runtime sessions on the device that was asked for, never silently on another."""

import os
from pathlib import Path
from typing import Literal, cast, get_args

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_errors

from mien.errors import BundleMismatch, DeviceUnavailable, InvalidArgument

# For whoever imported ONNX Runtime before mien, which would have stopped it from the start.
onnxruntime.disable_telemetry_events()

Device = Literal["cpu", "cuda"]

PROVIDERS: dict[str, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

GRAPH_ERRORS = (
    runtime_errors.Fail,
    runtime_errors.InvalidArgument,
    runtime_errors.InvalidGraph,
    runtime_errors.InvalidProtobuf,
    runtime_errors.NotImplemented,
    runtime_errors.RuntimeException,
)
"""What ONNX Runtime raises for a file it cannot run; its errors share no base class."""

THREADS = "MIEN_THREADS"
"""Environment variable: threads that each network computes with; 0 is ONNX Runtime's choice."""

ERRORS_ONLY = 3
"""ONNX Runtime's logging level that drops warnings, which users can do nothing about."""


def check_device(device: str) -> Device:
    """Refuse a device that mien does not know or that this installation cannot use.

    Raises:
        InvalidArgument: neither ``"cpu"`` nor ``"cuda"``.
        DeviceUnavailable: this ONNX Runtime cannot compute there.

    >>> check_device("cpu")
    'cpu'
    """
    if device not in PROVIDERS:
        raise InvalidArgument(
            f"device must be one of {', '.join(get_args(Device))}, not {device!r}"
        )
    available = onnxruntime.get_available_providers()
    if PROVIDERS[device] not in available:
        raise DeviceUnavailable(
            f"device {device!r} needs ONNX Runtime's {PROVIDERS[device]}, but this installation "
            f"has only {', '.join(available)}; replace the package onnxruntime by onnxruntime-gpu, "
            "or use --device cpu"
        )
    return cast("Device", device)


def open_session(
    graph: str | os.PathLike[str] | bytes, *, device: str = "cpu"
) -> onnxruntime.InferenceSession:
    """Open an ONNX graph for inference.

    Args:
        graph: path or content of the ONNX file.
        device: ``"cpu"`` or ``"cuda"``.

    Raises:
        BundleMismatch: the file is no ONNX graph that this ONNX Runtime can run.
        DeviceUnavailable: the device cannot be used.
    """
    provider = PROVIDERS[check_device(device)]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = _threads()
    # Threads that spin until there is more to do keep the decoder from its processor: a timeline
    # took half as long again.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = graph if isinstance(graph, bytes) else os.fspath(graph)
    name = "the graph" if isinstance(graph, bytes) else Path(graph).name
    try:
        session = onnxruntime.InferenceSession(source, options, providers=[provider])
    except GRAPH_ERRORS as error:
        raise BundleMismatch(
            f"{name} is no ONNX graph that ONNX Runtime {onnxruntime.__version__} can run: "
            f"{str(error).splitlines()[0]}"
        ) from error
    # When a CUDA library is missing ONNX Runtime only logs it and computes on the processor.
    if provider not in session.get_providers():
        raise DeviceUnavailable(
            f"device {device!r}: ONNX Runtime could not start {provider}; "
            "check the driver and the CUDA and cuDNN libraries, or use --device cpu"
        )
    return session


def _threads() -> int:
    told = os.environ.get(THREADS, "0")
    if not told.isdecimal():
        raise InvalidArgument(f"{THREADS} must be a whole number, 0 or more, not {told!r}")
    return int(told)
