"""A made evaluation, as large as a real one: RAVDESS's clips, two protocols, six systems."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import wilcoxon
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from mien.emotions import EMOTIONS

SKILLS: Mapping[str, Mapping[str, float]] = {
    "random80": {
        "audio": 2.3,
        "video": 2.0,
        "average": 2.8,
        "log_average": 2.9,
        "early": 2.4,
        "attention": 2.5,
    },
    "luna5": {
        "audio": 1.3,
        "video": 1.2,
        "average": 1.75,
        "log_average": 1.7,
        "early": 1.5,
        "attention": 1.45,
    },
}
FOLDS = ("02 05 14 15 16", "03 06 07 13 18", "10 11 12 19 20", "08 17 21 23 24", "01 04 09 22")
COUNTS = (4, 8, 8, 8, 8, 8, 8, 8)
"""Clips of each emotion by each of the 24 actors."""

Table = np.ndarray


def clips() -> tuple[Table, Table, Table]:
    """Give truth, speaker number and whether the emotion is strong, of 1,440 clips."""
    truth = np.tile(np.repeat(np.arange(8), COUNTS), 24)
    speaker = np.repeat(np.arange(1, 25), sum(COUNTS))
    strong = (np.arange(len(truth)) % 2 == 1) & (truth > 0)
    return truth, speaker, strong


def probabilities(skill: float, rng: np.random.Generator) -> Table:
    """Answer each clip as somebody with that skill might; speakers are easier and harder."""
    truth, speaker, strong = clips()
    ease = np.random.default_rng(7).normal(0, 0.35, 25)[speaker] + 0.4 * strong
    scores = rng.normal(0, 1, (len(truth), 8))
    scores[np.arange(len(truth)), truth] += skill + ease
    for one, other in ((0, 1), (3, 5), (2, 7)):
        scores[truth == one, other] += 0.8
    shares = np.exp(1.5 * scores)
    normed: Table = shares / shares.sum(axis=1, keepdims=True)
    return normed


def measured(values: Sequence[float], deviation: float) -> dict[str, Any]:
    value = float(np.mean(values))
    return {"value": value, "ci95": [max(0.0, value - deviation), min(1.0, value + deviation)]}


def scores_of(truth: Table, answers: Table, speaker: Table) -> dict[str, Any]:
    said = answers.argmax(axis=1)
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, said, average="macro", zero_division=0
    )
    by_speaker = [np.mean((said == truth)[speaker == each]) for each in np.unique(speaker)]
    half = 1.96 * float(np.std(by_speaker)) / len(by_speaker) ** 0.5
    brier = np.mean(np.sum((answers - np.eye(8)[truth]) ** 2, axis=1))
    ece = sum(
        abs(part["confidence"] - part["accuracy"]) * part["clips"] / len(truth)
        for part in reliability(truth, answers)
        if part["clips"]
    )
    return {
        "clips": len(truth),
        "interval_over": "speakers",
        "accuracy": measured([float(np.mean(said == truth))], half),
        "uar": measured([recall], half),
        "f1_macro": measured([f1], half),
        "precision_macro": measured([precision], half),
        "brier": measured([float(brier)], half),
        "ece": measured([ece], half / 3),
    }


def reliability(truth: Table, answers: Table) -> list[dict[str, Any]]:
    confidence, right = answers.max(axis=1), answers.argmax(axis=1) == truth
    bins: list[dict[str, Any]] = []
    for low in np.arange(10) / 10:
        inside = (confidence > low) & (confidence <= low + 0.1)
        some = bool(inside.any())
        bins.append(
            {
                "low": float(low),
                "high": float(low + 0.1),
                "clips": int(inside.sum()),
                "confidence": float(confidence[inside].mean()) if some else None,
                "accuracy": float(right[inside].mean()) if some else None,
            }
        )
    return bins


def grouped(truth: Table, said: Table, groups: Table) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for group in np.unique(groups):
        inside = groups == group
        right = (said == truth)[inside]
        recalls = [right[truth[inside] == each].mean() for each in np.unique(truth[inside])]
        made[str(group)] = {
            "clips": int(inside.sum()),
            "accuracy": float(right.mean()),
            "uar": float(np.mean(recalls)),
        }
    return made


def system(answers: Table, *, tested: Table) -> dict[str, Any]:
    """Make all that ``scores.json`` says of a system.

    Args:
        answers: shape ``(1440, 8)``.
        tested: which clips are held out.
    """
    every_truth, every_speaker, strong = clips()
    truth, speaker, held_out = every_truth[tested], every_speaker[tested], answers[tested]
    said = held_out.argmax(axis=1)
    parts = precision_recall_fscore_support(truth, said, labels=range(8), zero_division=0)
    known = np.where(tested[:, None], answers, np.eye(8)[every_truth])
    held = scores_of(truth, held_out, speaker)
    return {
        "held_out": held,
        "all_clips": scores_of(every_truth, known, every_speaker),
        "confusion": confusion_matrix(truth, said, labels=range(8)).tolist(),
        "by_emotion": {
            name: {"clips": int(count), "recall": float(r), "precision": float(p), "f1": float(f)}
            for name, p, r, f, count in zip(EMOTIONS, *parts, strict=True)
        },
        "by_intensity": grouped(truth, said, np.where(strong[tested], "strong", "normal")),
        "by_sex": grouped(truth, said, np.where(speaker % 2, "male", "female")),
        "by_speaker": grouped(truth, said, np.array([f"{each:02d}" for each in speaker])),
        "reliability": reliability(truth, held_out),
        "by_seed": {
            "0": {key: held[key]["value"] for key in ("accuracy", "uar", "f1_macro")},
        },
    }


def paired(systems: Mapping[str, Any], one: str, other: str) -> dict[str, Any]:
    first, second = (
        np.array([each["accuracy"] for each in systems[name]["by_speaker"].values()])
        for name in (one, other)
    )
    return {
        "a": one,
        "b": other,
        "measure": "accuracy",
        "speakers": len(first),
        "difference": float(np.mean(first - second)),
        "p": float(wilcoxon(first, second).pvalue),
    }


def protocol(name: str, rng: np.random.Generator) -> dict[str, Any]:
    apart = name == "luna5"
    tested = np.ones(1440, bool) if apart else rng.random(1440) < 0.2
    systems = {
        each: system(probabilities(skill, rng), tested=tested)
        for each, skill in SKILLS[name].items()
    }
    everybody = [f"{number:02d}" for number in range(1, 25)]
    speakers = [fold.split() for fold in FOLDS] if apart else [everybody]
    names = [str(number + 1) for number in range(len(speakers))]
    return {
        "description": "five groups of actors, each tested once (Luna-Jiménez et al. 2022)"
        if apart
        else "80 % of the clips train, drawn at random within each emotion; 20 % are tested",
        "speakers_apart": apart,
        "leak_override": None,
        "leaks": [],
        "folds": [
            {
                "name": fold,
                "train": 1440 - 60 * len(some) - 171 if apart else 979,
                "validation": 171,
                "test": 60 * len(some) if apart else 290,
                "speakers": some,
            }
            for fold, some in zip(names, speakers, strict=True)
        ],
        "chosen": [
            {
                "fold": fold,
                "seed": 0,
                "audio": {"epoch": int(rng.integers(8, 20)), "temperature": 1.2041},
                "video": {"epoch": int(rng.integers(8, 20)), "temperature": 1.01},
            }
            for fold in names
        ],
        "systems": systems,
        "tests": [paired(systems, "average", each) for each in SKILLS[name] if each != "average"],
    }


def sample_scores() -> dict[str, Any]:
    """Make the content of a ``scores.json``; always the same."""
    rng = np.random.default_rng(0)
    recipe = {"epochs": 20, "batch_size": 32, "learning_rate": 1e-3, "augment": True}
    return {
        "schema": 1,
        "created": "2026-11-25T15:00:00+00:00",
        "command": "mien evaluate ravdess --preset mien --protocol random80,luna5 --fusion all "
        "--video-features tables/video_aus_mean.csv --out study",
        "mien_version": "0.1.0",
        "git_commit": "d5798b6f0c1d2e3f405162738495a6b7c8d9e0f1",
        "versions": {"python": "3.11.7", "numpy": "2.4.0", "jax": "0.8.1", "keras": "3.15.0"},
        "hardware": {
            "processor": "Intel Xeon",
            "cores": 2,
            "memory_gib": 24,
            "devices": ["cpu"],
        },
        "seconds": 1234.5,
        "settings": {
            "preset": "mien",
            "seeds": [0],
            "epochs": 20,
            "fusions": list(SKILLS["luna5"]),
        },
        "corpus": {
            "sources": ["ravdess"],
            "clips": 1440,
            "speakers": 24,
            "emotions": {name: 24 * count for name, count in zip(EMOTIONS, COUNTS, strict=True)},
            "excluded": [{"clip": "Actor_05/03-01-06-01-02-02-05.wav", "reason": "no bytes in it"}],
        },
        "branches": {
            "audio": {
                "network": "light_audio",
                "parameters": 189_097,
                "input": "ZCR, RMS, MFCC of 272 frames",
                "recipe": recipe,
            },
            "video": {
                "network": "clip_table",
                "parameters": 13_000,
                "input": "35 columns of video_aus_mean.csv, one row a clip",
                "recipe": recipe,
            },
        },
        "protocols": {name: protocol(name, rng) for name in SKILLS},
    }


def sample_history() -> list[dict[str, Any]]:
    """Make the rows of a ``history.csv``."""
    rng = np.random.default_rng(1)
    return [
        {
            "protocol": name,
            "fold": fold,
            "seed": 0,
            "network": network,
            "epoch": epoch,
            "loss": round(2 * 0.85**epoch + 0.1 + rng.normal(0, 0.03), 4),
            "val_loss": round(1.3 * 0.9**epoch + 0.9 + 0.01 * epoch + rng.normal(0, 0.05), 4),
        }
        for name, folds in (("random80", 1), ("luna5", 5))
        for fold in map(str, range(1, folds + 1))
        for network in ("audio", "video", "early", "attention")
        for epoch in range(1, 21)
    ]


def write_sample(
    folder: Path, scores: Mapping[str, Any], history: Sequence[Mapping[str, Any]] = ()
) -> Path:
    """Write both files as an evaluation does; no history without rows."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scores.json").write_text(json.dumps(scores), encoding="utf-8")
    if history:
        with (folder / "history.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(history[0]))
            writer.writeheader()
            writer.writerows(history)
    return folder
