"""A trained model on disk: a manifest, ONNX graphs and their checksums. No pickles, no code."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.calibration import Calibration
from mien.config import Config, config_hash
from mien.embed import Embedder, hash_file
from mien.emotions import EMOTIONS
from mien.errors import (
    BundleChanged,
    BundleMismatch,
    BundleNotFound,
    BundleTooNew,
    InvalidArgument,
)
from mien.session import open_session

SCHEMA = 2
MANIFEST = "bundle.json"
BRANCHES = ("audio", "video")
REQUIRED: dict[str, type] = {
    "name": str,
    "labels": list,
    "config": dict,
    "config_sha256": str,
    "networks": dict,
    "golden": dict,
    "training": dict,
    "scores": dict,
    "calibration": dict,
    "licence": str,
}
"""What a manifest must hold beside its schema; ``embedder`` may be null, ``card`` missing."""
DEFAULT_BUNDLE = Path(__file__).parent / "bundles" / "default"

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Bundle:
    """The checked manifest of a bundle; the graphs are opened by :class:`Networks`."""

    path: Path
    manifest: Mapping[str, Any]
    config: Config
    calibration: Calibration
    sha256: str
    """Of the manifest, which holds the checksums of all else: it identifies the whole bundle."""

    @property
    def name(self) -> str:
        """Name that predictions carry."""
        return str(self.manifest["name"])

    def file(self, part: str) -> Path | None:
        """Path of the ``audio``, ``video``, ``embedder``, ``golden`` or ``card`` file, if any."""
        entry = _entries(self.manifest).get(part)
        return self.path / entry["file"] if entry else None


def load_bundle(path: str | os.PathLike[str] | None = None) -> Bundle:
    """Read a bundle's manifest and check every file against it.

    Args:
        path: the bundle's folder; the embedded default bundle when ``None``.

    Raises:
        BundleNotFound: no bundle there, or one of its files is missing.
        BundleChanged: a file differs from its checksum.
        BundleTooNew: written by a later mien.
        BundleMismatch: labels in another order, a calibration that does not fit, or a manifest
            that lacks something or is older than calibration.

    >>> load_bundle().name
    'default'
    """
    folder = DEFAULT_BUNDLE if path is None else Path(path)
    manifest = _read_manifest(folder)
    try:
        _require_parts(folder, manifest)
        if tuple(manifest["labels"]) != EMOTIONS:
            raise BundleMismatch(
                f"{folder}: labels must be {', '.join(EMOTIONS)} in this order, "
                f"not {', '.join(map(str, manifest['labels']))}; export the bundle again"
            )
        config = Config.from_dict(manifest["config"])
        if config_hash(config) != manifest["config_sha256"]:
            raise BundleChanged(f"{folder}: the config differs from its checksum; fetch it again")
        for entry in _entries(manifest).values():
            _check_file(folder, entry["file"], entry["sha256"])
        calibration = Calibration.from_dict(
            manifest["calibration"],
            branches=[branch for branch in BRANCHES if manifest["networks"].get(branch)],
        )
        return Bundle(folder, manifest, config, calibration, manifest["manifest_sha256"])
    except (AttributeError, KeyError, TypeError, InvalidArgument) as error:
        raise BundleMismatch(
            f"{folder / MANIFEST} is incomplete ({error}); export the bundle again"
        ) from error


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write a manifest with the checksums of the files it names, and of itself."""
    complete = json.loads(json.dumps(manifest))
    for entry in _entries(complete).values():
        entry["sha256"] = hash_file(folder / entry["file"])
    complete["manifest_sha256"] = _manifest_hash(complete)
    (folder / MANIFEST).write_text(json.dumps(complete, indent=2) + "\n")


class Networks:
    """The opened graphs of a bundle; safe to call from several threads.

    Args:
        bundle: whose graphs.
        device: ``"cpu"`` or ``"cuda"``.
        precision: of the embedder, one of :data:`mien.graphs.PRECISIONS`; the other networks are
            small and compute with float32.
    """

    def __init__(self, bundle: Bundle, *, device: str = "cpu", precision: str = "f32") -> None:
        embedder = bundle.file("embedder")
        self.embedder = Embedder(embedder, device=device, precision=precision) if embedder else None
        self._sessions = {
            branch: open_session(file, device=device)
            for branch in BRANCHES
            if (file := bundle.file(branch))
        }
        self._check_shapes(bundle)

    def has(self, branch: str) -> bool:
        """Whether the bundle can answer for this branch."""
        return branch in self._sessions and (branch == "audio" or self.embedder is not None)

    def answer(self, branch: str, inputs: Floats) -> Floats:
        """Give the probabilities of a branch.

        Args:
            branch: ``"audio"`` or ``"video"``.
            inputs: ``(clips, frames * columns)`` or ``(clips, frames, width)``.

        Returns:
            Shape ``(clips, 8)``.
        """
        session = self._sessions[branch]
        answer: Floats = session.run(None, {session.get_inputs()[0].name: inputs})[0]
        return answer

    def _check_shapes(self, bundle: Bundle) -> None:
        speech, faces = bundle.config.speech, bundle.config.faces
        expected = {
            "audio": [speech.frames * speech.columns],
            "video": [faces.frames, bundle.config.embedding.width],
        }
        for branch, session in self._sessions.items():
            taken = session.get_inputs()[0].shape[1:]
            given = session.get_outputs()[0].shape[1:]
            if taken != expected[branch] or given != [len(EMOTIONS)]:
                raise BundleMismatch(
                    f"{bundle.path}: the {branch} network must take {expected[branch]} and give "
                    f"[{len(EMOTIONS)}], but takes {taken} and gives {given}"
                )
        if self.embedder and (self.embedder.crop_size, self.embedder.width) != (
            faces.crop_size,
            bundle.config.embedding.width,
        ):
            raise BundleMismatch(
                f"{bundle.path}: the embedder takes crops of {self.embedder.crop_size} pixels and "
                f"gives {self.embedder.width} numbers, but the config says {faces.crop_size} and "
                f"{bundle.config.embedding.width}"
            )


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleNotFound(
            f"{folder}: no bundle here ({MANIFEST} is missing); give the folder that 'mien train' "
            "wrote, or leave out --bundle for the default one"
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BundleChanged(f"{path} is not JSON ({error}); fetch the bundle again") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("schema"), int):
        raise BundleMismatch(f"{path} is no manifest of a bundle")
    if manifest["schema"] > SCHEMA:
        raise BundleTooNew(
            f"{folder} has schema {manifest['schema']}, and this mien reads up to {SCHEMA}; "
            "upgrade mien (pip install --upgrade mien)"
        )
    if manifest["schema"] < SCHEMA:
        raise BundleMismatch(
            f"{folder} has schema {manifest['schema']}, which knew no calibration; train it again "
            "with this mien, into another folder"
        )
    if manifest.get("manifest_sha256") != _manifest_hash(manifest):
        raise BundleChanged(f"{path} differs from its own checksum; fetch the bundle again")
    return manifest


def _require_parts(folder: Path, manifest: Mapping[str, Any]) -> None:
    for key, kind in REQUIRED.items():
        if not isinstance(manifest.get(key), kind):
            raise BundleMismatch(
                f"{folder / MANIFEST} is incomplete: {key} must be a {kind.__name__}; "
                "export the bundle again"
            )
    if not any(manifest["networks"].get(branch) for branch in BRANCHES):
        raise BundleMismatch(f"{folder} has neither an audio nor a video network")


def _manifest_hash(manifest: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in manifest.items() if key != "manifest_sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _entries(manifest: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Parts of the bundle that are files."""
    entries = {name: manifest.get(name) for name in ("golden", "embedder", "card")}
    entries |= {branch: manifest["networks"].get(branch) for branch in BRANCHES}
    return {part: entry for part, entry in entries.items() if entry}


def _check_file(folder: Path, name: str, sha256: str) -> None:
    if name != Path(name).name:
        raise BundleMismatch(f"{folder}: files must lie in the bundle's folder, not at {name!r}")
    path = folder / name
    if not path.is_file():
        raise BundleNotFound(f"{path} is missing; fetch the bundle again")
    if hash_file(path) != sha256:
        raise BundleChanged(f"{path} differs from its checksum; fetch the bundle again")
