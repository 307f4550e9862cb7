"""Scores of predictions: pure functions on arrays, validated first.

scikit-learn's ``accuracy_score``, ``recall_score``, ``precision_score`` and ``f1_score`` with
``average="macro"`` and ``zero_division=0`` over the classes that occur in the truth give the same
numbers.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.errors import InvalidArgument

Counts = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]

BINS = 15
"""Equal widths of confidence in which calibration is looked at, as in Guo et al. 2017."""

SUM_TOLERANCE = 1e-3
"""How far from 1 the probabilities of a clip may add up: float32 and printed digits stay below."""


@dataclass(frozen=True, kw_only=True)
class ClassScores:
    """How well one class is recognised; all shares are 0 where nothing can be divided by."""

    clips: int
    """Clips that are of the class."""
    recall: float
    precision: float
    f1: float


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """The clips that were answered with about the same confidence."""

    low: float
    high: float
    """Confidences of the bin: above ``low``, up to ``high``."""
    clips: int
    confidence: float
    """Mean probability of the answer."""
    accuracy: float


def confusion(truth: npt.ArrayLike, predicted: npt.ArrayLike, *, classes: int) -> Counts:
    """Count how often each class was taken for each.

    Args:
        truth: class numbers, shape ``(clips,)``, 0 to ``classes - 1``.
        predicted: likewise.
        classes: how many there are.

    Returns:
        Shape ``(classes, classes)``: row the truth, column the prediction.

    Raises:
        InvalidArgument: no clips, different lengths, or a class out of range.

    >>> confusion([0, 0, 1], [0, 1, 1], classes=2).tolist()
    [[1, 1], [0, 1]]
    """
    true, said = np.asarray(truth), np.asarray(predicted)
    if true.ndim != 1 or true.shape != said.shape or true.size == 0:
        raise InvalidArgument(
            f"truth and predicted must be vectors of one length, not {true.shape} and {said.shape}"
        )
    for name, values in (("truth", true), ("predicted", said)):
        _require_classes(name, values, classes=classes)
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (true, said), 1)
    return counts


def measures(counts: npt.NDArray[np.number]) -> dict[str, Numbers]:
    """Give accuracy, UAR, macro-F1 and macro precision of one confusion matrix or of many.

    Args:
        counts: shape ``(..., classes, classes)``: row the truth, column the prediction; whole
            numbers or weights, not all 0.

    Returns:
        By name ``accuracy``, ``uar``, ``f1_macro`` and ``precision_macro``, each of shape
        ``(...)``; the last three are means over the classes in the truth of that matrix.

    >>> measures(np.array([[[1, 1], [0, 1]], [[2, 0], [0, 0]]]))["uar"].tolist()
    [0.75, 1.0]
    """
    recognised = np.diagonal(counts, axis1=-2, axis2=-1)
    true, said = counts.sum(axis=-1), counts.sum(axis=-2)
    occurring = (true > 0).sum(axis=-1)
    return {
        "accuracy": np.asarray(recognised.sum(axis=-1) / true.sum(axis=-1)),
        "uar": np.asarray(_shares(recognised, true).sum(axis=-1) / occurring),
        "f1_macro": np.asarray(_shares(2 * recognised, true + said).sum(axis=-1) / occurring),
        "precision_macro": np.asarray(_shares(recognised, said).sum(axis=-1) / occurring),
    }


def accuracy(counts: Counts) -> float:
    """Give the share of clips that were recognised.

    >>> accuracy(np.array([[1, 1], [0, 1]]))
    0.6666666666666666
    """
    return float(measures(counts)["accuracy"])


def unweighted_average_recall(counts: Counts) -> float:
    """Give the mean, over the classes in the truth, of the share that was recognised (UAR).

    >>> unweighted_average_recall(np.array([[1, 1], [0, 1]]))
    0.75
    """
    return float(measures(counts)["uar"])


def macro_f1(counts: Counts) -> float:
    """Give the mean, over the classes in the truth, of the F1 score.

    >>> round(macro_f1(np.array([[1, 1], [0, 1]])), 4)
    0.6667
    """
    return float(measures(counts)["f1_macro"])


def macro_precision(counts: Counts) -> float:
    """Give the mean, over the classes in the truth, of the share of its answers that are right.

    A class that is never answered counts as 0.

    >>> macro_precision(np.array([[1, 1], [0, 1]]))
    0.75
    """
    return float(measures(counts)["precision_macro"])


def per_class(counts: Counts) -> tuple[ClassScores, ...]:
    """Give recall, precision and F1 of each class, in the order of the rows.

    >>> per_class(np.array([[1, 1], [0, 1]]))[1]
    ClassScores(clips=1, recall=1.0, precision=0.5, f1=0.6666666666666666)
    """
    recognised, true, said = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    shares = (
        _shares(recognised, true),
        _shares(recognised, said),
        _shares(2 * recognised, true + said),
    )
    return tuple(
        ClassScores(clips=clips, recall=recall, precision=precision, f1=f1)
        for clips, recall, precision, f1 in zip(
            true.tolist(), *(share.tolist() for share in shares), strict=True
        )
    )


def score(truth: npt.ArrayLike, predicted: npt.ArrayLike, *, classes: int) -> dict[str, float]:
    """Give all scores of a table of predictions, by name.

    >>> score([0, 0, 1], [0, 1, 1], classes=2)["clips"]
    3
    """
    counts = confusion(truth, predicted, classes=classes)
    return {
        "clips": int(counts.sum()),
        "accuracy": round(accuracy(counts), 4),
        "uar": round(unweighted_average_recall(counts), 4),
        "f1_macro": round(macro_f1(counts), 4),
    }


def squared_distances(truth: npt.ArrayLike, probabilities: npt.ArrayLike) -> Numbers:
    """Give each clip's part of the Brier score.

    Args:
        truth: class numbers, shape ``(clips,)``.
        probabilities: shape ``(clips, classes)``; each row adds up to 1.

    Returns:
        Shape ``(clips,)``, 0 to 2: the squared distance between the probabilities and the vector
        that has 1 for the true class and 0 elsewhere.

    Raises:
        InvalidArgument: shapes that do not fit, no clips, a class out of range, or numbers that
            are no probabilities.

    >>> squared_distances([0, 0], [[1.0, 0.0], [0.5, 0.5]]).tolist()
    [0.0, 0.5]
    """
    true, table = _checked(truth, probabilities)
    wanted = np.eye(table.shape[1])[true]
    distances: Numbers = np.square(table - wanted).sum(axis=1)
    return distances


def brier(truth: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """Give the Brier score of several classes: 0 is perfect, 2 is sure and always wrong.

    Args and errors are those of :func:`squared_distances`, whose mean this is.

    Source: Brier 1950, "Verification of forecasts expressed in terms of probability".

    >>> brier([0, 0], [[1.0, 0.0], [0.5, 0.5]])
    0.25
    """
    return float(squared_distances(truth, probabilities).mean())


def calibration_gaps(
    truth: npt.ArrayLike, probabilities: npt.ArrayLike, *, bins: int = BINS
) -> Numbers:
    """Give by how much each clip's confidence lies above its outcome, in the column of its bin.

    Args:
        truth: class numbers, shape ``(clips,)``.
        probabilities: shape ``(clips, classes)``; each row adds up to 1.
        bins: of equal width from 0 to 1; a confidence on an edge belongs to the bin below.

    Returns:
        Shape ``(clips, bins)``: the probability of the answer, less 1 where it is right.

    Raises:
        InvalidArgument: as :func:`squared_distances`, or no bins.

    >>> calibration_gaps([0, 0], [[0.75, 0.25], [0.0, 1.0]], bins=2).tolist()
    [[0.0, -0.25], [0.0, 1.0]]
    """
    confidence, right, places = _placed(truth, probabilities, bins=bins)
    gaps = np.zeros((len(places), bins))
    gaps[np.arange(len(places)), places] = confidence - right
    return gaps


def expected_calibration_error(
    truth: npt.ArrayLike, probabilities: npt.ArrayLike, *, bins: int = BINS
) -> float:
    """Give the mean distance, over clips, between a bin's confidence and its accuracy (ECE).

    Args and errors are those of :func:`calibration_gaps`. 0 is perfect, 1 is sure and always
    wrong.

    Source: Guo et al. 2017, "On calibration of modern neural networks", equation 3.

    >>> expected_calibration_error([0, 0], [[0.75, 0.25], [0.25, 0.75]])
    0.25
    """
    gaps = calibration_gaps(truth, probabilities, bins=bins)
    return float(np.abs(gaps.sum(axis=0)).sum() / len(gaps))


def reliability(
    truth: npt.ArrayLike, probabilities: npt.ArrayLike, *, bins: int = BINS
) -> tuple[ReliabilityBin, ...]:
    """Give the points of the reliability curve, from low confidence to high.

    Args and errors are those of :func:`calibration_gaps`.

    Returns:
        The bins that hold clips: of the others nothing can be said.

    >>> reliability([0, 1], [[0.75, 0.25], [0.75, 0.25]], bins=2)
    (ReliabilityBin(low=0.5, high=1.0, clips=2, confidence=0.75, accuracy=0.5),)
    """
    confidence, right, places = _placed(truth, probabilities, bins=bins)
    edges = np.linspace(0, 1, bins + 1).tolist()
    return tuple(
        ReliabilityBin(
            low=edges[place],
            high=edges[place + 1],
            clips=int((places == place).sum()),
            confidence=float(confidence[places == place].mean()),
            accuracy=float(right[places == place].mean()),
        )
        for place in np.unique(places).tolist()
    )


def _shares(part: npt.NDArray[np.number], whole: npt.NDArray[np.number]) -> Numbers:
    nothing = np.zeros(np.shape(whole))
    shares: Numbers = np.divide(part, whole, out=nothing, where=whole > 0)
    return shares


def _require_classes(name: str, values: npt.NDArray[np.generic], *, classes: int) -> None:
    if not np.issubdtype(values.dtype, np.integer):
        raise InvalidArgument(f"{name} must hold class numbers, not {values.dtype} values")
    numbers = values.astype(np.int64)
    if numbers.min() < 0 or numbers.max() >= classes:
        raise InvalidArgument(
            f"{name} must be 0 to {classes - 1}, not {numbers.min()} to {numbers.max()}"
        )


def _checked(
    truth: npt.ArrayLike, probabilities: npt.ArrayLike
) -> tuple[npt.NDArray[np.int64], Numbers]:
    true, table = np.asarray(truth), np.asarray(probabilities, np.float64)
    if table.ndim != 2 or true.shape != table.shape[:1] or table.size == 0:
        raise InvalidArgument(
            "truth and probabilities must be of shapes (clips,) and (clips, classes), "
            f"not {true.shape} and {table.shape}"
        )
    _require_classes("truth", true, classes=table.shape[1])
    good = np.isfinite(table).all(axis=1) & (table >= 0).all(axis=1)
    good &= np.abs(table.sum(axis=1) - 1) <= SUM_TOLERANCE
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        raise InvalidArgument(
            f"probabilities must be 0 or more and add up to 1 in each row, not {table[row]} in "
            f"row {row}; leave out clips without an answer"
        )
    return true.astype(np.int64), table


def _placed(
    truth: npt.ArrayLike, probabilities: npt.ArrayLike, *, bins: int
) -> tuple[Numbers, npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Give confidence, whether it is right, and the bin's number, each of shape ``(clips,)``."""
    true, table = _checked(truth, probabilities)
    if bins < 1:
        raise InvalidArgument(f"bins must be 1 or more, not {bins}")
    confidence = table.max(axis=1)
    edges = np.linspace(0, 1, bins + 1)
    # The sum may be a little above 1, and so the surest confidence.
    places = np.minimum(np.searchsorted(edges, confidence) - 1, bins - 1)
    return confidence, table.argmax(axis=1) == true, places.astype(np.int64)
