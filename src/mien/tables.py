"""Prediction tables on disk: read, checked and written; the names of their clips."""

import csv
import re
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.emotions import EMOTIONS, from_ravdess_code
from mien.errors import InvalidArgument, MissingDependency

Numbers = npt.NDArray[np.float64]
Rows = Mapping[str, Sequence[Any]]
"""Column by name."""

RAVDESS_KEY = re.compile(r"(?:0[123]-)?(0[12]-(0[1-8])-0[12]-0[12]-0[12]-(\d\d))")
"""A performance, with or without the modality before it: vocal channel, emotion, intensity,
statement, repetition, actor."""

SUM_TOLERANCE = 0.01
"""How far from 1 the eight probabilities of a row may add up: rounded to two digits, they do."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PredictionTable:
    """Predictions of clips, one row each."""

    clips: tuple[str, ...]
    probabilities: Numbers
    """Shape ``(clips, 8)``; each row adds up to 1, or is NaN where there is no answer."""
    folds: tuple[str, ...] | None = None
    truth: tuple[str | None, ...] | None = None
    """Emotion of each clip, ``None`` where it is not known."""


def normal_key(clip: str) -> str:
    """Give the name by which tables are joined.

    Args:
        clip: a RAVDESS file, with folders and ending or without, its key, or any other name.

    Returns:
        RAVDESS's key without the modality; any other name as it is.

    >>> normal_key("Actor_12/03-01-05-01-02-01-12.wav")
    '01-05-01-02-01-12'
    >>> normal_key("my clips/party.mp4")
    'my clips/party.mp4'
    """
    match = _ravdess(clip)
    return match[1] if match else clip


def truth_of_key(clip: str) -> str | None:
    """Give the emotion that a RAVDESS key or file name tells; ``None`` for other names.

    >>> truth_of_key("01-05-01-02-01-12"), truth_of_key("03-01-05-01-02-01-12.wav")
    ('angry', 'angry')
    """
    match = _ravdess(clip)
    return from_ravdess_code(match[2]) if match else None


def speaker_of_key(clip: str) -> str | None:
    """Give the actor that a RAVDESS key or file name tells; ``None`` for other names.

    >>> speaker_of_key("03-01-05-01-02-01-12.wav")
    '12'
    """
    match = _ravdess(clip)
    return match[3] if match else None


def read_table(path: str | Path) -> PredictionTable:
    r"""Read a prediction table.

    Args:
        path: CSV (UTF-8) or Parquet with the columns ``clip`` and the eight emotions, in any
            order, and ``fold`` and ``truth`` if there are; others are not looked at.

    Returns:
        Rows in the file's order; those whose eight cells are all empty are NaN, the others are
        scaled to add up to 1.

    Raises:
        InvalidArgument: the file cannot be read, columns or rows are missing or doubled, or a
            cell does not fit; rows are counted from 1, without the header.
        MissingDependency: a Parquet file, and no pyarrow.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "table.csv"
    >>> _ = path.write_text("clip," + ",".join(EMOTIONS) + "\na.mp4,0,0,1,0,0,0,0,0\n")
    >>> read_table(path).probabilities.tolist()
    [[0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]]
    """
    path = Path(path)
    _require_ending(path)
    try:
        rows = _read_csv(path) if path.suffix == ".csv" else _read_parquet(path)
    except OSError as error:
        raise InvalidArgument(
            f"cannot read {path} ({error.strerror or error}); name a prediction table, as "
            "'mien predict --out' writes it"
        ) from error
    return _table(rows, path=path)


def write_table(table: PredictionTable, path: str | Path) -> None:
    """Write a prediction table, whole or not at all.

    Args:
        table: what to write, with all digits.
        path: .csv or .parquet, in a folder that exists; an old file is replaced.

    Raises:
        InvalidArgument: another ending, or a file that cannot be written.
        MissingDependency: a Parquet file, and no pyarrow.
    """
    path = Path(path)
    _require_ending(path)
    columns: dict[str, Sequence[Any]] = {"clip": table.clips}
    if table.folds is not None:
        columns["fold"] = table.folds
    if table.truth is not None:
        columns["truth"] = table.truth
    for emotion, values in zip(EMOTIONS, table.probabilities.T.tolist(), strict=True):
        columns[emotion] = [None if np.isnan(value) else value for value in values]
    write = _write_csv if path.suffix == ".csv" else _write_parquet
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        write(columns, part)
        part.replace(path)
    except OSError as error:
        raise InvalidArgument(
            f"cannot write {path} ({error.strerror or error}); name a file in a folder that exists"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _ravdess(clip: str) -> re.Match[str] | None:
    name = PurePosixPath(clip.replace("\\", "/")).stem
    return RAVDESS_KEY.fullmatch(name)


def _require_ending(path: Path) -> None:
    if path.suffix not in {".csv", ".parquet"}:
        raise InvalidArgument(f"a prediction table ends in .csv or .parquet, not {path.name!r}")


def _read_csv(path: Path) -> Rows:
    # File names need not be text; Excel begins its files with a byte order mark.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file)
        try:
            header = next(reader, [])
            _require_columns(header, path=path)
            cells = list(_whole_rows(reader, header, path=path))
        except csv.Error as error:
            raise InvalidArgument(
                f"{path}, line {reader.line_num}: {error}; write it as comma-separated text"
            ) from error
    return {name: [row[place] for row in cells] for place, name in enumerate(header)}


def _whole_rows(
    reader: Iterator[list[str]], header: Sequence[str], *, path: Path
) -> Iterator[list[str]]:
    for number, row in enumerate(filter(None, reader), 1):
        if len(row) != len(header):
            raise InvalidArgument(
                f"{path}, row {number}: expected {len(header)} cells as in the header, "
                f"not {len(row)}; the file may be cut off"
            )
        yield row


def _read_parquet(path: Path) -> Rows:
    pyarrow, parquet = _pyarrow()
    try:
        # As a file, so that neither folders nor other columns are read.
        with path.open("rb") as file:
            stored = parquet.ParquetFile(file)
            names = stored.schema_arrow.names
            _require_columns(names, path=path)
            wanted = [name for name in names if name in {"clip", "fold", "truth", *EMOTIONS}]
            columns: Rows = stored.read(columns=wanted).to_pydict()
    except pyarrow.ArrowException as error:
        raise InvalidArgument(
            f"{path} is no whole Parquet file ({error}); write it anew"
        ) from error
    return columns


def _pyarrow() -> tuple[Any, Any]:
    # Half of the run-time's users never see a Parquet file.
    try:
        import pyarrow  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependency(
            "Parquet tables need pyarrow: pip install pyarrow, or use a .csv table"
        ) from error
    return pyarrow, parquet


def _require_columns(names: Sequence[str], *, path: Path) -> None:
    if missing := [name for name in ("clip", *EMOTIONS) if name not in names]:
        raise InvalidArgument(
            f"{path} lacks the columns {', '.join(missing)}; a prediction table has clip, then "
            f"{', '.join(EMOTIONS)}"
        )
    if doubled := [name for name, count in Counter(names).items() if count > 1]:
        raise InvalidArgument(f"{path} has the columns {', '.join(doubled)} twice; keep one each")


def _table(rows: Rows, *, path: Path) -> PredictionTable:
    clips = ["" if clip is None else str(clip) for clip in rows["clip"]]
    if not clips:
        raise InvalidArgument(f"{path} holds no clips; it needs one row a clip")
    _require_single_clips(clips, path=path)
    folds = rows.get("fold")
    return PredictionTable(
        clips=tuple(clips),
        probabilities=_scaled(_numbers(rows, path=path), path=path),
        folds=None if folds is None else tuple("" if f is None else str(f) for f in folds),
        truth=_truth(rows["truth"], path=path) if "truth" in rows else None,
    )


def _require_single_clips(clips: Sequence[str], *, path: Path) -> None:
    first: dict[str, int] = {}
    for number, clip in enumerate(clips, 1):
        if not clip:
            raise InvalidArgument(f"{path}, row {number}: the clip has no name; give it one")
        if first.setdefault(clip, number) != number:
            raise InvalidArgument(
                f"{path}, rows {first[clip]} and {number}: both are of {clip}; keep one row a clip"
            )


def _truth(cells: Sequence[Any], *, path: Path) -> tuple[str | None, ...]:
    for number, cell in enumerate(cells, 1):
        if cell and cell not in EMOTIONS:
            raise InvalidArgument(
                f"{path}, row {number}: truth must be one of {', '.join(EMOTIONS)}, or empty, "
                f"not {cell!r}"
            )
    return tuple(cell or None for cell in cells)


def _numbers(rows: Rows, *, path: Path) -> Numbers:
    columns = [
        [
            _number(cell, f"{path}, row {number}, {emotion}")
            for number, cell in enumerate(rows[emotion], 1)
        ]
        for emotion in EMOTIONS
    ]
    return np.array(columns, np.float64).T


def _number(cell: Any, where: str) -> float:
    if cell is None or cell == "":
        return np.nan
    try:
        return float(cell)
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"{where}: expected a number, not {cell!r}") from error


def _scaled(values: Numbers, *, path: Path) -> Numbers:
    sums = values.sum(axis=1)
    empty = np.isnan(values).all(axis=1)
    good = np.isfinite(values).all(axis=1) & (values >= 0).all(axis=1)
    good &= np.abs(sums - 1) <= SUM_TOLERANCE
    if not (good | empty).all():
        row = int(np.flatnonzero(~(good | empty))[0])
        raise InvalidArgument(
            f"{path}, row {row + 1}: expected eight probabilities, 0 or more, that add up to 1, "
            f"or eight empty cells, not {values[row].tolist()}"
        )
    scaled: Numbers = values / sums[:, None]
    return scaled


def _write_csv(columns: Rows, path: Path) -> None:
    with path.open("x", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _write_parquet(columns: Rows, path: Path) -> None:
    pyarrow, parquet = _pyarrow()
    try:
        table = pyarrow.table(
            {
                name: pyarrow.array(
                    cells, pyarrow.float64() if name in EMOTIONS else pyarrow.string()
                )
                for name, cells in columns.items()
            }
        )
    except UnicodeEncodeError as error:
        raise InvalidArgument(
            f"the clip {error.object!r} has a name that is no text; write .csv"
        ) from error
    parquet.write_table(table, path)
