"""Prediction tables side by side, clip by clip."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument
from mien.tables import Numbers, PredictionTable, normal_key, truth_of_key

NAMED_AT_MOST = 5
"""Clips that an error names."""


@dataclass(frozen=True, kw_only=True, eq=False)
class JoinedTables:
    """Tables side by side, sorted by clip."""

    clips: tuple[str, ...]
    """Normal keys of all clips of all tables."""
    branches: tuple[Numbers, ...]
    """Of each table shape ``(clips, 8)``; a row is NaN where the table has no answer."""
    lacking: tuple[int, ...]
    """Of each table, how many of the clips have no row in it."""
    truth: tuple[str | None, ...]
    """As the tables say, else as the clip's name does."""


def join_tables(*tables: PredictionTable) -> JoinedTables:
    """Put tables side by side by the normal keys of their clips.

    Raises:
        InvalidArgument: two rows of a table are of the same performance, a table shares no clip
            with the others, or tables differ on a clip's truth.

    >>> table = PredictionTable(clips=("03-01-05-01-02-01-12.wav",), probabilities=np.eye(8)[:1])
    >>> joined = join_tables(table, table)
    >>> joined.clips, joined.truth
    (('01-05-01-02-01-12',), ('angry',))
    """
    places = [_places(table, number) for number, table in enumerate(tables, 1)]
    for number, own in enumerate(places, 1):
        others = [set(other) for other in places if other is not own]
        if others and not set(own) & set().union(*others):
            raise InvalidArgument(
                f"table {number} shares no clip with the others: {_some(own)} there, "
                f"{_some(set().union(*others))} elsewhere; name clips alike in all tables"
            )
    clips = tuple(sorted(set().union(*places)))
    return JoinedTables(
        clips=clips,
        branches=tuple(
            _aligned(table, own, clips) for table, own in zip(tables, places, strict=True)
        ),
        lacking=tuple(len(clips) - len(own) for own in places),
        truth=_joined_truth(tables, places, clips),
    )


def _places(table: PredictionTable, number: int) -> dict[str, int]:
    """Give the row of each normal key."""
    places: dict[str, int] = {}
    for place, clip in enumerate(table.clips):
        key = normal_key(clip)
        if places.setdefault(key, place) != place:
            raise InvalidArgument(
                f"table {number}: {table.clips[places[key]]} and {clip} are both of the "
                f"performance {key}; keep one row a performance"
            )
    return places


def _aligned(table: PredictionTable, places: Mapping[str, int], clips: Sequence[str]) -> Numbers:
    aligned = np.full((len(clips), len(EMOTIONS)), np.nan)
    there = [number for number, clip in enumerate(clips) if clip in places]
    aligned[there] = table.probabilities[[places[clips[number]] for number in there]]
    return aligned


def _joined_truth(
    tables: Sequence[PredictionTable], places: Sequence[Mapping[str, int]], clips: Sequence[str]
) -> tuple[str | None, ...]:
    told: dict[str, set[str]] = {clip: set() for clip in clips}
    for table, own in zip(tables, places, strict=True):
        for clip, place in own.items():
            if table.truth is not None and (emotion := table.truth[place]) is not None:
                told[clip].add(emotion)
    if torn := [clip for clip in clips if len(told[clip]) > 1]:
        raise InvalidArgument(
            f"the tables differ on the truth of {len(torn)} clips: {_some(torn)}; correct the "
            "column truth"
        )
    return tuple(min(told[clip], default=truth_of_key(clip)) for clip in clips)


def _some(clips: Iterable[str]) -> str:
    names = sorted(clips)
    more = ", …" if len(names) > NAMED_AT_MOST else ""
    return ", ".join(names[:NAMED_AT_MOST]) + more
