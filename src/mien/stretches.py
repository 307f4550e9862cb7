"""Overlapping windows → one answer for each moment: captions, tiers and pictures need that."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mien.windows import Window


@dataclass(frozen=True)
class Stretch:
    """The time for which one window speaks: the one whose middle is nearest."""

    start_s: float
    """Seconds from the clip's start."""
    end_s: float
    windows: tuple[Window, ...]
    """One a person, in the order in which they came."""


class Stretches:
    """Tells the stretch of each window as soon as the next window is known.

    Stretches never overlap. The first reaches back to its window's start, the last to its window's
    end; between two windows that meet, the border lies in the middle of their middles: with windows
    of 4 s every second, each but those two speaks for one second.
    """

    def __init__(self) -> None:
        self._held: list[Window] = []
        self._since = 0.0

    def add(self, window: Window) -> Iterator[Stretch]:
        """Take the next row, in order of start; give the stretch that is now known, if any."""
        last = self._held[0] if self._held else None
        if last is not None and last.start_s == window.start_s:
            self._held.append(window)
            return
        if last is None:
            self._since = window.start_s
        elif window.start_s > last.end_s:
            yield from self.rest()
            self._since = window.start_s
        else:
            border = (_middle(last) + _middle(window)) / 2
            yield Stretch(self._since, border, tuple(self._held))
            self._since = border
        self._held = [window]

    def rest(self) -> Iterator[Stretch]:
        """Give the last stretch."""
        if self._held:
            yield Stretch(self._since, self._held[0].end_s, tuple(self._held))
        self._held = []


def stretches(windows: Iterable[Window]) -> Iterator[Stretch]:
    """Give the stretches of windows that are all there.

    Args:
        windows: in order of start.

    >>> from mien.windows import Branch
    >>> out = Branch(False, "silent", None)
    >>> rows = [Window(start_s=start, end_s=start + 4, person=None, emotion=None, confidence=None,
    ...     probabilities=None, audio=out, video=out, faces_found=0.0, speech=0.0, reason="silent")
    ...     for start in (0.0, 1.0, 2.0)]
    >>> [(stretch.start_s, stretch.end_s) for stretch in stretches(rows)]
    [(0.0, 2.5), (2.5, 3.5), (3.5, 6.0)]
    """
    found = Stretches()
    for window in windows:
        yield from found.add(window)
    yield from found.rest()


def _middle(window: Window) -> float:
    return (window.start_s + window.end_s) / 2
