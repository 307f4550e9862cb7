"""A path or URL → a file system and the place in it."""

import os
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Self
from urllib.parse import parse_qsl

from mien.errors import InvalidArgument

Access = Mapping[str, str]
"""Root of a store, such as ``s3://bucket`` → the same with keys and options, as it was given."""

WORK = "_work"
"""Folder of what is not the user's; readers of Parquet folders skip names with this beginning."""


@dataclass(frozen=True)
class Place:
    """A file or folder, wherever it is; sent to other machines as it is."""

    url: str
    """A local path, absolute; or a URL without what may be secret: it stands in tables."""
    access: str = ""
    """URL by which its store is opened, where that is not simply its root."""

    def __truediv__(self, name: str) -> "Place":
        return Place(f"{self.url.rstrip('/')}/{name}", self.access)

    @property
    def is_local(self) -> bool:
        """Whether it is a file of this machine."""
        return "://" not in self.url

    @property
    def filesystem(self) -> Any:
        """The ``pyarrow.fs.FileSystem`` that holds it."""
        return self._opened[0]

    @property
    def path(self) -> str:
        """Where it is in its file system."""
        if self.is_local:
            return self.url
        base: str = self._opened[1]
        return f"{base.rstrip('/')}/{self.url[len(_root(self.url)) :].strip('/')}"

    @property
    def _opened(self) -> tuple[Any, str]:
        return _filesystem(self.access or _root(self.url))

    @property
    def name(self) -> str:
        """The last part of its path."""
        return PurePosixPath(self.url).name

    @property
    def kind(self) -> str:
        """``"file"``, ``"folder"`` or ``"nothing"``.

        Raises:
            InvalidArgument: its file system does not let us look.
        """
        with told(self, "look at"):
            info = self.filesystem.get_file_info(self.path)
        return {"File": "file", "Directory": "folder"}.get(info.type.name, "nothing")

    def children(self) -> list[Any]:
        """Give the ``FileInfo`` of what is in a folder, by name; nothing where there is none."""
        from pyarrow.fs import FileSelector  # noqa: PLC0415 - as in all of this package

        with told(self, "list"):
            found = self.filesystem.get_file_info(FileSelector(self.path, allow_not_found=True))
        return sorted(found, key=lambda info: info.base_name)

    def read(self) -> bytes:
        """Read a small file whole."""
        with told(self, "read"), self.filesystem.open_input_stream(self.path) as stream:
            content: bytes = stream.read()
        return content

    def make(self) -> Self:
        """Make the folder, with those above it."""
        with told(self, "make"):
            self.filesystem.create_dir(self.path, recursive=True)
        return self

    def remove(self) -> None:
        """Remove a file or a folder with all in it, if it is there."""
        kind = self.kind
        with told(self, "remove"):
            if kind == "file":
                self.filesystem.delete_file(self.path)
            elif kind == "folder":
                self.filesystem.delete_dir(self.path)


def open_place(where: str | os.PathLike[str], access: Access | None = None) -> Place:
    """Understand a path or URL; nothing is looked at.

    Args:
        where: a local path, ``file://``, or a URL that ``pyarrow.fs`` or fsspec knows. It may tell
            how to get there: ``s3://key:secret@bucket/clips?region=eu-west-1``.
        access: what is known of stores already.

    >>> open_place("s3://bucket/clips?region=eu-west-1")
    Place(url='s3://bucket/clips', access='s3://bucket?region=eu-west-1')
    >>> open_place("s3://key:secret@bucket/a.mp4").url
    's3://bucket/a.mp4'
    """
    text = os.fspath(where).removeprefix("file://")
    if "://" not in text:
        # Links are left as they are: a clip is where its user says.
        return Place(os.path.abspath(text))  # noqa: PTH100
    text, mark, query = text.partition("?")
    if not parse_qsl(query):
        # The question mark is part of a name.
        text, query = f"{text}{mark}{query}", ""
    scheme, _, rest = text.partition("://")
    store, slash, path = rest.partition("/")
    keys, _, host = store.rpartition("@")
    if ":" not in keys:
        keys, host = "", store
    url = f"{scheme}://{host}{slash}{path}".rstrip("/")
    told = f"{scheme}://{store}" + (f"?{query}" if query else "") if keys or query else ""
    return Place(url, told or (access or {}).get(_root(url), ""))


def access_of(places: Iterable[Place]) -> dict[str, str]:
    """Give what URLs told of their stores.

    >>> access_of([open_place("s3://bucket/clips?region=eu-west-1")])
    {'s3://bucket': 's3://bucket?region=eu-west-1'}
    """
    return {_root(place.url): place.access for place in places if place.access}


def write_whole(place: Place, write: Callable[[Any], object], *, work: Place) -> None:
    """Write a file so that nobody ever sees half of it: elsewhere, then moved to its place.

    Args:
        place: where to write; an old file is replaced.
        write: writes all of the content to the open file.
        work: folder on the same file system for what is not whole yet.
    """
    part = work / uuid.uuid4().hex
    with told(place, "write"):
        try:
            with part.filesystem.open_output_stream(part.path) as stream:
                write(stream)
            part.filesystem.move(part.path, place.path)
        except BaseException:
            with suppress(OSError):
                part.filesystem.delete_file(part.path)
            raise


@contextmanager
def fetched(place: Place) -> Iterator[Path]:
    """Have a clip as a local file while it is looked at.

    Raises:
        OSError: it cannot be fetched.
    """
    if place.is_local:
        yield Path(place.url)
        return
    with tempfile.TemporaryDirectory(prefix="mien-") as folder:
        copy = Path(folder) / f"clip{PurePosixPath(place.url).suffix}"
        with place.filesystem.open_input_stream(place.path) as source, copy.open("wb") as target:
            while block := source.read(2**20):
                target.write(block)
        yield copy


@contextmanager
def told(place: Place, what: str) -> Iterator[None]:
    """Turn an error of a file system into one line that names the place and the cure.

    >>> with told(Place("/x"), "read"):
    ...     raise FileNotFoundError(2, "No such file")
    Traceback (most recent call last):
    mien.errors.InvalidArgument: cannot read /x (No such file); check the place, ...
    """
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).splitlines()[0]
        raise InvalidArgument(
            f"cannot {what} {place.url} ({reason}); check the place, the free space there and the "
            "credentials"
        ) from error


def _root(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}{rest.partition('/')[0]}"


@lru_cache(maxsize=64)
def _filesystem(root: str) -> tuple[Any, str]:
    import pyarrow  # noqa: PLC0415
    from pyarrow import fs  # noqa: PLC0415

    if "://" not in root:
        return fs.LocalFileSystem(), ""
    try:
        found = fs.FileSystem.from_uri(root)
    except (pyarrow.ArrowInvalid, ValueError) as error:
        return _by_fsspec(root, str(error))
    except OSError as error:
        raise InvalidArgument(
            f"cannot open {open_place(root).url} ({str(error).splitlines()[0]}); check the URL and "
            "the credentials"
        ) from error
    return found[0], found[1]


def _by_fsspec(root: str, why: str) -> tuple[Any, str]:
    import fsspec  # noqa: PLC0415
    from pyarrow.fs import FSSpecHandler, PyFileSystem  # noqa: PLC0415

    try:
        found, base = fsspec.core.url_to_fs(root)
    except (ImportError, ValueError) as error:
        raise InvalidArgument(
            f"cannot open {open_place(root).url} ({why.splitlines()[0]}; {error}); name a local "
            "path, or a URL that pyarrow or an installed fsspec package knows, such as "
            "s3://bucket/folder"
        ) from error
    return PyFileSystem(FSSpecHandler(found)), base
