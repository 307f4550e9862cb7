"""RAVDESS's zip files from Zenodo, or from a mirror of it."""

import re
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from mien.errors import DownloadFailed, InvalidArgument
from mien.lab.fetch import (
    RemoteFile,
    Unreachable,
    bytes_at,
    fetch,
    fetch_json,
    is_whole,
    open_session,
    part_of,
)
from mien.lab.ravdess import ACTORS, UNSUNG_ACTORS

ZENODO = "https://zenodo.org"
RECORD = "1188976"
"""Of RAVDESS on Zenodo."""
NAMED_AT_MOST = 3


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What of RAVDESS is wanted."""

    audio: bool = True
    """Sound files; one zip for all actors."""
    video: bool = False
    """Audio-video and video-only files; one zip an actor."""
    song: bool = False
    """Songs too, and not speech alone; actor 18 has none."""
    actors: Collection[int] = ACTORS
    """Numbers from 1 to 24, of the video."""

    def __post_init__(self) -> None:
        if not (self.audio or self.video):
            raise InvalidArgument("audio and video are both false; one of them must be wanted")
        if not self.actors or not set(self.actors) <= set(ACTORS):
            raise InvalidArgument(
                f"actors must be numbers from 1 to {len(ACTORS)}, not {self.actors!r}"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the zip files that hold it.

        >>> Selection(song=True).names
        ('Audio_Speech_Actors_01-24.zip', 'Audio_Song_Actors_01-24.zip')
        >>> Selection(audio=False, video=True, actors=[18, 3]).names
        ('Video_Speech_Actor_03.zip', 'Video_Speech_Actor_18.zip')
        """
        channels = ("Speech", "Song") if self.song else ("Speech",)
        sounds = [f"Audio_{channel}_Actors_01-24.zip" for channel in channels if self.audio]
        pictures = [
            f"Video_{channel}_Actor_{actor}.zip"
            for actor in sorted(f"{number:02d}" for number in set(self.actors))
            for channel in channels
            if self.video and not (channel == "Song" and actor in UNSUNG_ACTORS)
        ]
        return (*sounds, *pictures)


def download_ravdess(
    folder: Path, *, wanted: Selection | None = None, base_url: str = ZENODO
) -> tuple[Path, ...]:
    """Fetch RAVDESS's zip files; :func:`mien.lab.corpora.read_corpus` reads them in place.

    Sizes and MD5 sums are those that the record lists. A file that is there and right is not
    fetched again; what a broken connection leaves (``NAME.part``) is gone on with, here and in
    the next run. A file appears under its name only when its sum is right.

    Args:
        folder: where to; made if missing.
        wanted: what to fetch; default: the sound files of all speech.
        base_url: where the record is. A mirror must have ``BASE/api/records/1188976``, the
            record's JSON (``{"files": [{"key": NAME, "size": BYTES, "checksum": "md5:..."}]}``)
            and ``BASE/records/1188976/files/NAME?download=1``, best with HTTP ranges.

    Returns:
        The zip files, fetched now or before.

    Raises:
        InvalidArgument: ``base_url`` is no address.
        DownloadFailed: no connection, no such file, too little space, or a file that is wrong
            twice; the message says what to do.
    """
    base_url = base_url.rstrip("/")
    if urlsplit(base_url).scheme not in {"http", "https"} or not urlsplit(base_url).hostname:
        raise InvalidArgument(f"base URL must begin with https:// and a host, not {base_url!r}")
    names = (wanted or Selection()).names
    paths = tuple(folder / name for name in names)
    try:
        with open_session() as session, _progress() as progress:
            url = f"{base_url}/api/records/{RECORD}"
            files = _listed(fetch_json(session, url), names, base_url)
            pairs = zip(files, paths, strict=True)
            missing = [(file, path) for file, path in pairs if not is_whole(path, file)]
            _require_space(folder, missing)
            folder.mkdir(parents=True, exist_ok=True)
            for file, path in missing:
                task = progress.add_task(file.name, total=file.size)
                fetch(session, file, path, tell=partial(_show, progress, task))
    except Unreachable as error:
        raise DownloadFailed(
            f"no working connection to {urlsplit(base_url).netloc} ({error}). The same command "
            f"goes on later. By hand: fetch {_some(names)} from {ZENODO}/records/{RECORD} where "
            f"there is a connection, and put them into {folder}; mien reads zip files as they are"
        ) from error
    return paths


def _listed(record: Any, names: Sequence[str], base_url: str) -> list[RemoteFile]:
    """Find files in the record's own list."""
    try:
        listed = {str(entry["key"]): _remote_file(entry, base_url) for entry in record["files"]}
    except (KeyError, TypeError, ValueError) as error:
        raise DownloadFailed(
            f"{base_url}/api/records/{RECORD} must list key, size and checksum (md5:...) of each "
            f"file, as Zenodo's record does ({type(error).__name__}: {error}); check --base-url"
        ) from error
    if strangers := [name for name in names if name not in listed]:
        raise DownloadFailed(
            f"{base_url}/api/records/{RECORD} lists no {_some(strangers)}; take another --base-url"
        )
    return [listed[name] for name in names]


def _remote_file(entry: Any, base_url: str) -> RemoteFile:
    checksum = re.fullmatch(r"md5:([0-9a-f]{32})", str(entry["checksum"]))
    if checksum is None:
        raise ValueError(f"checksum {entry['checksum']!r}")
    return RemoteFile(
        name=entry["key"],
        url=f"{base_url}/records/{RECORD}/files/{entry['key']}?download=1",
        size=int(entry["size"]),
        md5=checksum[1],
    )


def _require_space(folder: Path, missing: Sequence[tuple[RemoteFile, Path]]) -> None:
    needed = sum(file.size - bytes_at(part_of(path)) for file, path in missing)
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed > free:
        raise DownloadFailed(
            f"{folder} needs {_bytes(needed)} for {_some([file.name for file, _ in missing])}, "
            f"and {_bytes(free)} are free; name another folder, free space or ask for less"
        )


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def _show(progress: Progress, task: TaskID, size: int) -> None:
    progress.update(task, completed=size)


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")


def _bytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
