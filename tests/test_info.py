import shutil
from pathlib import Path

import pytest

from mien import info
from mien.bundle import DEFAULT_BUNDLE


def test_tells_versions_devices_bundle_and_extras() -> None:
    text = "\n".join(info.installation())
    for word in ("onnxruntime", "device     cpu: yes", "device     cuda:", "bundle     default"):
        assert word in text


def test_missing_extra_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(info, "find_spec", lambda name: None)
    assert "pip install 'mien[lab]'" in "\n".join(info.installation())


def test_damaged_bundle_is_told_and_not_raised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(DEFAULT_BUNDLE, tmp_path / "bundle"))
    (folder / "audio.onnx").unlink()
    monkeypatch.setattr("mien.bundle.DEFAULT_BUNDLE", folder)
    assert "cannot be used" in "\n".join(info.installation())
