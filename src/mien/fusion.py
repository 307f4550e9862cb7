"""Branch probabilities → fused probabilities, also when a branch is missing."""

import numpy as np
import numpy.typing as npt

from mien.errors import InvalidArgument

Probabilities = npt.NDArray[np.float32]


def fuse(*branches: Probabilities | None) -> Probabilities | None:
    """Average the branches that are there.

    Args:
        branches: probability vectors of shape ``(8,)`` or tables of shape ``(clips, 8)``;
            ``None`` for a branch that is out.

    Returns:
        The mean of the branches, or ``None`` when all are out.

    Raises:
        InvalidArgument: the branches differ in shape.

    Source: Srihari M. & Bhaskaran V. 2024, late fusion.

    >>> audio = np.array([0.75, 0.25], np.float32)
    >>> fuse(audio, np.array([0.25, 0.75], np.float32))
    array([0.5, 0.5], dtype=float32)
    >>> fuse(audio, None)
    array([0.75, 0.25], dtype=float32)
    >>> fuse(None, None) is None
    True
    """
    present = [branch for branch in branches if branch is not None]
    if len({branch.shape for branch in present}) > 1:
        raise InvalidArgument(
            f"branches must have one shape, not {[branch.shape for branch in present]}"
        )
    if not present:
        return None
    fused: Probabilities = np.mean(present, axis=0, dtype=np.float32)
    return fused
