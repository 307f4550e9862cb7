"""What the two tables hold: the columns of answers, and those of errors."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

from mien.arrow_tables import schema_of
from mien.columns import CLIP, TIMELINE_COLUMNS, Column

ANSWERED = (
    CLIP,
    *TIMELINE_COLUMNS,
    Column("set", "text", "the likely emotions, the likeliest first; empty if not calibrated"),
    Column("set_rate", "number", "how often such sets hold the truth, over many clips"),
    Column("path", "text", "where the clip is: an absolute path, or a URL"),
)
FAILED = (
    CLIP,
    Column("kind", "text", "the name of the error, as in 'mien predict --json'"),
    Column("message", "text", "what went wrong, and the cure"),
    Column("attempts", "whole number", "how often it was tried"),
    Column("path", "text", "where the clip is, or was: an absolute path, or a URL"),
)
_MORE = (
    Column("seconds", "number", "how long the clip took"),
    Column("worker", "text", "machine and number of the process that answered"),
    Column("bundle_sha256", "text", "which bundle answered"),
)


class Outcome(NamedTuple):
    """What became of one clip: its rows, or its error."""

    rows: list[dict[str, Any]]
    error: dict[str, Any] | None
    video_s: float
    """Seconds of the clip."""


@cache
def answers_schema() -> Any:
    """Give the schema of answers.

    >>> answers_schema().names[0], answers_schema().names[-1]
    ('clip', 'bundle_sha256')
    """
    import pyarrow  # noqa: PLC0415

    size = pyarrow.field("size", pyarrow.int64(), metadata={"description": "bytes of the file"})
    changed = pyarrow.field(
        "mtime", pyarrow.timestamp("us", tz="UTC"), metadata={"description": "its last change"}
    )
    return pyarrow.schema([*schema_of(ANSWERED), size, changed, *schema_of(_MORE)])


@cache
def errors_schema() -> Any:
    """Give the schema of errors.

    >>> errors_schema().names
    ['clip', 'kind', 'message', 'attempts', 'path']
    """
    return schema_of(FAILED)


def as_table(rows: Iterable[Mapping[str, Any]], schema: Any) -> Any:
    """Make a table; what is missing in a row is empty in it."""
    import pyarrow  # noqa: PLC0415

    return pyarrow.Table.from_pylist([*rows], schema=schema)


def as_text(name: str) -> str:
    r"""Write a file name as text, which it need not be.

    >>> as_text("caf\udce9.mp4")
    'caf\\udce9.mp4'
    """
    return name.encode("utf-8", "backslashreplace").decode()
