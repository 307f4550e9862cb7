"""Trained networks → a bundle: manifest, calibration, golden answers, scores, model card."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import mien
from mien.bundle import BRANCHES, SCHEMA, Networks, load_bundle, write_manifest
from mien.calibration import Calibration
from mien.config import Config, config_hash
from mien.embed import Embedder
from mien.emotions import EMOTIONS
from mien.lab.answers import ANSWER_BATCH
from mien.lab.calibrate import FEWEST, Unseen, calibrate
from mien.lab.dataset import Loaded
from mien.lab.fit import Fitted
from mien.lab.held_out import held_out_scores
from mien.lab.light import embedder_of
from mien.lab.model_card import licence_of, model_card
from mien.lab.presets import Preset
from mien.verify import golden_answers, golden_inputs, golden_outputs

logger = logging.getLogger(__name__)

CARD = "model-card.md"
GOLDEN = "golden.npz"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training run has made; the graphs of its networks lie in the bundle's folder."""

    preset: Preset
    config: Config
    embedder: Embedder | None
    fitted: Mapping[str, Fitted]
    """By name: ``audio``, ``video``, ``expression``."""
    unseen: Mapping[str, Unseen]
    """By branch, answers to calibrate by."""
    tested: Mapping[str, Loaded]
    """By branch, the clips held out."""
    scores: Mapping[str, Mapping[str, Any]]
    """What is scored already."""
    training: Mapping[str, Any]
    """How it was trained: an entry of the manifest."""

    @property
    def branches(self) -> list[str]:
        """The branches that the bundle will have."""
        return [branch for branch in BRANCHES if branch in self.fitted]


def assemble(folder: Path, trained: Trained, *, name: str) -> None:
    """Make a bundle of the graphs in a folder.

    Args:
        folder: holds ``audio.onnx``, ``video.onnx`` and ``embedder.onnx``, as far as they are.
        trained: what they came of.
        name: of the bundle.
    """
    calibration, scores = _calibrated(trained)
    manifest = {**_manifest(trained), "name": name, "calibration": calibration.to_dict()}
    _write_golden(folder, manifest, trained)
    networks = Networks(load_bundle(folder))
    for branch, loaded in trained.tested.items():
        answers = np.concatenate(list(_answers(networks, branch, loaded.arrays.inputs)))
        scores[branch] = held_out_scores(loaded.examples, answers)
    manifest["scores"] = scores
    (folder / CARD).write_text(model_card(manifest), encoding="utf-8")
    write_manifest(folder, {**manifest, "card": {"file": CARD}})


def _calibrated(trained: Trained) -> tuple[Calibration, dict[str, Any]]:
    """Give the calibration, and the scores so far with its own."""
    preset = trained.preset
    if not preset.calibrated:
        return Calibration.none(trained.branches, fusion=preset.fusion), {**trained.scores}
    found = calibrate(trained.unseen, fusion=preset.fusion, seed=trained.training["seed"])
    for name, answer in found.calibration.answers.items():
        if not answer.clips:
            logger.warning(
                "%s is not calibrated: it needs %d clips of every emotion that it is to tell",
                name,
                FEWEST,
            )
    new = {f"{name} calibrated": scores for name, scores in found.scores.items()}
    return found.calibration, {**trained.scores, **new}


def _manifest(trained: Trained) -> dict[str, Any]:
    embedder = trained.embedder
    return {
        "schema": SCHEMA,
        "mien_version": mien.__version__,
        "labels": list(EMOTIONS),
        "config": trained.config.to_dict(),
        "config_sha256": config_hash(trained.config),
        "embedder": embedder
        and {
            "file": "embedder.onnx",
            "name": embedder.name,
            "source": embedder.source,
            "licence": embedder.licence,
        },
        "networks": {
            branch: {
                "file": f"{branch}.onnx",
                "architecture": trained.fitted[branch].network.name,
                "parameters": trained.fitted[branch].network.count_params(),
            }
            for branch in trained.branches
        },
        "golden": {"file": GOLDEN},
        "training": dict(trained.training),
        "scores": {},
        "licence": licence_of(trained.training["corpora"]),
    }


def _write_golden(folder: Path, manifest: Mapping[str, Any], trained: Trained) -> None:
    inputs: dict[str, Any] = golden_inputs(trained.config)
    np.savez(folder / GOLDEN, **inputs)
    # Signed before and after: only a bundle that can be loaded can be asked.
    write_manifest(folder, manifest)
    networks = Networks(load_bundle(folder))
    outputs: dict[str, Any] = golden_outputs(networks, inputs) | golden_answers(folder)
    outputs |= _keras_outputs(trained, networks, inputs)
    np.savez(folder / GOLDEN, **inputs, **outputs)
    write_manifest(folder, manifest)


def _keras_outputs(
    trained: Trained, networks: Networks, inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Answer the golden inputs by Keras, but for an embedder that was given as a graph."""
    rows = {"audio": inputs["features"][None]}
    if "expression" in trained.fitted:
        embed = embedder_of(trained.fitted["expression"].network)
        rows["video"] = embed.predict(inputs["crops"].astype(np.float32), verbose=0)[None]
    elif networks.embedder:
        rows["video"] = networks.embedder.embed(inputs["crops"])[None]
    return {
        f"keras_{branch}": trained.fitted[branch].network.predict(rows[branch], verbose=0)[0]
        for branch in trained.branches
    }


def _answers(networks: Networks, branch: str, inputs: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(inputs), ANSWER_BATCH):
        yield networks.answer(branch, inputs[start : start + ANSWER_BATCH])
