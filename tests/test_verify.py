import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.bundle import DEFAULT_BUNDLE, MANIFEST, load_bundle, write_manifest
from mien.errors import BundleChanged, BundleMismatch
from mien.verify import GOLDEN_CLIP, golden_answers, golden_inputs, verify_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the default bundle that a test may damage."""
    return Path(shutil.copytree(DEFAULT_BUNDLE, tmp_path / "bundle"))


def stored(folder: Path) -> dict[str, Any]:
    with np.load(folder / "golden.npz") as file:
        return {name: file[name] for name in file.files}


def store(folder: Path, arrays: dict[str, Any], **changes: Any) -> None:
    """Sign a bundle again, with other golden arrays or another manifest."""
    np.savez(folder / "golden.npz", **arrays)
    write_manifest(folder, json.loads((folder / MANIFEST).read_text()) | changes)


def test_the_embedded_bundle_answers_as_it_did() -> None:
    checks = verify_bundle()
    assert all(check.difference <= check.allowed for check in checks)
    whats = [check.what for check in checks]
    for name in ("golden input's audio", "golden input's video", "golden clip's audio"):
        assert f"the {name}" in whats
    graphs = [check for check in checks if "graph" in check.reference]
    assert max(check.difference for check in graphs) < 1e-5


def test_a_changed_file_is_found_first(folder: Path) -> None:
    (folder / "audio.onnx").write_bytes(b"something else")
    with pytest.raises(BundleChanged):
        verify_bundle(folder)


@pytest.mark.parametrize("name", ["audio", "video"])
def test_another_answer_to_the_golden_input_is_refused(folder: Path, name: str) -> None:
    arrays = stored(folder)
    store(folder, arrays | {name: arrays[name][::-1]})
    with pytest.raises(BundleMismatch, match=f"golden input's {name} .* do not trust"):
        verify_bundle(folder)


@pytest.mark.parametrize("name", ["audio", "video"])
def test_another_answer_than_keras_s_is_refused(folder: Path, name: str) -> None:
    arrays = stored(folder)
    store(folder, arrays | {f"keras_{name}": arrays[name]})
    assert "Keras" in {check.reference for check in verify_bundle(folder)}
    store(folder, arrays | {f"keras_{name}": arrays[name] + 2e-4})
    with pytest.raises(BundleMismatch, match=r"from Keras \(1e-04 is allowed\)"):
        verify_bundle(folder)


@pytest.mark.parametrize("name", ["audio", "video", "fused"])
def test_another_answer_to_the_golden_clip_is_refused(folder: Path, name: str) -> None:
    arrays = stored(folder)
    store(folder, arrays | {f"clip_{name}": arrays[f"clip_{name}"][::-1]})
    with pytest.raises(BundleMismatch, match=f"golden clip's {name}"):
        verify_bundle(folder)


def test_an_answer_that_is_missing_here_is_refused(folder: Path) -> None:
    arrays = {name: row for name, row in stored(folder).items() if not name.startswith("clip_")}
    del arrays["audio"]
    store(folder, arrays)
    with pytest.raises(BundleMismatch, match="differs by inf"):
        verify_bundle(folder)


def test_nan_is_no_answer(folder: Path) -> None:
    arrays = stored(folder)
    store(folder, arrays | {"audio": np.full(8, np.nan)})
    with pytest.raises(BundleMismatch, match="golden input's audio"):
        verify_bundle(folder)


def test_pickled_golden_output_is_never_opened(folder: Path) -> None:
    store(folder, {"crops": np.array([object()])})
    with pytest.raises(BundleMismatch, match="golden"):
        verify_bundle(folder)


def test_a_bundle_of_one_branch_is_checked_for_it(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    networks = {"audio": manifest["networks"]["audio"]}
    answers = {"audio": manifest["calibration"]["answers"]["audio"]}
    store(
        folder,
        {name: row for name, row in stored(folder).items() if not name.startswith("clip_")},
        networks=networks,
        embedder=None,
        calibration={"fusion": "average", "answers": answers},
    )
    assert {check.what for check in verify_bundle(folder)} == {"the golden input's audio"}
    assert set(golden_answers(folder)) == {"clip_audio", "clip_fused"}


def test_golden_inputs_are_always_the_same() -> None:
    config = load_bundle().config
    first, second = golden_inputs(config), golden_inputs(config)
    assert first["crops"].shape == (22, 48, 48, 3)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    np.testing.assert_array_equal(first["features"], stored(DEFAULT_BUNDLE)["features"])


def test_the_golden_clip_has_a_face_and_a_voice() -> None:
    assert set(golden_answers(DEFAULT_BUNDLE)) == {"clip_audio", "clip_video", "clip_fused"}
    assert GOLDEN_CLIP.is_file()
