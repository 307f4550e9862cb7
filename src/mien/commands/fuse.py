"""The command ``mien fuse``: prediction tables → one, and how good each of them is."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mien.commands.shared import MEASURES, score_cells
from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument

if TYPE_CHECKING:
    from mien.joining import JoinedTables
    from mien.tables import Numbers


def fuse(
    tables: Annotated[
        list[Path], typer.Argument(help="Prediction tables, .csv or .parquet, one a branch.")
    ],
    *,
    method: Annotated[str, typer.Option(help="average, weighted or log_average.")] = "average",
    weights: Annotated[
        str | None, typer.Option(help="One a table, for --method weighted: 0.4,0.6")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the fused table here: .csv or .parquet.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object: the scores of the fusion.")
    ] = False,
) -> None:
    """Fuse prediction tables and say how good they are, where the truth is known.

    Truth is the column `truth`, or what RAVDESS's file names tell.
    """
    from mien.fusion import fuse as fuse_branches
    from mien.joining import join_tables
    from mien.tables import PredictionTable, read_table, write_table

    if out is not None and any(
        out.exists() and table.exists() and out.samefile(table) for table in tables
    ):
        raise InvalidArgument(f"--out {out} is one of the tables, which it would overwrite")
    joined = join_tables(*map(read_table, tables))
    fused = fuse_branches(*joined.branches, method=method, weights=_parsed(weights))
    if out is not None:
        truth = joined.truth if any(joined.truth) else None
        write_table(PredictionTable(clips=joined.clips, probabilities=fused, truth=truth), out)
    _say_what_is_missing(joined, fused, tables)
    found = _scores(joined, fused)
    if as_json:
        typer.echo(
            json.dumps({"clips": found["clips"], **{name: found[name] for name in MEASURES}})
        )
    elif found["clips"]:
        _print_scores(joined, found, tables, method=method)


def _parsed(weights: str | None) -> list[float] | None:
    try:
        return None if weights is None else [float(weight) for weight in weights.split(",")]
    except ValueError as error:
        raise InvalidArgument(
            f"--weights must be numbers with commas between them, as 0.4,0.6, not {weights!r}"
        ) from error


def _scores(joined: "JoinedTables", probabilities: "Numbers") -> dict[str, Any]:
    """Score the clips that have an answer and a truth; without any, the scores are ``None``."""
    import numpy as np

    from mien.lab.intervals import scores
    from mien.tables import speaker_of_key

    answered = ~np.isnan(probabilities[:, 0])
    scored = [
        (place, EMOTIONS.index(truth))
        for place, truth in enumerate(joined.truth)
        if truth is not None and answered[place]
    ]
    if not scored:
        return {"clips": 0, **dict.fromkeys(MEASURES)}
    places, numbers = map(list, zip(*scored, strict=True))
    speakers = [speaker_of_key(joined.clips[place]) for place in places]
    return scores(numbers, probabilities[places], groups=speakers)


def _say_what_is_missing(joined: "JoinedTables", fused: "Numbers", tables: Sequence[Path]) -> None:
    import numpy as np

    lacking = [
        f"{path} lacks {count}" for path, count in zip(tables, joined.lacking, strict=True) if count
    ]
    if lacking:
        where = "only in one table" if len(tables) == 2 else "not in every table"
        _say(
            f"{sum(joined.lacking)} of {len(joined.clips)} clips are {where} "
            f"({', '.join(lacking)}); they are fused from the tables that have them"
        )
    unanswered = int(np.isnan(fused[:, 0]).sum())
    if unanswered:
        _say(f"{unanswered} clips have no answer in any table; they are not scored")
    unknown = joined.truth.count(None)
    if unknown:
        _say(
            f"the truth of {unknown} of {len(joined.clips)} clips is not known: no column truth, "
            "no RAVDESS name; they are not scored"
        )


def _print_scores(
    joined: "JoinedTables", found: dict[str, Any], tables: Sequence[Path], *, method: str
) -> None:
    shown = Table(box=None, pad_edge=False)
    shown.add_column("", overflow="fold")
    for title in ("clips", *MEASURES.values()):
        shown.add_column(title, no_wrap=True)
    if len(tables) > 1:
        for name, branch in zip(_titles(tables), joined.branches, strict=True):
            shown.add_row(Text(name), *score_cells(_scores(joined, branch)))
    name = _titles(tables)[0] if len(tables) == 1 else f"fused, {method}"
    shown.add_row(Text(name), *score_cells(found), style="bold")
    console = Console(highlight=False)
    console.print(shown)
    console.print(
        Text(f"In brackets: 95 % intervals, bootstrap over {found['interval_over']}.", "dim")
    )


def _titles(tables: Sequence[Path]) -> list[str]:
    """Name tables by their files' names, where these tell them apart.

    >>> _titles([Path("a/audio.csv"), Path("a/video.csv")])
    ['audio.csv', 'video.csv']
    """
    names = [path.name for path in tables]
    return names if len(set(names)) == len(names) else [str(path) for path in tables]


def _say(message: str) -> None:
    typer.echo(f"mien: {message}", err=True)
