"""``mien plot``: a timeline's table → a figure for a paper."""

from pathlib import Path
from typing import Annotated

import typer

from mien.commands.shared import require
from mien.errors import InvalidArgument


def plot(
    table: Annotated[Path, typer.Argument(help="What 'mien timeline' wrote: .parquet or .csv.")],
    *,
    out: Annotated[Path, typer.Option(help="Figure to write: .png, .pdf or .svg.")],
) -> None:
    """Draw what each person expresses over time, for print."""
    require("matplotlib")
    from mien.lab.timeline_plot import plot_timeline
    from mien.timelines import Timeline

    if out.exists() and table.exists() and out.samefile(table):
        raise InvalidArgument(f"--out {out} is the table, which it would overwrite")
    plot_timeline(Timeline.read(table), out)
    typer.echo(out)
