"""File names → writers: which endings there are, and what is refused before any work is done."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from mien.arrow_tables import require_pyarrow
from mien.errors import InvalidArgument
from mien.timeline_files.csv_file import CsvFile, metadata_path
from mien.timeline_files.eaf_file import EafFile
from mien.timeline_files.facts import TimelineFacts
from mien.timeline_files.html_file import HtmlFile
from mien.timeline_files.json_file import JsonFile
from mien.timeline_files.mp4_file import Mp4File
from mien.timeline_files.parquet_file import ParquetFile
from mien.timeline_files.source import has_pictures
from mien.timeline_files.vtt_file import VttFile
from mien.timeline_files.writer import Part, TimelineWriter
from mien.windows import Checkpoint

ENDINGS = {
    ".csv": "table",
    ".parquet": "table",
    ".json": "everything, for programs",
    ".vtt": "captions",
    ".eaf": "annotations for ELAN",
    ".html": "page with the video and its curves",
    ".mp4": "video with boxes and bars",
}
RESUMABLE = (".csv", ".parquet")


def check_outputs(paths: Sequence[Path], *, clip: Path, resume: bool = False) -> None:
    """Refuse what cannot be written, before anything is.

    Args:
        paths: where to write.
        clip: what is read.
        resume: whether files that are there are gone on with.

    Raises:
        InvalidArgument: no path at all, an unknown ending, a file twice, the clip itself, a place
            that cannot be written to, a video where there is none, or a format that cannot be
            resumed.
        MissingDependency: a Parquet file, and no pyarrow.
        UnreadableClip: a video is asked for, and the clip is missing or no media.

    >>> check_outputs([Path("talk.srt")], clip=Path("talk.mp4"))
    Traceback (most recent call last):
    mien.errors.InvalidArgument: --out talk.srt: the ending must be one of .csv, .parquet, ...
    """
    if not paths:
        raise InvalidArgument(f"--out names no file; it ends in one of {', '.join(ENDINGS)}")
    for path in paths:
        _check_ending(path, resume=resume)
    for place, path in enumerate(paths):
        if any(path.resolve() == other.resolve() for other in paths[:place]):
            raise InvalidArgument(f"--out {path} is named twice; name each file once")
        if clip.exists() and path.exists() and path.samefile(clip):
            raise InvalidArgument(f"--out {path} is the clip, which it would overwrite")
        _check_place(path)
    endings = {path.suffix for path in paths}
    if ".parquet" in endings:
        require_pyarrow()
    if ".mp4" in endings and not has_pictures(clip):
        raise InvalidArgument(
            f"--out: {clip} has no moving picture to draw into; leave the .mp4 out"
        )


@contextmanager
def open_writers(
    paths: Sequence[Path],
    facts: TimelineFacts,
    *,
    resume: bool = False,
    drawing: Callable[[float], None] = lambda _: None,
) -> Iterator[list[TimelineWriter]]:
    """Open a writer a path; all are closed at the end, whatever happens.

    Where it happens before the first row, older files stay as they were, but for captions and
    tables in CSV, which are begun anew at once.

    Args:
        paths: which :func:`check_outputs` has let through.
        facts: what the files say about themselves.
        resume: go on with the files that are there.
        drawing: is called with the share of a video that is drawn, 0 to 1.

    Raises:
        InvalidArgument: a file cannot be written, or holds another run's rows.
    """
    with ExitStack() as stack:
        writers = []
        # The last one opened is closed first: tables are whole before a video is drawn.
        for path in sorted(paths, key=lambda path: path.suffix != ".mp4"):
            writer = _open(path, facts, resume=resume, drawing=drawing)
            stack.push(partial(_leave, writer))
            writers.append(writer)
        yield writers
        # Only a run that came to its end comes here.
        for table in _tables(writers):
            table.finish()


def _leave(writer: TimelineWriter, kind: type[BaseException] | None, *_: object) -> None:
    if kind is None or writer.begun:
        writer.close()
    else:
        writer.discard()


def missing_from(writers: Sequence[TimelineWriter]) -> float:
    """Give the start of the first window that a file lacks; infinite where all are whole."""
    starts = [table.from_s for table in _tables(writers)]
    return min(starts) if len(starts) == len(writers) else 0.0


def start_of(writers: Sequence[TimelineWriter]) -> Checkpoint | None:
    """Tell where to begin, so that all is computed that tables lack; ``None`` for the start."""
    # What is early enough for the one that lacks most is so for the others.
    lacking = min(_tables(writers), key=lambda table: table.from_s, default=None)
    return lacking.checkpoint if lacking else None


def _tables(writers: Sequence[TimelineWriter]) -> list[CsvFile | ParquetFile]:
    return [writer for writer in writers if isinstance(writer, CsvFile | ParquetFile)]


def _check_ending(path: Path, *, resume: bool) -> None:
    if path.suffix not in ENDINGS:
        raise InvalidArgument(
            f"--out {path}: the ending must be one of {', '.join(ENDINGS)}, "
            f"not {path.suffix or 'none'!r}"
        )
    if resume and path.suffix not in RESUMABLE:
        raise InvalidArgument(
            f"--resume goes on with {' and '.join(RESUMABLE)}, not with {path}; leave that --out "
            "out, or --resume"
        )


def _check_place(path: Path) -> None:
    for place in (path, metadata_path(path)) if path.suffix == ".csv" else (path,):
        if place.exists() and not place.is_file():
            kind = "a folder" if place.is_dir() else "a device or a pipe"
            raise InvalidArgument(f"--out {place} is {kind}; name a file")
        if place.exists() and not os.access(place, os.W_OK):
            raise InvalidArgument(f"--out {place} may not be written; name another file")
    Part(path).drop()


def _open(
    path: Path, facts: TimelineFacts, *, resume: bool, drawing: Callable[[float], None]
) -> TimelineWriter:
    if path.suffix == ".mp4":
        return Mp4File(path, facts, told=drawing)
    if path.suffix == ".csv":
        return CsvFile(path, facts, resume=resume)
    if path.suffix == ".parquet":
        return ParquetFile(path, facts, resume=resume)
    return _PLAIN[path.suffix](path, facts)


_PLAIN: dict[str, Callable[[Path, TimelineFacts], TimelineWriter]] = {
    ".json": JsonFile,
    ".vtt": VttFile,
    ".eaf": EafFile,
    ".html": HtmlFile,
}
"""Formats that need to know nothing else."""
