"""Sightings of the windows → where each person's face is at any time."""

from __future__ import annotations

from array import array
from collections import defaultdict
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mien.detectors import Box
from mien.windows import Window

LONGEST_GAP_S = 0.5
"""Between two sightings that are further apart, the face was away; but for what `_SPARSE` says."""
_SPARSE = 2.5
"""Sightings of long windows are far apart: a gap is this many times as long as is usual."""


class BoxPath:
    """One person's face through the clip."""

    def __init__(self) -> None:
        self._seen = array("d")

    def add(self, window: Window) -> None:
        """Take a window's sightings; those of overlapping windows may be the same."""
        for sighting in window.sightings:
            box = sighting.box
            self._seen.extend((sighting.time_s, box.x, box.y, box.width, box.height))

    def at(self, time_s: float) -> Box | None:
        """Give the box at a time: between two sightings, between their boxes."""
        times = self._sorted[:, 0]
        after = int(np.searchsorted(times, time_s))
        near = [place for place in (after - 1, after) if 0 <= place < len(times)]
        near = [place for place in near if abs(times[place] - time_s) <= self._gap]
        if len(near) == 2 and times[near[1]] - times[near[0]] <= self._gap:
            return self._between(near[0], time_s)
        # At its edges a path goes on for a moment, as until the frame before the next look.
        edge = [place for place in near if abs(times[place] - time_s) <= self._gap / 2]
        return self._box(self._sorted[edge[0], 1:]) if edge else None

    @cached_property
    def _sorted(self) -> npt.NDArray[np.float64]:
        seen = np.asarray(self._seen).reshape(-1, 5)
        return seen[np.unique(seen[:, 0], return_index=True)[1]]

    @cached_property
    def _gap(self) -> float:
        steps = np.diff(self._sorted[:, 0])
        usual = float(np.median(steps)) if steps.size else 0.0
        return max(LONGEST_GAP_S, _SPARSE * usual)

    def _between(self, place: int, time_s: float) -> Box:
        one, other = self._sorted[place], self._sorted[place + 1]
        weight = (time_s - one[0]) / (other[0] - one[0])
        if not self._box(one[1:]).overlap(self._box(other[1:])):
            # A cut, or somebody who jumps: nothing was on the way.
            return self._box((one if weight < 0.5 else other)[1:])
        return self._box(one[1:] + weight * (other[1:] - one[1:]))

    @staticmethod
    def _box(values: npt.NDArray[np.float64]) -> Box:
        x, y, width, height = map(int, np.rint(values))
        return Box(x, y, width, height)


def new_paths() -> defaultdict[int, BoxPath]:
    """Give paths by person, none yet."""
    return defaultdict(BoxPath)
