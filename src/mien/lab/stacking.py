"""Fusions and calibration that are fitted: on inner-fold probabilities, never on test clips."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import block_diag
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression

from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument, TrainingDataError
from mien.fusion import FLOOR, fuse, temper

Numbers = npt.NDArray[np.float64]

TEMPERATURES = (0.05, 20.0)
"""Lowest and highest temperature that is looked at."""

WEIGHT_STEPS = 20
"""Weights from 0 to 1 are tried in so many steps: finer ones differ by less than chance."""

STACK_STRENGTH = 0.2
"""scikit-learn's ``C``. Inner folds hold one or two hundred clips and a stack 136 numbers. With
predictions from real action units and made ones of several strengths, fitted on three actors and
tested on others, 0.03 to 0.1 were the most accurate and 0.3 had the lowest log loss."""

CENTRING = np.eye(len(EMOTIONS)) - 1 / len(EMOTIONS)
"""Takes the mean out of the eight numbers of a row."""

LEAST_SPREAD = 1e-6
"""A branch that always gives the same answer has none to be divided by."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Stack:
    """A fitted stack: multinomial logistic regression on both branches' log probabilities."""

    classes: npt.NDArray[np.int64]
    """Numbers of the classes it was fitted on, shape ``(classes,)``."""
    coefficients: Numbers
    """Shape ``(classes, 16)``: of the logarithms of audio's, then video's probabilities."""
    intercepts: Numbers
    """Shape ``(classes,)``."""

    def predict(self, audio: npt.ArrayLike, video: npt.ArrayLike) -> Numbers:
        """Fuse the probabilities of clips.

        Args:
            audio: shape ``(clips, 8)``; a row of NaN where the branch is out.
            video: likewise.

        Returns:
            Shape ``(clips, 8)``. Classes it was not fitted on get the floor of 1e-7; where one
            branch is out the other one's row stands.

        Raises:
            InvalidArgument: the branches differ in shape, or are no tables of eight columns.
        """
        first, second = _tables(audio=audio, video=video)
        logits = _logarithms(first, second) @ self.coefficients.T + self.intercepts
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        stacked = np.full(first.shape, FLOOR)
        stacked[:, self.classes] = np.maximum(powers / powers.sum(axis=1, keepdims=True), FLOOR)
        stacked /= stacked.sum(axis=1, keepdims=True)
        single = np.isnan(first + second).any(axis=1)
        stacked[single] = fuse(first[single], second[single])
        return stacked


def fit_temperature(truth: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """Find the temperature under which the probabilities fit the truth best.

    Args:
        truth: class numbers, shape ``(clips,)``.
        probabilities: shape ``(clips, 8)``.

    Returns:
        The temperature of :func:`mien.fusion.temper` with the lowest log loss, 0.05 to 20.

    Raises:
        InvalidArgument: shapes that do not fit, no clips, a class out of range, or a clip without
            an answer.

    Source: Guo et al. 2017, "On calibration of modern neural networks", section 4.2.

    >>> sure = np.full((4, 8), 0.01) + 0.92 * np.eye(8)[0]
    >>> fit_temperature([0, 0, 1, 2], sure) > 1  # right half of the time, sure of 93 %
    True
    """
    (table,) = _tables(probabilities=probabilities)
    true = _truth(truth, table)
    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(
        lambda power: _log_loss(true, temper(table, float(np.exp(power)))),
        bounds=(low, high),
        method="bounded",
    )
    return float(np.exp(found.x))


def fit_weight(truth: npt.ArrayLike, audio: npt.ArrayLike, video: npt.ArrayLike) -> float:
    """Find the weight of audio under which the weighted mean fits the truth best.

    Args:
        truth: class numbers, shape ``(clips,)``.
        audio: shape ``(clips, 8)``.
        video: likewise.

    Returns:
        0 to 1, in steps of 0.05; video's weight is the rest. Of equals, the one nearest to 0.5.

    Raises:
        InvalidArgument: as :func:`fit_temperature`.

    >>> right, wrong = np.eye(8)[[0, 1]], np.eye(8)[[1, 0]]
    >>> fit_weight([0, 1], right, wrong)
    1.0
    """
    first, second = _tables(audio=audio, video=video)
    true = _truth(truth, first, second)
    shares = [step / WEIGHT_STEPS for step in range(WEIGHT_STEPS + 1)]
    return min(
        shares,
        key=lambda share: (
            _log_loss(true, share * first + (1 - share) * second),
            abs(share - 0.5),
        ),
    )


def fit_stack(truth: npt.ArrayLike, audio: npt.ArrayLike, video: npt.ArrayLike) -> Stack:
    """Fit a multinomial logistic regression on the 16 log probabilities of both branches.

    Each branch's are first centred in each clip and divided by their spread over all clips, so
    that a branch that is always very sure gets no more say than one that never is.

    Args:
        truth: class numbers, shape ``(clips,)``.
        audio: shape ``(clips, 8)``; probabilities below 1e-7 count as 1e-7.
        video: likewise.

    Raises:
        InvalidArgument: as :func:`fit_temperature`.
        TrainingDataError: all clips are of one class.

    Source: Wolpert 1992, "Stacked generalization"; scikit-learn's LogisticRegression, lbfgs.

    >>> audio = np.full((2, 8), 0.05) + 0.6 * np.eye(8)[[0, 1]]
    >>> fit_stack([0, 1], audio, audio).predict(audio, audio).argmax(axis=1).tolist()
    [0, 1]
    """
    first, second = _tables(audio=audio, video=video)
    true = _truth(truth, first, second)
    if len(np.unique(true)) < 2:
        raise TrainingDataError(
            f"a stack needs clips of two emotions or more, not of {EMOTIONS[true[0]]} alone; "
            "give more clips, or fuse by average"
        )
    logarithms = _logarithms(first, second)
    scaling = block_diag(*(_scaling(part) for part in np.hsplit(logarithms, 2)))
    model = LogisticRegression(C=STACK_STRENGTH, max_iter=1_000)
    model.fit(logarithms @ scaling, true)
    # The scaling becomes part of the coefficients: it is linear.
    coefficients, intercepts = model.coef_ @ scaling.T, model.intercept_
    if len(model.classes_) == 2:
        # Of two classes scikit-learn keeps one row, which tells the second from the first.
        coefficients = np.concatenate([np.zeros_like(coefficients), coefficients])
        intercepts = np.concatenate([[0.0], intercepts])
    return Stack(classes=model.classes_, coefficients=coefficients, intercepts=intercepts)


def _tables(**branches: npt.ArrayLike) -> tuple[Numbers, ...]:
    tables = tuple(np.asarray(branch, np.float64) for branch in branches.values())
    shapes = [table.shape for table in tables]
    if any(table.ndim != 2 or table.shape[1] != len(EMOTIONS) for table in tables):
        raise InvalidArgument(
            f"{' and '.join(branches)} must be of shape (clips, {len(EMOTIONS)}), not {shapes}"
        )
    if len(set(shapes)) > 1:
        raise InvalidArgument(f"{' and '.join(branches)} must have one shape, not {shapes}")
    return tables


def _truth(truth: npt.ArrayLike, *tables: Numbers) -> npt.NDArray[np.int64]:
    true = np.asarray(truth)
    if true.shape != tables[0].shape[:1] or not len(true):
        raise InvalidArgument(
            f"truth must be one class number a clip, for 1 clip or more, not of shape {true.shape} "
            f"for {len(tables[0])} clips"
        )
    if not np.issubdtype(true.dtype, np.integer) or not set(true.tolist()) <= set(range(8)):
        raise InvalidArgument(f"truth must hold class numbers, 0 to 7, not {np.unique(true)}")
    if not all(np.isfinite(table).all() and (table >= 0).all() for table in tables):
        raise InvalidArgument(
            "probabilities must be finite and 0 or more; leave out clips for which a branch is out"
        )
    return true.astype(np.int64)


def _scaling(logarithms: Numbers) -> Numbers:
    """Give the matrix, shape ``(8, 8)``, by which rows are centred and scaled."""
    spread = float((logarithms @ CENTRING).std())
    scaling: Numbers = CENTRING / max(spread, LEAST_SPREAD)
    return scaling


def _logarithms(audio: Numbers, video: Numbers) -> Numbers:
    logarithms: Numbers = np.log(np.maximum(np.hstack([audio, video]), FLOOR))
    return logarithms


def _log_loss(true: npt.NDArray[np.int64], probabilities: Numbers) -> float:
    of_truth = probabilities[np.arange(len(true)), true]
    # Rounded, so that equals are equal however they were added up.
    return round(float(-np.log(np.maximum(of_truth, FLOOR)).mean()), 12)
