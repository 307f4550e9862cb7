"""The answers of a piece of the plan, in one file with one place, until its part is whole."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mien.batch.places import Place, numbers, write_whole
from mien.batch.plan import Chunk
from mien.batch.rows import Outcome, answers_schema, as_table, errors_schema

TALLY = b"mien"
"""Key of the metadata under which a tally is kept."""
ENDING = ".arrows"


class TornPiece(Exception):
    """A piece is not whole, as after a power cut: it must be answered again."""


@dataclass
class Tally:
    """How many clips came to what."""

    done: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    """Kind of error → clips."""
    video_s: float = 0.0

    def add(self, other: "Tally") -> None:
        """Count another's clips too."""
        self.done += other.done
        self.failed += other.failed
        self.video_s += other.video_s

    @property
    def clips(self) -> int:
        """How many clips there are."""
        return self.done + self.failed.total()

    def as_json(self) -> str:
        """Write it.

        >>> Tally.of_json(Tally(done=2, video_s=3.5).as_json())
        Tally(done=2, failed=Counter(), video_s=3.5)
        """
        return json.dumps(vars(self))

    @classmethod
    def of_json(cls, text: str | bytes) -> "Tally":
        """Read it."""
        values = json.loads(text)
        return cls(values["done"], Counter(values["failed"]), values["video_s"])


class Answers(NamedTuple):
    """What a piece holds."""

    rows: Any
    """``pyarrow.Table``."""
    errors: Any
    tally: Tally


def write_chunk(work: Place, chunk: Chunk, outcomes: Iterable[Outcome]) -> Tally:
    """Write the answers of a piece, unless they are there: somebody may be reading them.

    Returns:
        What came of it; nothing where it was there.

    Raises:
        InvalidArgument: it cannot be written.
    """
    from pyarrow import ipc  # noqa: PLC0415

    if has_chunk(work, chunk):
        return Tally()
    outcomes = list(outcomes)
    tally = tally_of(outcomes)
    rows = as_table([row for one in outcomes for row in one.rows], answers_schema())
    errors = as_table([one.error for one in outcomes if one.error], errors_schema())
    rows = rows.replace_schema_metadata({TALLY: tally.as_json()})

    def write(file: Any) -> None:
        for table in (rows, errors):
            with ipc.new_stream(file, table.schema) as stream:
                stream.write_table(table)

    write_whole(_place(work, chunk), write, work=work / "part")
    return tally


def tally_of(outcomes: Sequence[Outcome]) -> Tally:
    """Count outcomes."""
    failed = Counter(one.error["kind"] for one in outcomes if one.error)
    done = len(outcomes) - failed.total()
    return Tally(done, failed, round(sum(one.video_s for one in outcomes), 3))


def read_chunk(work: Place, chunk: Chunk) -> Answers:
    """Read the answers of a piece.

    Raises:
        InvalidArgument: it cannot be read.
        TornPiece: it is not whole.
    """
    import pyarrow  # noqa: PLC0415
    from pyarrow import ipc  # noqa: PLC0415

    source = pyarrow.BufferReader(_place(work, chunk).read())
    try:
        rows, errors = (ipc.open_stream(source).read_all() for _ in range(2))
        return Answers(rows, errors, Tally.of_json(rows.schema.metadata[TALLY]))
    except (pyarrow.ArrowException, OSError, ValueError, LookupError, TypeError) as error:
        raise TornPiece from error


def remove_chunk(work: Place, chunk: Chunk) -> None:
    """Remove the answers of a piece."""
    _place(work, chunk).remove()


def has_chunk(work: Place, chunk: Chunk) -> bool:
    """Whether a piece has been answered."""
    return _place(work, chunk).kind == "file"


def starts_of(work: Place, part: int) -> set[int]:
    """Give where the pieces of a part begin that have been answered."""
    return set(numbers(work / "chunks" / f"{part:06}", after=ENDING))


def _place(work: Place, chunk: Chunk) -> Place:
    return work / "chunks" / f"{chunk.part:06}" / f"{chunk.start:06}{ENDING}"
