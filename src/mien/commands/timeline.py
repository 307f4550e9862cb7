"""``mien timeline``: a long video → who expresses what when, in files that other tools open."""

import math
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mien.commands.shared import INTERRUPTED, Precision

if TYPE_CHECKING:
    from mien.timeline_files.writer import TimelineWriter
    from mien.windows import Window


def timeline(
    video: Annotated[Path, typer.Argument(help="A video or sound file, of any length.")],
    *,
    out: Annotated[
        list[Path],
        typer.Option(
            help="File to write, once or more often: .csv, .parquet, .json, .vtt (captions), .eaf "
            "(ELAN), .html (page with curves) or .mp4 (video with boxes and bars)."
        ),
    ],
    window: Annotated[float, typer.Option(help="Seconds that an answer is about.")] = 4.0,
    hop: Annotated[float, typer.Option(help="Seconds from one window's start to the next.")] = 1.0,
    people: Annotated[
        Literal["largest", "all"], typer.Option(help="Follow the largest face, or all.")
    ] = "largest",
    bundle: Annotated[
        Path | None, typer.Option(help="Folder of a trained model; the embedded one else.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    precision: Precision = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the .csv and .parquet that are there.")
    ] = False,
    abstain_below: Annotated[
        float, typer.Option(help="Name no emotion when the likeliest is less likely than this.")
    ] = 0.0,
) -> None:
    """Say who expresses what when in a long video: an answer for each window of it."""
    from mien.recognise import Recogniser
    from mien.timeline import TimelineOptions
    from mien.timeline_files import (
        TimelineFacts,
        check_outputs,
        missing_from,
        open_writers,
        start_of,
    )
    from mien.timeline_files.source import claimed_duration

    check_outputs(out, clip=video, resume=resume)
    recogniser = Recogniser(bundle, device=device, precision=precision, abstain_below=abstain_below)
    options = TimelineOptions(window_s=window, hop_s=hop, people=people)
    facts = TimelineFacts(
        clip=video,
        window_s=window,
        hop_s=hop,
        people=people,
        bundle={"name": recogniser.bundle.name, "sha256": recogniser.bundle.sha256},
        abstain_below=abstain_below,
    )
    done = _Done()
    # Before files are opened: a clip that is not there must not cost the results that are.
    duration_s = claimed_duration(video)
    try:
        with (
            _progress(duration_s) as progress,
            open_writers(out, facts, resume=resume, drawing=progress.drawn) as writers,
        ):
            done.since_s = missing_from(writers)
            if math.isinf(done.since_s):
                typer.echo(f"nothing is missing: {', '.join(map(str, out))}")
                return
            windows = recogniser.timeline(video, options=options, start=start_of(writers))
            _write(windows, writers, done, progress)
    except KeyboardInterrupt:
        typer.echo(f"mien: {_stopped(done, out)}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    typer.echo(f"{done}: {', '.join(map(str, out))}")


@dataclass
class _Done:
    """What has been written."""

    since_s: float = 0.0
    """Windows that start before were there."""
    rows: int = 0
    end_s: float = 0.0
    people: set[int] = field(default_factory=set)

    def add(self, window: "Window") -> None:
        if window.start_s < self.since_s:
            return
        self.rows += 1
        self.end_s = max(self.end_s, window.end_s)
        if window.person is not None:
            self.people.add(window.person)

    def __str__(self) -> str:
        people = f"{len(self.people)} {'person' if len(self.people) == 1 else 'people'}"
        more = "more " if self.since_s else ""
        return f"{self.rows} {more}rows, {people}, {self.end_s:.1f} s"


def _write(
    windows: "Iterable[Window]",
    writers: "list[TimelineWriter]",
    done: _Done,
    progress: "_Bars",
) -> None:
    with _stoppable() as stopped:
        for window in windows:
            for writer in writers:
                writer.write(window)
            done.add(window)
            progress.read(window.end_s)
            if stopped.is_set:
                raise KeyboardInterrupt


@dataclass
class _Flag:
    is_set: bool = False


@contextmanager
def _stoppable() -> Iterator[_Flag]:
    """Turn Ctrl-C into a flag, so that no row is left half written; a second one stops at once."""
    flag = _Flag()

    def ask(_: int, __: FrameType | None) -> None:
        flag.is_set = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, before)


class _Bars:
    """Progress of reading, and of drawing a video afterwards, on a terminal."""

    def __init__(self, progress: Progress, duration_s: float | None) -> None:
        self._progress = progress
        self._reading = progress.add_task("reading", total=duration_s)
        self._drawing: TaskID | None = None

    def read(self, end_s: float) -> None:
        self._progress.update(self._reading, completed=end_s)

    def drawn(self, share: float) -> None:
        if self._drawing is None:
            self._progress.update(self._reading, visible=False)
            self._drawing = self._progress.add_task("drawing", total=1)
        self._progress.update(self._drawing, completed=share)


@contextmanager
def _progress(duration_s: float | None) -> Iterator[_Bars]:
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        yield _Bars(progress, duration_s)


def _stopped(done: _Done, out: list[Path]) -> str:
    from mien.timeline_files import RESUMABLE

    told = f"stopped at {done.end_s:.1f} s; {', '.join(map(str, out))} hold what is done"
    if all(path.suffix in RESUMABLE for path in out):
        return f"{told}; the same command with --resume goes on"
    return told
