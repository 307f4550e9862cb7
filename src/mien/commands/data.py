"""Commands about corpora: ``mien data ravdess check`` and ``mien data ravdess download``."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from mien.lab.check import Fault, RavdessCheck

SOMETHING_WRONG = 1
LISTED_AT_MOST = 24

data_app = typer.Typer(help="Get corpora, and check them.", no_args_is_help=True)
ravdess_app = typer.Typer(
    help="RAVDESS, Zenodo record 1188976 (CC BY-NC-SA 4.0).", no_args_is_help=True
)
data_app.add_typer(ravdess_app, name="ravdess")

Actors = Annotated[str, typer.Option(help="Which, like 1-24 or 1,5,7-9.")]


@ravdess_app.command("check")
def check(
    folder: Annotated[Path, typer.Argument(help="Folder of RAVDESS or of its zip files.")],
    *,
    actors: Actors = "1-24",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Say what is missing, doubled, truncated or misnamed; exit code 1 if anything is."""
    from mien.lab.check import check_ravdess
    from mien.lab.ravdess import parse_actors

    checked = check_ravdess(folder, actors=parse_actors(actors))
    if as_json:
        typer.echo(json.dumps({"good": checked.good, **asdict(checked)}))
    else:
        _print_check(checked)
    if not checked.good:
        raise typer.Exit(SOMETHING_WRONG)


@ravdess_app.command("download")
def download(
    folder: Annotated[Path, typer.Argument(help="Where the zip files are put; made if missing.")],
    *,
    audio: Annotated[
        bool, typer.Option("--audio", help="Sound files; the default without --video.")
    ] = False,
    video: Annotated[bool, typer.Option("--video", help="Video files, with and without sound.")] = (
        False
    ),
    song: Annotated[bool, typer.Option("--song", help="Songs too, not speech alone.")] = False,
    actors: Actors = "1-24",
    base_url: Annotated[
        str,
        typer.Option(
            help="A mirror with BASE/api/records/1188976 and "
            "BASE/records/1188976/files/NAME?download=1."
        ),
    ] = "https://zenodo.org",
) -> None:
    """Fetch RAVDESS's zip files, which mien reads as they are; a stopped download goes on."""
    from mien.lab.download import Selection, download_ravdess
    from mien.lab.ravdess import parse_actors

    wanted = Selection(
        audio=audio or not video, video=video, song=song, actors=parse_actors(actors)
    )
    for path in download_ravdess(folder, wanted=wanted, base_url=base_url):
        typer.echo(path)


def _print_check(checked: "RavdessCheck") -> None:
    console = Console(highlight=False)
    table = Table("kind", "files", "missing", box=None, pad_edge=False)
    for kind, count in checked.files.items():
        table.add_row(kind, str(count), str(len(checked.missing.get(kind, ()))))
    console.print(table)
    for kind, stems in checked.missing.items():
        _print_list(f"missing, {kind}", _by_actor(stems))
    for what in ("doubled", "truncated", "misnamed"):
        _print_faults(what, getattr(checked, what))
    typer.echo(f"{checked.folder}: {'good' if checked.good else 'something is wrong'}")


def _by_actor(stems: Iterable[str]) -> list[str]:
    """Name the missing files of an actor, or tell how many where they are many.

    >>> _by_actor(["03-01-01-01-01-01-07"])
    ['03-01-01-01-01-01-07']
    >>> _by_actor(["03-01-01-01-01-01-07"] * 44)
    ['actor 07: 44 files']
    """
    stems = list(stems)
    counts = Counter(stem[-2:] for stem in stems)
    many = {actor for actor, count in counts.items() if count > LISTED_AT_MOST}
    few = [stem for stem in stems if stem[-2:] not in many]
    return [*(f"actor {actor}: {counts[actor]} files" for actor in sorted(many)), *few]


def _print_faults(what: str, faults: Iterable["Fault"]) -> None:
    _print_list(what, [f"{fault.clip}: {fault.reason}" for fault in faults])


def _print_list(title: str, lines: list[str]) -> None:
    if lines:
        typer.echo(f"\n{title}:")
    for line in lines[:LISTED_AT_MOST]:
        typer.echo(f"  {line}")
    if (more := len(lines) - LISTED_AT_MOST) > 0:
        typer.echo(f"  and {more} more; --json lists all")
