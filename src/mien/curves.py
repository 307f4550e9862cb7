"""Windows → curves: each person's probabilities over time, apart where there is no answer."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from mien.emotions import EMOTIONS
from mien.stretches import Stretch, stretches
from mien.windows import Window

Shares = tuple[float, ...]
"""Of the eight, in their order."""


@dataclass
class Curve:
    """One person's probabilities, while there is an answer all the time."""

    times_s: list[float] = field(default_factory=list)
    """Seconds from the clip's start; increasing."""
    shares: list[Shares] = field(default_factory=list)
    """One a time."""
    end_s: float = 0.0

    def add(self, time_s: float, shares: Shares) -> None:
        """Append a point."""
        self.times_s.append(time_s)
        self.shares.append(shares)

    def close(self) -> None:
        """Let the last answer last to its end."""
        self.add(self.end_s, self.shares[-1])


def curves(windows: Iterable[Window]) -> dict[int | None, list[Curve]]:
    """Give the curves of the fused probabilities by person; those without a face come last.

    A point lies at the middle of its window; the first and the last answer reach to the ends of
    their stretches (:mod:`mien.stretches`). A person who never has an answer has no curve.

    Args:
        windows: in order of start.

    >>> curves([])
    {}
    """
    found: defaultdict[int | None, list[Curve]] = defaultdict(list)
    for stretch in stretches(windows):
        for window in stretch.windows:
            _extend(found[window.person], stretch, window)
    for each in found.values():
        for curve in each:
            curve.close()
    ordered = sorted(found, key=lambda person: (person is None, person or 0))
    return {person: found[person] for person in ordered}


def _extend(person: list[Curve], stretch: Stretch, window: Window) -> None:
    if window.probabilities is None:
        return
    shares = tuple(window.probabilities[name] for name in EMOTIONS)
    if not person or person[-1].end_s < stretch.start_s:
        person.append(Curve())
        person[-1].add(stretch.start_s, shares)
    middle = (window.start_s + window.end_s) / 2
    person[-1].add(min(max(middle, stretch.start_s), stretch.end_s), shares)
    person[-1].end_s = stretch.end_s
