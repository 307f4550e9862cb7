"""``.csv``: one row a line, whole at every moment; beside it what W3C's "CSV on the Web" asks for.

``talk.csv-metadata.json`` tells each column's meaning and type, and how the table was made. It has
the name and the form of the W3C's recommendation "Metadata Vocabulary for Tabular Data" (2015), and
tells a resumed run whether the table is its own.
"""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any, TextIO

from mien.columns import TIMELINE_COLUMNS
from mien.errors import InvalidArgument
from mien.timeline_files.facts import TimelineFacts
from mien.timeline_files.resume_file import ResumeFile
from mien.timeline_files.writer import unwritable
from mien.windows import COLUMNS, Checkpoint, Window

_DATATYPES = {"number": "number", "whole number": "integer", "text": "string"}
_HEADER = ",".join(COLUMNS).encode() + b"\r\n"


class CsvFile:
    """Writes windows as rows of a CSV table, each on disk before the next comes.

    Args:
        path: the table.
        facts: go into the metadata beside it.
        resume: keep the rows that are there, but the last window's, which may not be all there.

    Raises:
        InvalidArgument: the file cannot be written, or holds another run's rows.
    """

    def __init__(self, path: Path, facts: TimelineFacts, *, resume: bool = False) -> None:
        self.from_s = 0.0
        """Start of the first window that is missing; earlier ones are not written again."""
        self.begun = False
        self._path, self._facts = path, facts
        kept = resume and path.exists()
        self._resume_file = ResumeFile(path, facts, resume=kept)
        if kept:
            stored = _stored(path)
            facts.require_same(stored["mien"], path=path)
            self.from_s = math.inf if stored.get("whole") else _cut_last_window(path)
        else:
            self._resume_file.drop()
        try:
            self._file: TextIO = path.open("a" if kept else "w", encoding="utf-8", newline="")
        except OSError as error:
            raise unwritable(path, error) from error
        self._tell(whole=math.isinf(self.from_s))
        self._csv = csv.DictWriter(self._file, COLUMNS)
        if not kept:
            self._csv.writeheader()
            self._file.flush()

    @property
    def checkpoint(self) -> Checkpoint | None:
        """From where the missing windows can be computed; from the start when there is none."""
        return self._resume_file.before(self.from_s)

    def write(self, window: Window) -> None:
        """Append a row, unless it is there."""
        self.begun = True
        if window.start_s >= self.from_s:
            self._csv.writerow(window.row())
            self._file.flush()
        if window.checkpoint:
            self._resume_file.keep(window.checkpoint)
            self._resume_file.write()

    def finish(self) -> None:
        """Say that no window is missing."""
        self._tell(whole=True)
        self._resume_file.drop()

    def close(self) -> None:
        """Let go of the file, which is whole."""
        self._file.close()

    def discard(self) -> None:
        """Leave a table of what was there before, if it was gone on with."""
        self.close()

    def _tell(self, *, whole: bool) -> None:
        try:
            told = _metadata(self._path, self._facts, whole=whole)
            metadata_path(self._path).write_text(told, "utf-8")
        except OSError as error:
            raise unwritable(self._path, error) from error


def metadata_path(path: Path) -> Path:
    """Give the place of what is told about a table."""
    return path.with_name(f"{path.name}-metadata.json")


def _metadata(path: Path, facts: TimelineFacts, *, whole: bool) -> str:
    columns = [
        {
            "name": column.name,
            "titles": column.name,
            "datatype": _DATATYPES[column.kind],
            "dc:description": column.meaning,
        }
        for column in TIMELINE_COLUMNS
    ]
    content = {
        "@context": "http://www.w3.org/ns/csvw",
        "url": path.name,
        "dc:title": f"What is expressed in {facts.title}, window by window",
        "tableSchema": {"columns": columns},
        "notes": [{"mien": facts.settings(), "whole": whole}],
    }
    return json.dumps(content, indent=2) + "\n"


def _stored(path: Path) -> dict[str, Any]:
    """Give the note: ``mien``, the settings, and whether the table is whole."""
    beside = metadata_path(path)
    try:
        note: dict[str, Any] = json.loads(beside.read_bytes())["notes"][0]
        dict(note["mien"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InvalidArgument(
            f"--resume: how {path} was made is not known, since {beside.name} beside it is missing "
            "or damaged; leave --resume out to begin anew"
        ) from error
    return note


def _cut_last_window(path: Path) -> float:
    """Cut off the rows of the last window, which may not be all there; give its start."""
    with path.open("r+b") as file:
        if file.readline() != _HEADER:
            raise InvalidArgument(
                f"--resume: {path} does not begin with a timeline's columns; leave --resume out to "
                "begin anew"
            )
        place, last = file.tell(), None
        for line in file:
            if not line.endswith(b"\n"):
                # Torn off in the middle; its first number may be another's beginning.
                break
            start = _start_of(line, path=path)
            if start != last:
                cut, last = place, start
            place += len(line)
        file.truncate(place if last is None else cut)
    return last or 0.0


def _start_of(line: bytes, *, path: Path) -> float:
    try:
        return float(line.partition(b",")[0])
    except ValueError as error:
        raise InvalidArgument(
            f"--resume: {path} holds a line that is no row of a timeline ({line[:40]!r}); leave "
            "--resume out to begin anew"
        ) from error
