"""Which frames are wanted, in their order: found out as far as it is asked for."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence


class Plan:
    """The frames that windows want, each once; for those who follow :class:`media.stream.Wanted`.

    Args:
        windows: presentation times that each window wants, rising; the first of a window's is never
            before the first of the window before.
        since: earlier ones are left out.

    >>> plan = Plan([[1, 3, 5], [2, 3, 6]], since=2)
    >>> 4 in plan, 5 in plan
    (False, True)
    >>> list(plan)
    [2, 3, 5, 6]
    """

    def __init__(self, windows: Iterable[Sequence[int]], *, since: int | None = None) -> None:
        self._windows = iter(windows)
        self._since = since
        self._known: int | None = None
        """Earlier times are all planned."""
        self._ahead: list[int] = []
        """A heap."""
        self._wanted: set[int] = set()

    def __iter__(self) -> Iterator[int]:
        """Give the times, rising."""
        while self._ahead or self._plan():
            # What comes next is only sure when no window is left that may want an earlier one.
            self._plan_to(self._ahead[0])
            pts = heapq.heappop(self._ahead)
            self._since = pts + 1
            yield pts
            self._wanted.discard(pts)

    def __contains__(self, pts: object, /) -> bool:
        """Say whether a frame is wanted that has not been given yet."""
        if isinstance(pts, int):
            self._plan_to(pts)
        return pts in self._wanted

    def _plan_to(self, pts: int) -> None:
        while (self._known is None or self._known <= pts) and self._plan():
            pass

    def _plan(self) -> bool:
        """Plan the next window; say whether there was one."""
        times = next(self._windows, None)
        if times is None:
            return False
        for pts in times:
            if (self._since is None or pts >= self._since) and pts not in self._wanted:
                self._wanted.add(pts)
                heapq.heappush(self._ahead, pts)
        self._known = times[0]
        return True
