"""``mien batch``: folders, globs and manifests of clips, however many → one table in Parquet."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from mien.commands.shared import INTERRUPTED
from mien.errors import InvalidArgument

SOME_CLIP_FAILED = 1
TELL_S = 30.0
"""Seconds between two lines of progress, where no bar can be shown."""


def batch(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Folders, globs, manifests (.csv or .parquet with a column clip) or clips; "
            "paths or URLs (s3://, gs://, hdfs://).",
        ),
    ],
    *,
    out: Annotated[str, typer.Option(help="Folder of the table; a path or URL.")],
    bundle: Annotated[
        str | None, typer.Option(help="Folder of a trained model; the embedded one else.")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Ray cluster: auto, host:port or ray://host:port; this machine else."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Each has one core; as many as there are cores else.")
    ] = None,
    gpus_per_worker: Annotated[
        float, typer.Option(min=0, help="Share of a graphics processor a worker has.")
    ] = 0.0,
    timeline: Annotated[
        bool, typer.Option("--timeline", help="A row a window, as 'mien timeline' has.")
    ] = False,
    retries: Annotated[
        int, typer.Option(min=0, help="How often a clip that crashed a worker is tried again.")
    ] = 2,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that a clip may take.")] = 120.0,
    into_new: Annotated[
        bool,
        typer.Option(
            "--into-new", help="Where --out was made with other settings, use a folder beside it."
        ),
    ] = False,
) -> None:
    """Answer any number of clips, on all cores or on a Ray cluster; stopped, it goes on."""
    import mien
    from mien.batch.job import Job
    from mien.batch.pipeline import Cluster
    from mien.batch.places import access_of, open_place
    from mien.batch.run import run_batch
    from mien.batch.summary import summary_lines
    from mien.bundle import load_bundle

    cluster = Cluster(address=address, workers=workers, gpus_per_worker=gpus_per_worker)
    if (address or "").startswith("ray://"):
        _require_absolute([*inputs, out, *filter(None, [bundle])])
    places = [open_place(name) for name in (*inputs, out)]
    job = Job(
        out=places[-1],
        bundle=None if bundle is None else os.path.abspath(bundle),  # noqa: PTH100
        bundle_sha256=load_bundle(bundle).sha256,
        version=mien.__version__,
        device="cuda" if gpus_per_worker else "cpu",
        timeline=timeline,
        retries=retries,
        timeout_s=timeout,
        access=access_of(places),
    )
    try:
        with _bar() as progress:
            report = run_batch(job, inputs, cluster=cluster, progress=progress, into_new=into_new)
    except KeyboardInterrupt:
        typer.echo("mien: stopped; the same command goes on from there", err=True)
        raise typer.Exit(INTERRUPTED) from None
    for line in summary_lines(report):
        typer.echo(line)
    if report.whole.failed:
        raise typer.Exit(SOME_CLIP_FAILED)


def _require_absolute(names: Iterable[str]) -> None:
    for name in names:
        if "://" not in name and not os.path.isabs(name):  # noqa: PTH117
            raise InvalidArgument(
                f"with --address ray://, paths are those of the cluster and must be whole, not "
                f"{name}; name an absolute path or a URL"
            )


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("clips,"), TimeRemainingColumn())
    with Progress(
        *columns,
        TextColumn("left"),
        console=console,
        transient=True,
    ) as bar:
        yield _Advance(bar)


class _Advance:
    """Moves the bar; what earlier runs did is no measure of this one's speed."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task: TaskID | None = None

    def __call__(self, done: int, clips: int) -> None:
        if self._task is None:
            self._task = self._bar.add_task("", total=clips, completed=done)
        self._bar.update(self._task, completed=done)


class _Lines:
    """Tells now and then how far a job is."""

    def __init__(self) -> None:
        self._told_s = monotonic()

    def __call__(self, done: int, clips: int) -> None:
        now_s = monotonic()
        if now_s - self._told_s >= TELL_S:
            self._told_s = now_s
            typer.echo(f"mien: {done:,} of {clips:,} clips", err=True)
