import shutil
from pathlib import Path

import pytest

from mien import info
from mien.bundle import DEFAULT_BUNDLE


def test_tells_versions_devices_bundle_and_extras() -> None:
    text = "\n".join(info.installation())
    for word in (
        "onnxruntime",
        "device     cpu: yes",
        "device     cuda:",
        "precision  f32: yes",
        "bundle     default",
    ):
        assert word in text


def test_missing_extra_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(info, "find_spec", lambda name: None)
    assert "pip install 'mien[lab]'" in "\n".join(info.installation())


def test_a_precision_that_cannot_be_had_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(info, "multiplies", lambda precision: precision == "f32")
    monkeypatch.setattr(info, "engine_of", lambda precision: "openvino")
    text = "\n".join(info.installation())
    assert "bf16: no: the processor does not multiply it" in text
    assert "int8: yes, by openvino, but the processor" in text
    monkeypatch.setattr(info, "engine_of", lambda precision: None)
    assert "int8: no: pip install 'mien[openvino]'" in "\n".join(info.installation())


def test_damaged_bundle_is_told_and_not_raised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(DEFAULT_BUNDLE, tmp_path / "bundle"))
    (folder / "audio.onnx").unlink()
    monkeypatch.setattr("mien.bundle.DEFAULT_BUNDLE", folder)
    assert "cannot be used" in "\n".join(info.installation())
