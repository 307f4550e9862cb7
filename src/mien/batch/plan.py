"""What will be done: paths, each once, in files that each become one file of the table."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from mien.batch.inputs import Entry
from mien.batch.places import Place, numbers, write_whole
from mien.batch.rows import as_text
from mien.batch.seen import Seen

AT_ONCE = 20_000
"""Paths that are compared with those before in one go."""
MOST_CHUNKS = 64
"""Pieces that a small part has at least, so that many workers share it."""


@dataclass(frozen=True)
class Sizes:
    """How a plan is cut."""

    part: int
    """Clips of a file of the plan."""
    chunk: int
    """Most clips of a piece, which is lost when its worker is killed."""


PREDICTIONS = Sizes(part=100_000, chunk=100)
TIMELINES = Sizes(part=1_000, chunk=5)
"""A clip has a row for each second, so that files of the table are about as long."""


def sizes_of(*, timeline: bool) -> Sizes:
    """Say how a job's plan is cut."""
    return TIMELINES if timeline else PREDICTIONS


class Planned(NamedTuple):
    """A clip of the plan."""

    clip: str
    url: str


class Chunk(NamedTuple):
    """A piece of the plan: some clips of one of its files."""

    part: int
    start: int
    stop: int


@dataclass
class Plan:
    """What was planned, before this run and in it."""

    lengths: dict[int, int] = field(default_factory=dict)
    """Number of a file of the plan → its clips."""
    doubled: int = 0
    """Paths that this run's input names more than once."""
    first_doubled: str | None = None

    @property
    def clips(self) -> int:
        """How many clips there are."""
        return sum(self.lengths.values())


def make_plan(work: Place, found: Iterable[Entry], *, sizes: Sizes) -> Plan:
    """Add to the plan what is not in it; whatever stops this, what was added stays.

    Args:
        work: the job's folder.
        found: all clips of the input, as they are found.
        sizes: how the plan is cut.

    Raises:
        InvalidArgument: the input cannot be listed, or the plan not written.
    """
    plan, known, here = Plan(), Seen(), Seen()
    for number in part_numbers(work):
        rows = read_part(work, number)
        known.add([row.url for row in rows])
        plan.lengths[number] = len(rows)
    fresh: list[Entry] = []
    entries = iter(found)
    while batch := list(islice(entries, AT_ONCE)):
        fresh += _new(batch, known, here, plan)
        while len(fresh) >= sizes.part:
            _add(work, plan, fresh[: sizes.part])
            del fresh[: sizes.part]
    if fresh:
        _add(work, plan, fresh)
    return plan


def _new(batch: Sequence[Entry], known: Seen, here: Seen, plan: Plan) -> list[Entry]:
    first = here.add([entry.url for entry in batch])
    again = [entry for entry, is_first in zip(batch, first, strict=True) if not is_first]
    plan.doubled += len(again)
    if again and plan.first_doubled is None:
        plan.first_doubled = as_text(again[0].clip)
    once = [entry for entry, is_first in zip(batch, first, strict=True) if is_first]
    unknown = known.add([entry.url for entry in once])
    return [entry for entry, is_new in zip(once, unknown, strict=True) if is_new]


def _add(work: Place, plan: Plan, rows: Sequence[Entry]) -> None:
    import pyarrow  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    table = pyarrow.table(
        {
            "clip": [as_text(row.clip) for row in rows],
            # A file name need not be text.
            "url": pyarrow.array([os.fsencode(row.url) for row in rows], pyarrow.binary()),
        }
    )
    number = max(plan.lengths, default=-1) + 1
    write_whole(
        work / "plan" / f"{number:06}.parquet",
        lambda file: parquet.write_table(table, file),
        work=work / "part",
    )
    plan.lengths[number] = len(rows)


def part_numbers(work: Place) -> list[int]:
    """Give the numbers of the files of the plan."""
    return numbers(work / "plan", after=".parquet")


def read_part(work: Place, number: int) -> list[Planned]:
    """Read one file of the plan.

    Raises:
        InvalidArgument: it cannot be read.
    """
    import pyarrow  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    content = (work / "plan" / f"{number:06}.parquet").read()
    table = parquet.read_table(pyarrow.BufferReader(content))
    urls = map(os.fsdecode, table["url"].to_pylist())
    return list(map(Planned, table["clip"].to_pylist(), urls))


def chunks_of(part: int, length: int, *, sizes: Sizes) -> Iterator[Chunk]:
    """Cut a file of the plan into pieces, always the same.

    >>> list(chunks_of(0, 130, sizes=Sizes(part=1000, chunk=100)))[-1]
    Chunk(part=0, start=128, stop=130)
    """
    step = max(1, min(sizes.chunk, length // MOST_CHUNKS))
    for start in range(0, length, step):
        yield Chunk(part, start, min(start + step, length))
