"""How sure scores are: bootstrap over speakers, paired tests between systems."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.errors import InvalidArgument
from mien.lab.metrics import Numbers, calibration_gaps, measures, squared_distances

DRAWS = 2_000
"""Bootstrap samples: percentiles at 2.5 and 97.5 then rest on 50 draws each."""

PERCENTILES = (2.5, 97.5)

CELLS_AT_ONCE = 8_000_000
"""Drawn numbers held at the same time: 64 MB."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A score and the 95 % interval around it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """Whether one system is better than another for the same speakers."""

    speakers: int
    difference: float
    """Mean over speakers of accuracy of the first less accuracy of the second, -1 to 1."""
    p: float | None
    """Two-sided; ``None`` with fewer than two speakers."""


def scores(
    truth: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    *,
    groups: Sequence[str | None] | None = None,
) -> dict[str, Any]:
    """Give every score of a table of predictions, each with its 95 % interval.

    Args:
        truth: class numbers, shape ``(clips,)``.
        probabilities: shape ``(clips, classes)``; each row adds up to 1.
        groups: speaker of each clip, ``None`` where not known. With two speakers or more, the
            interval is over speakers, and a clip without one is drawn by itself; else it is over
            clips, which is narrower than the truth when clips of a speaker resemble each other.

    Returns:
        What ``scores.json`` holds: ``clips``, ``interval_over`` (``"speakers"`` or ``"clips"``),
        and ``accuracy``, ``uar``, ``f1_macro``, ``precision_macro``, ``brier`` and ``ece``, each
        ``{"value": …, "ci95": [low, high]}``.

    Raises:
        InvalidArgument: as :func:`mien.lab.metrics.squared_distances`, or not one group a clip.

    >>> found = scores([0, 1], [[0.75, 0.25], [0.25, 0.75]], groups=["01", "02"])
    >>> found["interval_over"], found["accuracy"]
    ('speakers', {'value': 1.0, 'ci95': [1.0, 1.0]})
    """
    distances = squared_distances(truth, probabilities)
    table = np.asarray(probabilities, np.float64)
    clips, classes = table.shape
    cells = np.zeros((clips, classes * classes))
    cells[np.arange(clips), np.asarray(truth, np.int64) * classes + table.argmax(axis=1)] = 1
    gaps = calibration_gaps(truth, probabilities)
    sums = np.hstack([cells, distances[:, None], gaps])
    over_speakers = groups is not None and len(set(groups) - {None}) > 1
    found = bootstrap(
        sums,
        lambda some: _measured(some, classes=classes),
        groups=_named(groups) if groups is not None and over_speakers else range(clips),
    )
    return {
        "clips": clips,
        "interval_over": "speakers" if over_speakers else "clips",
        **{
            name: {"value": interval.value, "ci95": [interval.low, interval.high]}
            for name, interval in found.items()
        },
    }


def bootstrap(
    rows: npt.ArrayLike,
    measure: Callable[[Numbers], Mapping[str, Numbers]],
    *,
    groups: Sequence[Hashable],
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Interval]:
    """Give percentile intervals of measures that depend on sums over clips alone.

    Groups, such as speakers, are drawn with replacement, as many as there are, with all their
    clips: clips of one group are not independent of each other.

    Args:
        rows: what is added up, shape ``(clips, columns)``.
        measure: sums of shape ``(..., columns)`` → measures by name, each of shape ``(...)``.
        groups: group of each clip; any values that can be told apart.
        draws: bootstrap samples.
        seed: draws the same groups again.

    Returns:
        The measures of all clips, with the 2.5th and the 97.5th percentile of the samples.

    Raises:
        InvalidArgument: ``rows`` is no table with rows, or there is not one group a row.

    Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", section 13.3.

    >>> mean = lambda sums: {"mean": sums[..., 0] / sums[..., 1]}
    >>> bootstrap([[5.0, 1.0], [5.0, 1.0]], mean, groups=["a", "b"])
    {'mean': Interval(value=5.0, low=5.0, high=5.0)}
    """
    table = np.asarray(rows, np.float64)
    if table.ndim != 2 or not len(table) or len(groups) != len(table):
        raise InvalidArgument(
            f"rows must be of shape (clips, columns), with one of groups for each clip, "
            f"not {table.shape} with {len(groups)} groups"
        )
    samples = measure(_drawn(_sums(table, groups), draws=draws, seed=seed))
    values = measure(table.sum(axis=0))
    return {name: _interval(values[name], samples[name]) for name in values}


def paired_wilcoxon(
    correct_a: npt.ArrayLike, correct_b: npt.ArrayLike, groups: Sequence[str | None]
) -> PairedTest:
    """Test over speakers whether two systems are equally accurate: Wilcoxon's signed-rank test.

    Speakers for whom both are equally accurate are left out, as Wilcoxon proposed.

    Args:
        correct_a: whether the first system recognised each clip, shape ``(clips,)``.
        correct_b: likewise for the second system and the same clips.
        groups: speaker of each clip; clips with ``None`` are left out, unless all are: then the
            difference is over clips, without a test.

    Raises:
        InvalidArgument: lengths that differ, or no clips.

    Source: scipy.stats.wilcoxon, two-sided, ``zero_method="wilcox"``.

    >>> speakers = ["01", "02", "03", "04", "05"]
    >>> paired_wilcoxon([1, 1, 1, 1, 1], [0, 0, 0, 0, 0], speakers)
    PairedTest(speakers=5, difference=1.0, p=0.0625)
    """
    first, second = np.asarray(correct_a, np.float64), np.asarray(correct_b, np.float64)
    if not first.shape == second.shape == (len(groups),) or not len(groups):
        raise InvalidArgument(
            "correct_a, correct_b and groups must be of one length, 1 or more, "
            f"not {first.shape}, {second.shape} and ({len(groups)},)"
        )
    named = [place for place, group in enumerate(groups) if group is not None]
    speakers = [groups[place] for place in named]
    if not named:
        return PairedTest(speakers=0, difference=float((first - second).mean()), p=None)
    # Whole numbers are added up, so that equal accuracies differ by exactly 0.
    table = np.column_stack([first - second, np.ones(len(groups))])
    sums = _sums(table[named], speakers)
    differences = sums[:, 0] / sums[:, 1]
    return PairedTest(
        speakers=len(sums), difference=float(differences.mean()), p=_signed_rank(differences)
    )


def _signed_rank(differences: Numbers) -> float | None:
    if len(differences) < 2:
        return None
    if not differences.any():
        return 1.0
    # `mien fuse` uses this module where SciPy is not installed.
    from scipy.stats import wilcoxon  # noqa: PLC0415

    return float(wilcoxon(differences, zero_method="wilcox").pvalue)


def _named(groups: Sequence[str | None]) -> list[Hashable]:
    """Make each clip without a speaker a group of its own."""
    return [place if group is None else group for place, group in enumerate(groups)]


def _measured(sums: Numbers, *, classes: int) -> dict[str, Numbers]:
    cells = classes * classes
    counts = sums[..., :cells].reshape(*sums.shape[:-1], classes, classes)
    clips = counts.sum(axis=(-2, -1))
    return {
        **measures(counts),
        "brier": sums[..., cells] / clips,
        "ece": np.abs(sums[..., cells + 1 :]).sum(axis=-1) / clips,
    }


def _sums(rows: Numbers, groups: Sequence[Hashable]) -> Numbers:
    """Add up the rows of each group, groups in the order in which they first occur."""
    numbers: dict[Hashable, int] = {}
    places = [numbers.setdefault(group, len(numbers)) for group in groups]
    sums = np.zeros((len(numbers), rows.shape[1]))
    np.add.at(sums, places, rows)
    return sums


def _drawn(sums: Numbers, *, draws: int, seed: int) -> Numbers:
    """Add up the sums of the groups of each sample: shape ``(draws, columns)``."""
    chance = np.random.default_rng(seed)
    groups = len(sums)
    samples = np.empty((draws, sums.shape[1]))
    step = max(1, CELLS_AT_ONCE // groups)
    for start in range(0, draws, step):
        part = samples[start : start + step]
        picks = chance.integers(groups, size=(len(part), groups))
        own_numbers = picks + groups * np.arange(len(part))[:, None]
        times = np.bincount(own_numbers.ravel(), minlength=picks.size).reshape(picks.shape)
        part[:] = times @ sums
    return samples


def _interval(value: Numbers, samples: Numbers) -> Interval:
    low, high = np.percentile(samples, PERCENTILES).tolist()
    return Interval(value=float(value), low=low, high=high)
