"""Scores of predictions: pure functions on arrays, validated first.

scikit-learn's ``accuracy_score``, ``recall_score`` and ``f1_score`` with ``average="macro"`` over
the classes that occur in the truth give the same numbers.
"""

import numpy as np
import numpy.typing as npt

from mien.errors import InvalidArgument

Counts = npt.NDArray[np.int64]


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
        if values.min() < 0 or values.max() >= classes:
            raise InvalidArgument(f"{name} must be 0 to {classes - 1}, not up to {values.max()}")
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (true, said), 1)
    return counts


def accuracy(counts: Counts) -> float:
    """Give the share of clips that were recognised.

    >>> accuracy(np.array([[1, 1], [0, 1]]))
    0.6666666666666666
    """
    return float(np.trace(counts) / counts.sum())


def unweighted_average_recall(counts: Counts) -> float:
    """Give the mean, over the classes in the truth, of the share that was recognised (UAR).

    >>> unweighted_average_recall(np.array([[1, 1], [0, 1]]))
    0.75
    """
    occurring = counts.sum(axis=1) > 0
    return float(np.mean(np.diag(counts)[occurring] / counts.sum(axis=1)[occurring]))


def macro_f1(counts: Counts) -> float:
    """Give the mean, over the classes in the truth, of the F1 score.

    >>> round(macro_f1(np.array([[1, 1], [0, 1]])), 4)
    0.6667
    """
    occurring = counts.sum(axis=1) > 0
    halves = (counts.sum(axis=0) + counts.sum(axis=1))[occurring] / 2
    return float(np.mean(np.diag(counts)[occurring] / halves))


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
