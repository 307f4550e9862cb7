"""Which of millions of paths were there before, in little memory."""

import hashlib
import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

DIGEST_BYTES = 16
"""Two of ten million paths share one less often than once in 10^24 jobs."""


class Seen:
    """Paths that were there, 16 bytes each.

    >>> seen = Seen()
    >>> seen.add(["a", "b", "a"]).tolist(), seen.add(["b", "c"]).tolist()
    ([True, True, False], [False, True])
    """

    def __init__(self) -> None:
        self._sorted: list[npt.NDArray[np.bytes_]] = []

    def add(self, paths: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Take paths in.

        Returns:
            For each, whether it is here for the first time; shape (paths,).
        """
        digests = np.array([_digest(path) for path in paths], dtype=f"S{DIGEST_BYTES}")
        fresh = np.zeros(len(digests), dtype=bool)
        fresh[np.unique(digests, return_index=True)[1]] = True
        for known in self._sorted:
            places = np.searchsorted(known, digests).clip(max=len(known) - 1)
            fresh &= known[places] != digests
        self._keep(np.sort(digests[fresh]))
        return fresh

    def _keep(self, digests: npt.NDArray[np.bytes_]) -> None:
        # Each is at least twice as long as the next: few are searched, and each is merged seldom.
        while self._sorted and len(self._sorted[-1]) < 2 * len(digests):
            digests = np.sort(np.concatenate([self._sorted.pop(), digests]))
        if len(digests):
            self._sorted.append(digests)


def _digest(path: str) -> bytes:
    return hashlib.blake2b(os.fsencode(path), digest_size=DIGEST_BYTES).digest()
