import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.bundle import (
    DEFAULT_BUNDLE,
    MANIFEST,
    Networks,
    load_bundle,
    write_manifest,
)
from mien.errors import (
    BundleChanged,
    BundleError,
    BundleMismatch,
    BundleNotFound,
    BundleTooNew,
)

FILES = ("audio.onnx", "video.onnx", "embedder.onnx", "golden.npz")
PARTS = ("audio", "video", "embedder", "golden", "card")
LARGEST_BYTES = 15_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the default bundle that a test may damage."""
    return Path(shutil.copytree(DEFAULT_BUNDLE, tmp_path / "bundle"))


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest and sign it again, as a careless or hostile hand would."""
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    write_manifest(folder, manifest)


def test_default_bundle_is_whole_and_small() -> None:
    assert sum(file.stat().st_size for file in DEFAULT_BUNDLE.iterdir()) <= LARGEST_BYTES
    # Nothing lies there that the manifest does not vouch for; make bundle adds a model card.
    named = [file for part in PARTS if (file := load_bundle().file(part))]
    assert sorted(DEFAULT_BUNDLE.iterdir()) == sorted([*named, DEFAULT_BUNDLE / MANIFEST])


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_is_found(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(BundleChanged, match=name):
        load_bundle(folder)


def test_changed_manifest_is_found(folder: Path) -> None:
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(BundleChanged, match="its own checksum"):
        load_bundle(folder)


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleNotFound, match=name):
        load_bundle(folder)


@pytest.mark.parametrize("place", ["nowhere", "empty"])
def test_folder_without_bundle(tmp_path: Path, place: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleNotFound, match="no bundle here"):
        load_bundle(tmp_path / place)


def test_newer_schema_asks_for_an_upgrade(folder: Path) -> None:
    rewrite(folder, lambda manifest: manifest.update(schema=3))
    with pytest.raises(BundleTooNew, match="upgrade mien"):
        load_bundle(folder)


def test_older_schema_without_calibration_is_refused(folder: Path) -> None:
    rewrite(folder, lambda manifest: manifest.update(schema=1))
    with pytest.raises(BundleMismatch, match="knew no calibration; train it again"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found.clear(), "must hold fusion and answers"),
        (lambda found: found.pop("fusion"), "must hold fusion"),
        (lambda found: found.update(bias=[0] * 8), "bias"),
        (lambda found: found["answers"]["audio"].update(clips=0), "if and only if"),
        (lambda found: found.update(fusion="stacked"), "fusion must be one of average"),
        (lambda found: found["answers"].pop("fused"), "audio, fused, video, not of audio, video"),
        (lambda found: found["answers"].update(smell={}), "not of audio, fused, smell, video"),
        (lambda found: found["answers"].update(audio=3), "calibration"),
        (lambda found: found["answers"]["audio"].update(temperature=0), "temperature must be"),
        (lambda found: found["answers"]["audio"].update(temperature="1"), "temperature must be"),
        (lambda found: found["answers"]["audio"].update(bias=[0] * 8), "bias"),
        (lambda found: found["answers"]["audio"].update(clips=-1), "clips must be"),
        (lambda found: found["answers"]["audio"].update(thresholds=[0.1] * 49), "50 falling"),
        (lambda found: found["answers"]["audio"].update(thresholds=[0.1] * 51), "50 falling"),
        (lambda found: found["answers"]["audio"].update(thresholds=[2] * 50), "50 falling"),
        (
            lambda found: found["answers"]["audio"].update(thresholds=[n / 100 for n in range(50)]),
            "50 falling",
        ),
        (lambda found: found["answers"]["audio"].pop("thresholds"), "thresholds"),
    ],
)
def test_a_calibration_that_does_not_fit_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    rewrite(folder, lambda manifest: change(manifest["calibration"]))
    with pytest.raises(BundleMismatch, match=message):
        load_bundle(folder)


def test_wrong_label_order_is_refused(folder: Path) -> None:
    rewrite(folder, lambda manifest: manifest["labels"].reverse())
    with pytest.raises(BundleMismatch, match="in this order"):
        load_bundle(folder)


def test_edited_config_is_refused(folder: Path) -> None:
    rewrite(folder, lambda manifest: manifest["config"]["speech"].update(hop_length=256))
    with pytest.raises(BundleChanged, match="config"):
        load_bundle(folder)


def sign(folder: Path, manifest: dict[str, Any]) -> None:
    """Write any manifest, however wrong, with a checksum that fits."""
    manifest.pop("manifest_sha256", None)
    text = json.dumps(manifest, sort_keys=True).encode()
    signed = manifest | {"manifest_sha256": hashlib.sha256(text).hexdigest()}
    (folder / MANIFEST).write_text(json.dumps(signed))


@pytest.mark.parametrize(
    "key",
    [
        "name",
        "labels",
        "config",
        "config_sha256",
        "networks",
        "golden",
        "training",
        "scores",
        "calibration",
    ],
)
@pytest.mark.parametrize("wrong", [None, 3, []])
def test_incomplete_manifest_is_refused(folder: Path, key: str, wrong: object) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    sign(folder, manifest)
    assert load_bundle(folder).name == "default"
    sign(folder, manifest | {key: wrong})
    with pytest.raises(BundleMismatch):
        load_bundle(folder)


@pytest.mark.parametrize("networks", [{}, {"audio": {}}, {"audio": 3}, {"audio": {"file": 3}}])
def test_manifest_without_a_usable_network_is_refused(folder: Path, networks: object) -> None:
    sign(folder, json.loads((folder / MANIFEST).read_text()) | {"networks": networks})
    with pytest.raises(BundleMismatch):
        load_bundle(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "1"}', "null"])
def test_manifest_that_is_none(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_text(text)
    with pytest.raises(BundleError, match=MANIFEST):
        load_bundle(folder)


def test_file_outside_the_folder_is_refused(folder: Path) -> None:
    shutil.copy(folder / "audio.onnx", folder.parent)
    rewrite(folder, lambda manifest: manifest["networks"]["audio"].update(file="../audio.onnx"))
    with pytest.raises(BundleMismatch, match="in the bundle's folder"):
        load_bundle(folder)


def test_networks_of_other_shapes_are_refused(folder: Path) -> None:
    shutil.copy(folder / "video.onnx", folder / "audio.onnx")
    rewrite(folder, lambda manifest: None)
    with pytest.raises(BundleMismatch, match="audio network must take"):
        Networks(load_bundle(folder))


def test_graph_that_is_none_is_refused(folder: Path) -> None:
    (folder / "audio.onnx").write_bytes(b"not a graph")
    rewrite(folder, lambda manifest: None)
    with pytest.raises(BundleMismatch, match=r"audio\.onnx is no ONNX graph"):
        Networks(load_bundle(folder))


def test_bundle_of_one_branch_answers_for_it(folder: Path) -> None:
    def only_audio(manifest: dict[str, Any]) -> None:
        del manifest["networks"]["video"]
        for name in ("video", "fused"):
            del manifest["calibration"]["answers"][name]
        manifest["embedder"] = None

    rewrite(folder, only_audio)
    networks = Networks(load_bundle(folder))
    assert networks.has("audio")
    assert not networks.has("video")


def test_answers_do_not_depend_on_the_batch() -> None:
    bundle = load_bundle()
    networks = Networks(bundle)
    width = bundle.config.speech.frames * bundle.config.speech.columns
    features = np.random.default_rng(0).normal(size=(5, width)).astype(np.float32)
    together = networks.answer("audio", features)
    alone = np.concatenate([networks.answer("audio", row[None]) for row in features])
    # Float32 sums in another order; these features lie beyond any that a voice has.
    np.testing.assert_allclose(together, alone, atol=5e-6)
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-5)
