"""What was asked for, a folder, a glob, a manifest or a clip, → paths, one after the other."""

import glob
import os
from collections.abc import Iterable, Iterator
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


class Entry(NamedTuple):
    """One clip to be done."""

    clip: str
    """Its name in the table."""
    url: str
    """Where it is: an absolute path, or a URL."""


def entries(inputs: Iterable[str], *, access: Access) -> Iterator[Entry]:
    """List clips lazily, in an order that is the same each time.

    A folder gives the clips in it and in the folders below, hidden ones left out, each named as
    the folder was and then by its path in it; a manifest's clips are named as it names them, and
    lie where that leads from its own folder.

    Args:
        inputs: folders, globs, manifests (CSV or Parquet with a column ``clip``) and clips; local
            paths or URLs.
        access: what is known of the stores.

    Raises:
        InvalidArgument: there is nothing, or it cannot be listed or read.

    >>> list(entries(["/no/such/*.mp4"], access={}))
    Traceback (most recent call last):
    mien.errors.InvalidArgument: no clips at /no/such/*.mp4; ...
    """
    for name in inputs:
        none = True
        for entry in _entries(name, access):
            none = False
            yield entry
        if none:
            raise InvalidArgument(
                f"no clips at {name.partition('?')[0] if '://' in name else name}; name a folder "
                f"with clips (.mp4, .wav and the like), a glob in quotes, a "
                "manifest with a column 'clip', or a clip"
            )


def _entries(name: str, access: Access) -> Iterator[Entry]:
    place = open_place(name, access)
    shown = name if place.is_local else place.url
    kind = _kind(place)
    if kind == "folder":
        return _walk(place, shown)
    if kind == "file" and os.path.splitext(place.url)[1].lower() in MANIFEST_ENDINGS:  # noqa: PTH122
        return _of_manifest(place, access)
    if kind == "file":
        return iter([Entry(shown, place.url)])
    return _glob(place, name)


def _kind(place: Place) -> str:
    # A name that is no text is for the system's own functions only.
    if not place.is_local:
        return place.kind
    if os.path.isdir(place.url):  # noqa: PTH112
        return "folder"
    return "file" if os.path.exists(place.url) else "nothing"  # noqa: PTH110


def _walk(place: Place, shown: str) -> Iterator[Entry]:
    """Go through a folder and those below, one folder in memory at a time."""
    listed = _local(place) if place.is_local else _remote(place)
    for name, is_folder in listed:
        if name.startswith((".", "_")):
            continue
        below = f"{shown.rstrip('/')}/{name}"
        if is_folder:
            yield from _walk(place / name, below)
        elif os.path.splitext(name)[1].lower() in CLIP_ENDINGS:  # noqa: PTH122
            yield Entry(below, (place / name).url)


def _local(place: Place) -> list[tuple[str, bool]]:
    # Links to folders are not followed: they may lead back.
    with told(place, "list"), os.scandir(place.url) as found:
        return sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in found)


def _remote(place: Place) -> list[tuple[str, bool]]:
    return [(info.base_name, info.type.name == "Directory") for info in place.children()]


def _glob(place: Place, name: str) -> Iterator[Entry]:
    if place.is_local:
        for path in glob.iglob(name, recursive=True):  # noqa: PTH207 - Path has no absolute globs
            if os.path.isfile(path):  # noqa: PTH113
                yield Entry(path, os.path.abspath(path))  # noqa: PTH100
        return
    if not glob.has_magic(place.url):
        return
    from fsspec.implementations.arrow import ArrowFSWrapper  # noqa: PLC0415

    root = place.url[: len(place.url) - len(place.path)] if place.path in place.url else ""
    with told(place, "list"):
        found = sorted(ArrowFSWrapper(place.filesystem).glob(place.path))
    for path in found:
        yield Entry(f"{root}{path}", f"{root}{path}")


def _of_manifest(place: Place, access: Access) -> Iterator[Entry]:
    folder = place.url.rpartition("/")[0]
    for number, cell in enumerate(_cells(place), 1):
        if not cell:
            raise InvalidArgument(f"{place.url}, row {number}: the clip has no name; give it one")
        lead = "" if "://" in cell or cell.startswith("/") else f"{folder}/"
        yield Entry(cell, open_place(f"{lead}{cell}", access).url)


def _cells(place: Place) -> Iterator[str]:
    """Give the column ``clip``, some megabytes in memory at a time."""
    import pyarrow  # noqa: PLC0415

    batches = _csv_batches if place.url.lower().endswith(".csv") else _parquet_batches
    try:
        with told(place, "read"):
            for batch in batches(place):
                yield from ("" if cell is None else str(cell) for cell in batch.to_pylist())
    except (pyarrow.ArrowInvalid, pyarrow.ArrowKeyError) as error:
        raise InvalidArgument(
            f"{place.url} is no manifest ({str(error).splitlines()[0]}); it needs a row a clip and "
            "a column 'clip', as CSV in UTF-8 or as Parquet"
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
