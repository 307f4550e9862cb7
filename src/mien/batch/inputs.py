"""What was asked for, a folder, a glob, a manifest or a clip, → paths, one after the other."""

import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from mien.batch.places import Access, Place, open_place, told
from mien.errors import InvalidArgument

SOUNDS = frozenset(
    {
        ".aac",
        ".aif",
        ".aiff",
        ".flac",
        ".m4a",
        ".mka",
        ".mp3",
        ".oga",
        ".ogg",
        ".opus",
        ".wav",
        ".wma",
    }
)
PICTURES = frozenset({".avif", ".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
VIDEOS = frozenset(
    {
        ".3gp",
        ".asf",
        ".avi",
        ".flv",
        ".gif",
        ".m2ts",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".ogv",
        ".ts",
        ".webm",
        ".wmv",
    }
)
CLIP_ENDINGS = SOUNDS | PICTURES | VIDEOS
"""Which files of a folder are clips; what a glob or a manifest names is taken whatever its name."""

MANIFEST_ENDINGS = frozenset({".csv", ".parquet"})
KEYS = re.compile(r"://[^\s,@]*:[^\s,@]*@")
"""Keys in a cell, of which a parser may tell."""

Skip = Callable[[str], object]
"""Told of each folder that is left out, and why."""
Listed = Sequence[tuple[str, bool]]
"""What is in a folder, by name, and whether each is a folder."""


class Entry(NamedTuple):
    """One clip to be done."""

    clip: str
    """Its name in the table."""
    url: str
    """Where it is: an absolute path, or a URL."""


def _refuse(reason: str) -> None:
    raise InvalidArgument(reason)


def entries(inputs: Iterable[str], *, access: Access, skip: Skip = _refuse) -> Iterator[Entry]:
    """List clips lazily, in an order that is the same each time.

    A folder gives the clips in it and in the folders below, hidden ones left out, each named as
    the folder was and then by its path in it; a manifest's clips are named as it names them, and
    lie where that leads from its own folder.

    Args:
        inputs: folders, globs, manifests (CSV or Parquet with a column ``clip``) and clips; local
            paths or URLs.
        access: what is known of the stores.
        skip: told of folders of this machine, below one that was named, that cannot be listed.

    Raises:
        InvalidArgument: there is nothing, or it cannot be listed or read.

    >>> list(entries(["/no/such/*.mp4"], access={}))
    Traceback (most recent call last):
    mien.errors.InvalidArgument: no clips at /no/such/*.mp4; ...
    """
    for name in inputs:
        none = True
        for entry in _entries(name, access, skip):
            none = False
            yield entry
        if none:
            shown = open_place(name).url if "://" in name else name
            raise InvalidArgument(
                f"no clips at {shown}; name a folder with clips (.mp4, .wav and the like), a glob "
                "in quotes, a manifest with a column 'clip', or a clip"
            )


def _entries(name: str, access: Access, skip: Skip) -> Iterator[Entry]:
    place = open_place(name, access)
    shown = name if place.is_local else place.url
    kind = _kind(place)
    if kind == "folder":
        return _walk(place, shown, _listed(place), skip)
    if kind == "file" and os.path.splitext(place.url)[1].lower() in MANIFEST_ENDINGS:  # noqa: PTH122
        return _of_manifest(place)
    if kind == "file":
        return iter([Entry(shown, place.url)])
    return _glob_here(name.removeprefix("file://"), skip) if place.is_local else _glob(place)


def _kind(place: Place) -> str:
    # A name that is no text is for the system's own functions only.
    if not place.is_local:
        return place.kind
    if os.path.isdir(place.url):  # noqa: PTH112
        return "folder"
    return "file" if os.path.exists(place.url) else "nothing"  # noqa: PTH110


def _walk(place: Place, shown: str, listed: Listed, skip: Skip) -> Iterator[Entry]:
    """Go through a folder and those below, one folder in memory at a time."""
    for name, is_folder in listed:
        if name.startswith((".", "_")):
            continue
        below = f"{shown.rstrip('/')}/{name}"
        if is_folder:
            yield from _walk(place / name, below, _below(place / name, skip), skip)
        elif os.path.splitext(name)[1].lower() in CLIP_ENDINGS:  # noqa: PTH122
            yield Entry(below, (place / name).url)


def _listed(place: Place) -> Listed:
    if not place.is_local:
        return [(info.base_name, info.type.name == "Directory") for info in place.children()]
    # Links to folders are not followed: they may lead back.
    with told(place, "list"), os.scandir(place.url) as found:
        return sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in found)


def _below(place: Place, skip: Skip) -> Listed:
    """List a folder that nobody named: one that may not be read must not stop all others."""
    try:
        return _listed(place)
    except InvalidArgument as error:
        # A store that fails would take all that is left of the input with it, one by one.
        if not place.is_local:
            raise
        skip(str(error))
        return []


def _glob_here(pattern: str, skip: Skip) -> Iterator[Entry]:
    """Give the files of this machine that a glob names, in order of their names."""
    if not glob.has_magic(pattern):
        return
    root = "/" if pattern.startswith("/") else ""
    parts = [part for part in pattern.split("/") if part]
    for path in _matching(root, parts, skip):
        if os.path.isfile(path):  # noqa: PTH113 - the name need not be text
            yield Entry(path, os.path.abspath(path))  # noqa: PTH100


def _matching(folder: str, parts: Sequence[str], skip: Skip) -> Iterator[str]:
    if not parts:
        yield folder
        return
    first, *rest = parts
    if not glob.has_magic(first):
        yield from _matching(os.path.join(folder, first), rest, skip)  # noqa: PTH118
        return
    if not os.path.isdir(folder or "."):  # noqa: PTH112
        return
    listed = _below(open_place(folder or "."), skip)
    if first == "**":
        yield from _matching(folder, rest or ["*"], skip)
        below = [name for name, is_folder in listed if is_folder and not name.startswith(".")]
        rest = [*parts]
    else:
        below = [name for name, _ in listed if _matches(name, first)]
    for name in below:
        yield from _matching(os.path.join(folder, name), rest, skip)  # noqa: PTH118


def _matches(name: str, pattern: str) -> bool:
    hidden = name.startswith(".") and not pattern.startswith(".")
    return fnmatchcase(name, pattern) and not hidden


def _glob(place: Place) -> Iterator[Entry]:
    if not glob.has_magic(place.url):
        return
    from fsspec.implementations.arrow import ArrowFSWrapper  # noqa: PLC0415

    with told(place, "list"):
        found = sorted(ArrowFSWrapper(place.filesystem).glob(place.path))
    for path in found:
        yield Entry(place.at(path), place.at(path))


def _of_manifest(place: Place) -> Iterator[Entry]:
    for number, cell in enumerate(_cells(place), 1):
        if not cell:
            raise InvalidArgument(f"{place.url}, row {number}: the clip has no name; give it one")
        yield _of_cell(cell, place.url.rpartition("/")[0])


def _of_cell(cell: str, folder: str) -> Entry:
    if "://" in folder and "://" not in cell and not cell.startswith("/"):
        return Entry(cell, f"{folder}/{cell}")
    place = open_place(cell if "://" in cell else os.path.join(folder, cell))  # noqa: PTH118
    # A cell that tells of keys is written nowhere.
    return Entry(place.url if place.access else cell, place.url)


def _cells(place: Place) -> Iterator[str]:
    """Give the column ``clip``, some megabytes in memory at a time."""
    import pyarrow  # noqa: PLC0415

    batches = _csv_batches if place.url.lower().endswith(".csv") else _parquet_batches
    try:
        with told(place, "read"):
            for batch in batches(place):
                yield from ("" if cell is None else str(cell) for cell in batch.to_pylist())
    except (pyarrow.ArrowInvalid, pyarrow.ArrowKeyError) as error:
        reason = KEYS.sub("://", str(error).splitlines()[0])
        raise InvalidArgument(
            f"{place.url} is no manifest ({reason}); it needs a row a clip and a column 'clip', as "
            "CSV in UTF-8 or as Parquet"
        ) from error


def _csv_batches(place: Place) -> Iterator[Any]:
    from pyarrow import csv, string  # noqa: PLC0415

    convert = csv.ConvertOptions(include_columns=["clip"], column_types={"clip": string()})
    with place.filesystem.open_input_stream(place.path) as stream:
        for batch in csv.open_csv(stream, convert_options=convert):
            yield batch.column(0)


def _parquet_batches(place: Place) -> Iterator[Any]:
    from pyarrow import ArrowInvalid, parquet  # noqa: PLC0415

    with place.filesystem.open_input_file(place.path) as file:
        stored = parquet.ParquetFile(file)
        if "clip" not in stored.schema_arrow.names:
            raise ArrowInvalid("there is no column 'clip'")
        for batch in stored.iter_batches(columns=["clip"]):
            yield batch.column(0)
