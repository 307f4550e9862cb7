"""Outcomes of a study → scores: what ``scores.json`` holds of each protocol."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mien.emotions import EMOTIONS
from mien.lab.branches import Performance
from mien.lab.intervals import paired_wilcoxon, scores
from mien.lab.joint import JOINT
from mien.lab.late import LATE
from mien.lab.metrics import (
    accuracy,
    confusion,
    per_class,
    reliability,
    score,
    unweighted_average_recall,
)
from mien.lab.protocols import PROTOCOLS
from mien.lab.study import Outcome


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What one system said of some clips, over all folds and seeds of a protocol."""

    clips: np.ndarray
    """Place of each row's clip in the corpus."""
    seeds: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """Which rows the system got right."""
        found: np.ndarray = self.probabilities.argmax(axis=1) == self.labels
        return found


def protocol_scores(outcomes: Sequence[Outcome], clips: Sequence[Performance]) -> dict[str, Any]:
    """Score all systems of one protocol.

    Every score is there twice: over held-out clips, and over all clips as the paper counts, the
    training clips included.

    Args:
        outcomes: of all folds and seeds.
        clips: of the corpus.

    Returns:
        The protocol's entry in ``scores.json``.
    """
    first = outcomes[0].part
    held_out = {name: held_out_rows(outcomes, name) for name in outcomes[0].systems}
    protocol = PROTOCOLS[first.protocol]
    return {
        "description": protocol.description,
        "speakers_apart": protocol.speakers_apart,
        "folds": [_fold(outcome, clips) for outcome in outcomes if outcome.part.seed == first.seed],
        "chosen": [
            {"fold": outcome.part.fold, "seed": outcome.part.seed, **outcome.chosen}
            for outcome in outcomes
        ],
        "systems": {
            name: _system(rows, _all_rows(outcomes, name), clips) for name, rows in held_out.items()
        },
        "tests": list(_tests(held_out, clips)),
    }


def held_out_rows(outcomes: Sequence[Outcome], system: str) -> Rows:
    """Collect what a system said of clips that it was not trained on, nor chosen by."""
    return _rows(outcomes, system, lambda outcome: outcome.part.test)


def _all_rows(outcomes: Sequence[Outcome], system: str) -> Rows:
    return _rows(outcomes, system, asked)


def asked(outcome: Outcome) -> np.ndarray:
    """Give the clips of an outcome's training and test parts."""
    return np.union1d(outcome.part.train, outcome.part.test)


def _rows(
    outcomes: Sequence[Outcome], system: str, wanted: Callable[[Outcome], np.ndarray]
) -> Rows:
    parts = []
    for outcome in outcomes:
        answers = outcome.systems[system]
        clips = wanted(outcome)
        clips = clips[~np.isnan(answers[clips, 0])]
        seeds = np.full(len(clips), outcome.part.seed)
        parts.append((clips, seeds, outcome.labels[clips], answers[clips]))
    clips, seeds, labels, probabilities = map(np.concatenate, zip(*parts, strict=True))
    return Rows(clips=clips, seeds=seeds, labels=labels, probabilities=probabilities)


def _fold(outcome: Outcome, clips: Sequence[Performance]) -> dict[str, Any]:
    part = outcome.part
    speakers = {clips[place].example.speaker for place in part.test}
    return {
        "name": part.fold,
        "train": len(part.train) - len(outcome.inner),
        "validation": len(outcome.inner),
        "test": len(part.test),
        "speakers": sorted(filter(None, speakers)),
    }


def _system(held_out: Rows, counted: Rows, clips: Sequence[Performance]) -> dict[str, Any]:
    examples = [clips[place].example for place in held_out.clips]
    speakers = speaker_names(clips)
    said = held_out.probabilities.argmax(axis=1)
    counts = confusion(held_out.labels, said, classes=len(EMOTIONS))
    return {
        "held_out": _scores(held_out, speakers),
        "all_clips": _scores(counted, speakers),
        "confusion": counts.tolist(),
        "by_emotion": {
            emotion: asdict(found)
            for emotion, found in zip(EMOTIONS, per_class(counts), strict=True)
            if found.clips
        },
        "by_intensity": _by(held_out, [example.intensity for example in examples]),
        "by_sex": _by(held_out, [example.sex for example in examples]),
        "by_speaker": _by(held_out, [speakers[place] for place in held_out.clips]),
        "reliability": [
            asdict(found) for found in reliability(held_out.labels, held_out.probabilities)
        ],
        "by_seed": _by_seed(held_out, said),
    }


def speaker_names(clips: Sequence[Performance]) -> list[str | None]:
    """Name the speaker of each clip; with the corpus before it where there are several."""
    several = len({clip.example.corpus for clip in clips}) > 1
    return [
        f"{clip.example.corpus} {clip.example.speaker}"
        if several and clip.example.speaker
        else clip.example.speaker
        for clip in clips
    ]


def _scores(rows: Rows, speakers: Sequence[str | None]) -> dict[str, Any]:
    """Score rows, with intervals over speakers."""
    groups = [speakers[place] for place in rows.clips]
    return scores(rows.labels, rows.probabilities, groups=groups)


def _by(rows: Rows, values: Sequence[str | None]) -> dict[str, Any]:
    """Score the clips of each value apart; clips without one are left out."""
    groups = np.array([value or "" for value in values])
    found = {}
    for value in sorted(set(filter(None, values))):
        chosen = groups == value
        said = rows.probabilities[chosen].argmax(axis=1)
        counts = confusion(rows.labels[chosen], said, classes=len(EMOTIONS))
        found[value] = {
            "clips": int(chosen.sum()),
            "accuracy": accuracy(counts),
            "uar": unweighted_average_recall(counts),
        }
    return found


def _by_seed(rows: Rows, said: np.ndarray) -> dict[str, Any]:
    return {
        str(seed): score(
            rows.labels[rows.seeds == seed], said[rows.seeds == seed], classes=len(EMOTIONS)
        )
        for seed in np.unique(rows.seeds).tolist()
    }


def _tests(held_out: dict[str, Rows], clips: Sequence[Performance]) -> Iterator[dict[str, Any]]:
    """Compare each late fusion with the branches and with the fusions that are networks."""
    late = [name for name in LATE if name in held_out]
    others = [name for name in ("audio", "video", *JOINT) if name in held_out]
    for name in late:
        for other in others:
            yield _test(name, other, held_out, clips)


def _test(
    name: str, other: str, held_out: dict[str, Rows], clips: Sequence[Performance]
) -> dict[str, Any]:
    one, two = held_out[name], held_out[other]
    places = {pair: row for row, pair in enumerate(_pairs(two))}
    common = [(row, places[pair]) for row, pair in enumerate(_pairs(one)) if pair in places]
    rows, other_rows = (list(side) for side in zip(*common, strict=True))
    names = speaker_names(clips)
    speakers = [names[place] for place in one.clips[rows]]
    test = paired_wilcoxon(one.right[rows], two.right[other_rows], speakers)
    return {
        "a": name,
        "b": other,
        "measure": "accuracy",
        "speakers": test.speakers,
        "difference": test.difference,
        "p": test.p,
    }


def _pairs(rows: Rows) -> list[tuple[int, int]]:
    return list(zip(rows.clips.tolist(), rows.seeds.tolist(), strict=True))
