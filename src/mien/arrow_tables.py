"""Rows → Arrow tables and pandas data frames, all of one schema."""

from collections.abc import Iterable, Mapping
from typing import Any

from mien.columns import CLIP, TIMELINE_COLUMNS, Column, WholeClip, prediction_row
from mien.errors import MissingDependency


def timeline_schema(metadata: Mapping[str, str] | None = None) -> Any:
    """Give the Arrow schema of a timeline: each column with its meaning.

    Args:
        metadata: of the whole table.

    Raises:
        MissingDependency: no pyarrow.

    >>> timeline_schema().names[:3]
    ['start_s', 'end_s', 'person']
    """
    return schema_of(TIMELINE_COLUMNS, metadata)


def timeline_table(
    rows: Iterable[Mapping[str, Any]], metadata: Mapping[str, str] | None = None
) -> Any:
    """Make a ``pyarrow.Table`` of a timeline's rows.

    Args:
        rows: as :meth:`mien.windows.Window.row` gives them.
        metadata: of the whole table.

    Raises:
        MissingDependency: no pyarrow.
    """
    return require_pyarrow().Table.from_pylist(list(rows), schema=timeline_schema(metadata))


def prediction_table(answer: WholeClip) -> Any:
    """Make a ``pyarrow.Table`` of one row: ``clip``, then the columns of a timeline.

    Args:
        answer: a prediction.

    Raises:
        MissingDependency: no pyarrow.
    """
    schema = schema_of((CLIP, *TIMELINE_COLUMNS), None)
    return require_pyarrow().Table.from_pylist([prediction_row(answer)], schema=schema)


def to_pandas(table: Any) -> Any:
    """Make a ``pandas.DataFrame`` of an Arrow table; whole numbers may be missing in it.

    Raises:
        MissingDependency: no pandas.
    """
    try:
        import pandas  # noqa: PLC0415 - few need it, and it takes a second
    except ImportError as error:
        raise MissingDependency(
            "to_pandas() needs pandas: pip install pandas, or use to_arrow()"
        ) from error
    # Else a person who is missing once would turn all numbers of people into fractions.
    whole = {require_pyarrow().int32(): pandas.Int32Dtype()}
    return table.to_pandas(types_mapper=whole.get)


def require_pyarrow() -> Any:
    """Give pyarrow.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        import pyarrow  # noqa: PLC0415 - half of the run-time's users never see a table
    except ImportError as error:
        raise MissingDependency(
            "Arrow and Parquet tables need pyarrow: pip install 'mien[tables]', or '.[tables]' in "
            "a clone; .csv needs nothing"
        ) from error
    return pyarrow


def schema_of(columns: Iterable[Column], metadata: Mapping[str, str] | None = None) -> Any:
    """Give the Arrow schema of columns, each with its meaning.

    Raises:
        MissingDependency: no pyarrow.

    >>> schema_of([CLIP]).names
    ['clip']
    """
    pyarrow = require_pyarrow()
    types = {
        "number": pyarrow.float64(),
        "whole number": pyarrow.int32(),
        "text": pyarrow.string(),
    }
    fields = [
        pyarrow.field(
            column.name,
            types[column.kind],
            nullable=column.name not in {"start_s", "end_s"},
            metadata={"description": column.meaning},
        )
        for column in columns
    ]
    return pyarrow.schema(fields, metadata=metadata)
