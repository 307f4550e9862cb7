"""``mien report``: an evaluation's report, drawn again."""

from pathlib import Path
from typing import Annotated

import typer

from mien.commands.shared import require


def report(
    folder: Annotated[Path, typer.Argument(help="Folder that 'mien evaluate --out' wrote.")],
) -> None:
    """Draw the report of an evaluation again, from its scores.json."""
    require("jinja2", "matplotlib")
    from mien.lab.report import write_report

    typer.echo(write_report(folder))
