"""Features that somebody else computed: a table with one row a clip, or one row a frame."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

from mien.errors import InvalidArgument
from mien.tables import normal_key

SLICES = 64
"""Equal slices of a clip that the rows of its frames are averaged in: RAVDESS has about 110."""

ANSWERS = frozenset(
    {
        "emotion",
        "label",
        "truth",
        "target",
        "class",
        "y",
        "actor",
        "speaker",
        "subject",
        "sex",
        "gender",
        "statement",
        "intensity",
        "fold",
        "split",
    }
)
"""Columns that say what is to be learned, who speaks or what, and so are no features."""

NUMBERING = frozenset({"", "index", "unnamed: 0", "__index_level_0__"})
"""Columns that number the rows of a table, which may be sorted by the answer."""


@dataclass(frozen=True, kw_only=True)
class FeatureTable:
    """Features of clips by key."""

    name: str
    """The file's name."""
    columns: tuple[str, ...]
    rows: dict[str, np.ndarray]
    """Key → float32 of shape ``(columns,)``, or ``(SLICES, columns)`` of a table of frames."""
    per_frame: bool

    @property
    def description(self) -> str:
        """What the features are, for people."""
        kind = "one row a frame" if self.per_frame else "one row a clip"
        return f"{len(self.columns)} columns of {self.name}, {kind}"


def read_feature_table(path: Path) -> FeatureTable:
    r"""Read a CSV or Parquet file of features.

    The column ``clip`` holds keys (``01-05-01-02-01-12``) or names of files; a column ``frame``,
    any numbers that grow with time, makes it a table of frames, whose rows are averaged in 64
    equal slices of the clip. All other columns are features.

    Raises:
        InvalidArgument: no such file, no column ``clip`` or no other, a doubled clip, a column
            that is not of finite numbers or gives the answer away.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "units.csv"
    >>> _ = path.write_text("clip,AU01,AU12\n03-01-05-01-02-01-12.wav,0.5,2\n")
    >>> read_feature_table(path).rows
    {'01-05-01-02-01-12': array([0.5, 2. ], dtype=float32)}
    """
    table = _read(path)
    columns = tuple(name for name in table.column_names if name not in {"clip", "frame"})
    if "clip" not in table.column_names or not columns:
        raise InvalidArgument(
            f"{path} must have a column named clip and at least one of features, not "
            f"{', '.join(table.column_names) or 'none'}"
        )
    if len(set(table.column_names)) < len(table.column_names):
        raise InvalidArgument(f"{path}: two columns have one name; rename or drop one")
    if given_away := sorted(name for name in columns if name.lower() in ANSWERS | NUMBERING):
        raise InvalidArgument(
            f"{path}: {', '.join(map(repr, given_away))} would give the answer away, or numbers "
            "the rows; take these columns out"
        )
    values = np.stack([_numbers(table, name, path=path) for name in columns], axis=1)
    keys = np.array([normal_key(str(clip)) for clip in table.column("clip").to_pylist()])
    per_frame = "frame" in table.column_names
    order = np.argsort(keys, kind="stable")
    if per_frame:
        order = np.lexsort((_numbers(table, "frame", path=path), keys))
    names, starts = np.unique(keys[order], return_index=True)
    parts = np.split(values[order], starts[1:])
    if not per_frame:
        _require_single(names, parts, path=path)
    return FeatureTable(
        name=path.name,
        columns=columns,
        rows={
            str(name): _in_slices(part) if per_frame else part[0]
            for name, part in zip(names, parts, strict=True)
        },
        per_frame=per_frame,
    )


def _read(path: Path) -> pa.Table:
    try:
        if path.suffix == ".parquet":
            return parquet.read_table(path)
        if path.suffix == ".csv":
            strings = csv.ConvertOptions(column_types={"clip": pa.string()})
            return csv.read_csv(path, convert_options=strings)
    except FileNotFoundError as error:
        raise InvalidArgument(f"{path}: no such file") from error
    except pa.ArrowInvalid as error:
        raise InvalidArgument(f"{path} is no table: {error}") from error
    raise InvalidArgument(f"a table of features must end in .csv or .parquet, not {path.name!r}")


def _numbers(table: pa.Table, name: str, *, path: Path) -> np.ndarray:
    column = table.column(name)
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise InvalidArgument(f"{path}: column {name} must hold numbers, not {kind}")
    values = np.asarray(column.to_numpy(), np.float32)
    if bad := np.flatnonzero(~np.isfinite(values)).tolist():
        raise InvalidArgument(
            f"{path}: column {name} must hold finite numbers, but does not in {len(bad)} rows, "
            f"the first at clip {table.column('clip')[bad[0]]}; fill or drop them"
        )
    return values


def _require_single(names: np.ndarray, parts: list[np.ndarray], *, path: Path) -> None:
    doubled = [str(name) for name, part in zip(names, parts, strict=True) if len(part) > 1]
    if doubled:
        raise InvalidArgument(
            f"{path}: {len(doubled)} clips have several rows ({', '.join(doubled[:5])}); a table "
            "of frames needs a column named frame"
        )


def _in_slices(rows: np.ndarray) -> np.ndarray:
    """Average the rows in each slice; a slice without a row of its own takes the nearest."""
    edges = np.linspace(0, len(rows), SLICES + 1)
    first = np.minimum(edges[:-1].astype(int), len(rows) - 1)
    last = np.maximum(np.ceil(edges[1:]).astype(int), first + 1)
    sums = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0, dtype=np.float64)])
    means: np.ndarray = ((sums[last] - sums[first]) / (last - first)[:, None]).astype(np.float32)
    return means
