import os
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

from mien.bundle import DEFAULT_BUNDLE
from mien.errors import BundleMismatch, DeviceUnavailable, InvalidArgument
from mien.session import check_device, open_session

GRAPH = DEFAULT_BUNDLE / "audio.onnx"


def test_path_and_content_open_the_same_graph() -> None:
    from_path, from_bytes = open_session(GRAPH), open_session(GRAPH.read_bytes())
    assert from_path.get_inputs()[0].shape == from_bytes.get_inputs()[0].shape


def test_device_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(DeviceUnavailable, match="onnxruntime-gpu"):
        open_session(GRAPH, device="cuda")


def test_device_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a CUDA library missing ONNX Runtime quietly computes on the processor."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    original = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda source, options, providers: original(
            source, options, providers=["CPUExecutionProvider"]
        ),
    )
    with pytest.raises(DeviceUnavailable, match="could not start"):
        open_session(GRAPH, device="cuda")


@pytest.mark.parametrize("device", ["gpu", "", "CPU"])
def test_unknown_device_lists_the_choices(device: str) -> None:
    with pytest.raises(InvalidArgument, match="cpu, cuda"):
        check_device(device)


def test_file_that_is_no_graph(tmp_path: Path) -> None:
    path = tmp_path / "text.onnx"
    path.write_text("hello")
    with pytest.raises(BundleMismatch, match=r"text\.onnx"):
        open_session(path)


def test_onnx_runtime_keeps_and_sends_nothing(tmp_path: Path) -> None:
    """Its telemetry leaves an identifier and a database of what is to be sent."""
    places = {"HOME": "home", "XDG_CACHE_HOME": "cache", "TMPDIR": "temporary"}
    for name in places.values():
        (tmp_path / name).mkdir()
    environment = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}
    environment |= {name: str(tmp_path / folder) for name, folder in places.items()}
    # Runners of tests, too, make it keep quiet.
    for name in ("CI", "GITHUB_ACTIONS", "TF_BUILD", "GITLAB_CI"):
        environment.pop(name, None)
    script = "import mien; mien.load()"
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=120)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
