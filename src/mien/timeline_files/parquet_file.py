"""``.parquet``: row groups as they come, the facts in the schema's metadata."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mien.arrow_tables import require_pyarrow, timeline_schema, timeline_table
from mien.errors import InvalidArgument
from mien.timeline_files.facts import TimelineFacts
from mien.timeline_files.resume_file import ResumeFile
from mien.timeline_files.writer import Part, unwritable
from mien.windows import Checkpoint, Window

GROUP = 512
"""Rows of a group: as many as two hours of one person have in 14 groups, small in memory."""
_KEY = b"mien"
"""Of the schema's metadata: the facts, as JSON."""
_WHOLE = b"mien.whole"
"""Of the file's metadata, where no window is missing."""


class ParquetFile:
    """Writes windows as rows of a Parquet table.

    Args:
        path: the table; it is put there when it is closed.
        facts: go into the schema's metadata.
        resume: keep the rows that are there, but the last window's, which may not be all there.

    Raises:
        InvalidArgument: the file cannot be written, or holds another run's rows.
        MissingDependency: no pyarrow.
    """

    def __init__(self, path: Path, facts: TimelineFacts, *, resume: bool = False) -> None:
        require_pyarrow()
        from pyarrow import parquet  # noqa: PLC0415 - half of the run-time's users never see one

        self.begun = False
        self.from_s = 0.0
        """Start of the first window that is missing; earlier ones are not written again."""
        kept = _kept(path, facts) if resume and path.exists() else None
        self._resume_file = ResumeFile(path, facts, resume=kept is not None)
        self._metadata = {_KEY.decode(): json.dumps(facts.settings())}
        self._rows: list[dict[str, Any]] = []
        self._whole = kept is not None and kept.whole
        self._part = Part(path)
        self._writer = parquet.ParquetWriter(self._part.path, timeline_schema(self._metadata))
        if kept is not None:
            self.from_s = math.inf if kept.whole else kept.last_start()
            for table in filter(len, kept.tables(self.from_s)):
                self._writer.write_table(table.cast(self._writer.schema))

    @property
    def checkpoint(self) -> Checkpoint | None:
        """From where the missing windows can be computed; from the start when there is none."""
        return self._resume_file.before(self.from_s)

    def write(self, window: Window) -> None:
        """Take a row, unless it is there."""
        self.begun = True
        if window.start_s >= self.from_s:
            self._rows.append(window.row())
        if window.checkpoint:
            self._resume_file.keep(window.checkpoint)
        if len(self._rows) >= GROUP:
            self._write_group()

    def finish(self) -> None:
        """Say that no window is missing."""
        self._whole = True

    def close(self) -> None:
        """Write what is left and the table's index, and put the file into its place."""
        with self._part, self._writer:
            if self._rows:
                self._write_group()
            if self._whole:
                self._writer.add_key_value_metadata({_WHOLE.decode(): "true"})
        if self._whole:
            self._resume_file.drop()
        else:
            self._resume_file.write()

    def discard(self) -> None:
        """Leave what was there."""
        self._writer.close()
        self._part.drop()

    def _write_group(self) -> None:
        self._writer.write_table(timeline_table(self._rows, self._metadata))
        self._rows = []


class _Kept:
    """The rows that an earlier run wrote."""

    def __init__(self, file: Any) -> None:
        self._file = file

    @property
    def whole(self) -> bool:
        """Whether no window is missing."""
        return _WHOLE in (self._file.metadata.metadata or {})

    def last_start(self) -> float:
        """Give the start of the last window, or 0 without any."""
        for group in reversed(range(self._file.num_row_groups)):
            starts = self._file.read_row_group(group, columns=["start_s"])["start_s"]
            if len(starts):
                return float(starts[-1].as_py())
        return 0.0

    def tables(self, until: float) -> Iterator[Any]:
        """Give the rows of the windows that start before."""
        from pyarrow import compute  # noqa: PLC0415 - as above

        for group in range(self._file.num_row_groups):
            table = self._file.read_row_group(group)
            yield table.filter(compute.less(table["start_s"], until))


def _kept(path: Path, facts: TimelineFacts) -> _Kept:
    pyarrow = require_pyarrow()
    from pyarrow import parquet  # noqa: PLC0415 - as above

    try:
        # Read into memory, since the file's place is about to be taken.
        file = parquet.ParquetFile(pyarrow.BufferReader(path.read_bytes()))
        stored = json.loads((file.schema_arrow.metadata or {})[_KEY])
    except OSError as error:
        raise unwritable(path, error) from error
    except (pyarrow.ArrowException, KeyError, ValueError) as error:
        raise InvalidArgument(
            f"--resume: {path} is no whole timeline that mien has written; leave --resume out to "
            "begin anew"
        ) from error
    facts.require_same(stored, path=path)
    return _Kept(file)
