"""The windows of one clip together: shown in a notebook, made a table, read from one."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from mien.arrow_tables import require_pyarrow, timeline_table, to_pandas
from mien.displays import timeline_html
from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument
from mien.windows import COLUMNS, Branch, Window


@dataclass(frozen=True)
class Timeline:
    """What people express in a clip, window by window.

    >>> Timeline.gather([], clip="talk.mp4")
    Timeline(clip='talk.mp4', windows=())
    """

    clip: str
    windows: tuple[Window, ...]
    """In order of start; one a person that was there."""

    @classmethod
    def gather(cls, windows: Iterable[Window], *, clip: str) -> Self:
        """Wait for all windows of a clip.

        Args:
            windows: as ``mien.load().timeline(path)`` yields them.
            clip: its name.

        Raises:
            UnreadableClip: the clip breaks off.
        """
        return cls(clip, tuple(windows))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a table that ``mien timeline`` wrote; the clip gets the table's name.

        Args:
            path: .csv or .parquet.

        Raises:
            InvalidArgument: the file cannot be read, or is no timeline.
            MissingDependency: a Parquet file, and no pyarrow.
        """
        path = Path(path)
        return cls(path.name, tuple(_read_windows(path)))

    def to_arrow(self) -> Any:
        """Give a ``pyarrow.Table``, a row a window, in the schema of docs/timeline.md.

        Raises:
            MissingDependency: no pyarrow.
        """
        return timeline_table((window.row() for window in self.windows), {"clip": self.clip})

    def to_pandas(self) -> Any:
        """Give a ``pandas.DataFrame``, a row a window.

        Raises:
            MissingDependency: no pandas, or no pyarrow.
        """
        return to_pandas(self.to_arrow())

    def _repr_html_(self) -> str:
        return timeline_html(self.clip, self.windows)


def _read_windows(path: Path) -> Iterator[Window]:
    if path.suffix not in {".csv", ".parquet"}:
        raise InvalidArgument(f"a timeline's table ends in .csv or .parquet, not {path.name!r}")
    try:
        rows = _csv_rows(path) if path.suffix == ".csv" else _parquet_rows(path)
        for number, row in enumerate(rows, 1):
            try:
                yield _window(row)
            except (TypeError, ValueError, KeyError) as error:
                raise InvalidArgument(
                    f"{path}, row {number} is no row of a timeline ({error}); write it anew with "
                    "'mien timeline'"
                ) from error
    except OSError as error:
        raise InvalidArgument(
            f"cannot read {path} ({error.strerror or error}); name a table that 'mien timeline' "
            "wrote"
        ) from error


def _csv_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        _require_columns(reader.fieldnames or (), path=path)
        for row in reader:
            yield {name: cell or None for name, cell in row.items()}


def _parquet_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    pyarrow = require_pyarrow()
    from pyarrow import parquet  # noqa: PLC0415 - half of the run-time's users never see one

    try:
        with path.open("rb") as source:
            file = parquet.ParquetFile(source)
            _require_columns(file.schema_arrow.names, path=path)
            for batch in file.iter_batches():
                yield from batch.to_pylist()
    except pyarrow.ArrowException as error:
        raise InvalidArgument(
            f"{path} is no whole Parquet file ({error}); write it anew"
        ) from error


def _require_columns(names: Iterable[str], *, path: Path) -> None:
    if missing := [name for name in COLUMNS if name not in set(names)]:
        raise InvalidArgument(
            f"{path} lacks the columns {', '.join(missing[:4])}"
            f"{' and others' if missing[4:] else ''}; name a table that 'mien timeline' wrote"
        )


def _window(row: Mapping[str, Any]) -> Window:
    audio, video = (_probabilities(row, f"{branch}_") for branch in ("audio", "video"))
    reason = row["reason"]
    return Window(
        start_s=float(row["start_s"]),
        end_s=float(row["end_s"]),
        person=None if row["person"] is None else int(row["person"]),
        emotion=row["emotion"],
        confidence=_number(row["confidence"]),
        probabilities=_probabilities(row, ""),
        audio=Branch(audio is not None, None if audio else reason, audio),
        video=Branch(video is not None, None if video else reason, video),
        faces_found=_number(row["faces_found"]),
        speech=_number(row["speech"]),
        reason=reason,
    )


def _probabilities(row: Mapping[str, Any], branch: str) -> dict[str, float] | None:
    values = {name: _number(row[f"{branch}{name}"]) for name in EMOTIONS}
    whole = {name: value for name, value in values.items() if value is not None}
    return whole if len(whole) == len(EMOTIONS) else None


def _number(cell: Any) -> float | None:
    return None if cell is None else float(cell)
