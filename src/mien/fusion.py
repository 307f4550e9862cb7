"""Branch probabilities → fused probabilities, also when a branch is missing."""

from collections.abc import Sequence
from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

from mien.errors import InvalidArgument

Probabilities = npt.NDArray[np.float32]
Real = TypeVar("Real", bound=np.floating[Any])

METHODS = ("average", "weighted", "log_average")

FLOOR = 1e-7
"""What a lower probability counts as in logarithms, as in Keras's cross-entropy: one branch's 0
must not overrule all others."""


@overload
def fuse(
    *branches: npt.NDArray[Real], method: str = ..., weights: Sequence[float] | None = ...
) -> npt.NDArray[Real]: ...


@overload
def fuse(
    *branches: npt.NDArray[Real] | None, method: str = ..., weights: Sequence[float] | None = ...
) -> npt.NDArray[Real] | None: ...


def fuse(
    *branches: npt.NDArray[Real] | None,
    method: str = "average",
    weights: Sequence[float] | None = None,
) -> npt.NDArray[Real] | None:
    """Fuse the branches that are there.

    Args:
        branches: probability vectors of shape ``(8,)`` or tables of shape ``(clips, 8)``;
            ``None`` for a branch that is out, or a row of NaN where it is out for one clip.
        method: ``"average"`` is the mean; ``"weighted"`` the mean with ``weights``;
            ``"log_average"`` the geometric mean, with probabilities below 1e-7 as 1e-7, scaled to
            add up to 1.
        weights: of the branches, in their order, 0 or more; only their proportion counts. Where
            a branch is out, the others share its weight in their proportion.

    Returns:
        Probabilities in the shape and type of a branch: a row of NaN where all branches are out
        for that clip, ``None`` when all are out.

    Raises:
        InvalidArgument: branches that differ in shape or hold no probabilities, an unknown
            method, or weights that do not fit.

    Source: Srihari M. & Bhaskaran V. 2024, late fusion, for ``"average"``; Kittler et al. 1998,
    "On combining classifiers", sum and product rules.

    >>> audio = np.array([0.75, 0.25], np.float32)
    >>> fuse(audio, np.array([0.25, 0.75], np.float32))
    array([0.5, 0.5], dtype=float32)
    >>> fuse(audio, np.array([0.25, 0.75], np.float32), method="weighted", weights=[3, 1])
    array([0.625, 0.375], dtype=float32)
    >>> fuse(audio, None)
    array([0.75, 0.25], dtype=float32)
    >>> fuse(None, None) is None
    True
    """
    shares = _shares(len(branches), method=method, weights=weights)
    there = [place for place, branch in enumerate(branches) if branch is not None]
    present = [branch for branch in branches if branch is not None]
    if len({branch.shape for branch in present}) > 1:
        raise InvalidArgument(
            f"branches must have one shape, not {[branch.shape for branch in present]}"
        )
    if not present:
        return None
    stacked = np.stack(present)
    answered = _answered(stacked)
    # Zeros would be NaN times nothing; what is out weighs nothing.
    values = np.where(answered[..., None], stacked, 1)
    used = _used(shares[there], answered)[..., None]
    fused = _log_mean(values, used) if method == "log_average" else (values * used).sum(axis=0)
    fused[~answered.any(axis=0)] = np.nan
    return fused.astype(stacked.dtype)


def temper(probabilities: npt.NDArray[Real], temperature: float) -> npt.NDArray[Real]:
    """Make probabilities less sure (temperature above 1) or surer (below 1).

    Args:
        probabilities: shape ``(..., 8)``; those below 1e-7 count as 1e-7.
        temperature: above 0; 1 changes nothing.

    Returns:
        Softmax of ``log(probabilities) / temperature``, in the same shape and type; the order of
        the emotions stays. Rows of NaN stay.

    Raises:
        InvalidArgument: the temperature is not a number above 0.

    Source: Guo et al. 2017, "On calibration of modern neural networks", section 4.2; the
    logarithm of a probability is its logit, but for a constant that softmax takes out.

    >>> temper(np.array([0.8, 0.2]), 2.0).round(3)
    array([0.667, 0.333])
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise InvalidArgument(f"temperature must be above 0 and finite, not {temperature}")
    return _softmax(_log(probabilities) / temperature).astype(probabilities.dtype)


def _shares(count: int, *, method: str, weights: Sequence[float] | None) -> npt.NDArray[np.float64]:
    if method not in METHODS:
        raise InvalidArgument(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    if (weights is not None) != (method == "weighted"):
        raise InvalidArgument(
            f"weights belong to the method weighted, and to no other; method is {method} and "
            f"weights are {weights}"
        )
    given = np.ones(count) if weights is None else np.asarray(weights, np.float64)
    if given.shape != (count,) or not (np.isfinite(given) & (given >= 0)).all():
        raise InvalidArgument(
            f"weights must be {count} numbers of 0 or more, one a branch, not {weights}"
        )
    if weights is not None and not given.any():
        raise InvalidArgument(f"weights must not all be 0, as {weights} are")
    proportions: npt.NDArray[np.float64] = given / given.max(initial=np.finfo(float).tiny)
    return proportions


def _answered(stacked: npt.NDArray[Real]) -> npt.NDArray[np.bool_]:
    """Say which branches answered for which clips: shape ``(branches, …)``."""
    missing: npt.NDArray[np.bool_] = np.isnan(stacked).all(axis=-1)
    answers = stacked[~missing]
    if not (np.isfinite(answers) & (answers >= 0)).all():
        raise InvalidArgument(
            "branches must hold probabilities, or rows of NaN; some numbers are negative or not "
            "finite"
        )
    return ~missing


def _used(
    shares: npt.NDArray[np.float64], answered: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Scale the weights of those who answered to add up to 1; alike when all of them weigh 0."""
    weights = answered * shares.reshape(-1, *[1] * (answered.ndim - 1))
    weights = np.where(weights.sum(axis=0) > 0, weights, answered)
    total = weights.sum(axis=0)
    scaled: npt.NDArray[np.float64] = weights / np.where(total > 0, total, 1)
    return scaled


def _log_mean(
    values: npt.NDArray[Real], weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    return _softmax((_log(values) * weights).sum(axis=0))


def _log(probabilities: npt.NDArray[Real]) -> npt.NDArray[np.float64]:
    logarithms: npt.NDArray[np.float64] = np.log(np.maximum(probabilities.astype(float), FLOOR))
    return logarithms


def _softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    softened: npt.NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return softened
