"""Late fusion of one fold: what the branches answered, put together in several ways.

What has to be chosen (temperatures, a weight, a stack) is fitted on the inner clips: training
clips that the networks were not trained on.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from mien.errors import TrainingDataError
from mien.fusion import fuse, temper
from mien.lab.stacking import fit_stack, fit_temperature, fit_weight

LATE = ("average", "weighted", "log_average", "stacked")
"""Fusions of probabilities; the first is the paper's and needs nothing fitted."""

FITTED = frozenset(LATE[1:])
"""Fusions that need inner clips."""


@dataclass(frozen=True)
class Fused:
    """The fused answers of one fold."""

    probabilities: dict[str, np.ndarray]
    """Fusion → shape ``(clips, 8)``; NaN where neither branch answered."""
    chosen: dict[str, Any]
    """What was fitted on the inner clips."""


def fuse_late(
    audio: np.ndarray,
    video: np.ndarray,
    *,
    labels: np.ndarray,
    inner: np.ndarray,
    fusions: Collection[str],
) -> Fused:
    """Put the answers of two branches together, clip by clip.

    A clip that only one branch answered for gets that branch's answer. ``average`` takes the
    probabilities as they are, as the paper does; ``weighted`` and ``log_average`` those that
    each branch's temperature has calibrated, and then temper what comes of it, as a bundle does;
    ``stacked`` is a logistic regression on their logarithms.

    Args:
        audio: probabilities, shape ``(clips, 8)``; NaN where there is no answer.
        video: likewise.
        labels: class numbers, shape ``(clips,)``; only those of inner clips are looked at.
        inner: which clips to fit on.
        fusions: some of :data:`LATE`.

    Raises:
        TrainingDataError: something is to be fitted, and no inner clip has both branches.
    """
    both = ~np.isnan(audio[:, 0]) & ~np.isnan(video[:, 0])
    average = _present(fuse(audio, video))
    if FITTED.isdisjoint(fusions):
        return Fused({"average": average} if "average" in fusions else {}, {})
    known = inner[both[inner]]
    if not len(known):
        raise TrainingDataError(
            f"{', '.join(sorted(FITTED & set(fusions)))}: no inner clip has both sound and picture "
            "to fit by; give --fusion average"
        )
    truth = labels[known]
    temperatures = [fit_temperature(truth, branch[known]) for branch in (audio, video)]
    heard, seen = (
        temper(branch, degree) for branch, degree in zip((audio, video), temperatures, strict=True)
    )
    weight = fit_weight(truth, heard[known], seen[known])
    mixed = {
        "weighted": _present(fuse(heard, seen, method="weighted", weights=(weight, 1 - weight))),
        "log_average": _present(fuse(heard, seen, method="log_average")),
    }
    degrees = {name: fit_temperature(truth, table[known]) for name, table in mixed.items()}
    for name, table in mixed.items():
        table[both] = temper(table[both], degrees[name])
    stacked = average.copy()
    stacked[both] = fit_stack(truth, audio[known], video[known]).predict(audio[both], video[both])
    fused = {
        "average": average,
        **mixed,
        "stacked": stacked,
    }
    return Fused(
        {name: fused[name] for name in LATE if name in fusions},
        {
            "audio": {"temperature": temperatures[0]},
            "video": {"temperature": temperatures[1]},
            "weighted": {"audio": weight, "temperature": degrees["weighted"]},
            "log_average": {"temperature": degrees["log_average"]},
        },
    )


def _present(fused: np.ndarray | None) -> np.ndarray:
    assert fused is not None  # noqa: S101 - both branches are given
    return fused
