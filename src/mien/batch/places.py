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
from urllib.parse import quote

from mien.errors import InvalidArgument

Access = Mapping[str, str]
"""Root of a store, such as ``s3://bucket`` → the same with keys and options, as it was given."""

OPTIONS = frozenset(
    {
        "allow_bucket_creation",
        "allow_bucket_deletion",
        "allow_delayed_open",
        "background_writes",
        "blob_storage_authority",
        "buffer_size",
        "check_directory_existence_before_creation",
        "client_id",
        "client_secret",
        "credential_kind",
        "default_block_size",
        "default_bucket_location",
        "dfs_storage_authority",
        "enable_tls",
        "endpoint_override",
        "kerb_ticket",
        "project_id",
        "region",
        "replication",
        "retry_limit_seconds",
        "scheme",
        "smart_defaults",
        "tenant_id",
        "tls_ca_file_path",
        "tls_verify_certificates",
        "user",
    }
)
"""What ``pyarrow.fs`` takes after a question mark; whatever else is there is part of a name."""
OPTIONAL = frozenset({"s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss"})
"""Schemes of the stores that take them."""
BUCKETS = frozenset({"s3", "gs", "gcs"})
"""Schemes in which a colon before the path can only be one between two keys."""
CONTAINERS = frozenset({"abfs", "abfss", "wasb", "wasbs"})
"""Schemes in which what stands before ``@`` need not be a key."""

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

    def at(self, path: str) -> str:
        """Give the URL of another path in the same file system."""
        below = path.strip("/").removeprefix(self._opened[1].strip("/")).lstrip("/")
        return f"{_root(self.url)}/{below}"

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
    scheme, _, rest = text.partition("://")
    rest, query = _options(rest) if scheme in OPTIONAL else (rest, "")
    keys, rest = _keys(scheme, rest)
    url = f"{scheme}://{rest}".rstrip("/")
    if not (keys or query):
        return stored_place(url, access or {})
    host = rest.partition("/")[0]
    return Place(url, f"{scheme}://{keys}{host}" + (f"?{query}" if query else ""))


def stored_place(url: str, access: Access) -> Place:
    """Give the place of a URL that :func:`open_place` gave: all of it is a name by now.

    >>> stored_place("s3://bucket/watch?region=x.mp4", {}).url
    's3://bucket/watch?region=x.mp4'
    """
    return Place(url, "" if "://" not in url else access.get(_root(url), ""))


def _options(rest: str) -> tuple[str, str]:
    """Take off what is an option; all else after a question mark is part of a name."""
    name, mark, query = rest.partition("?")
    pieces = query.split("&")
    known = [piece for piece in pieces if piece.partition("=")[0] in OPTIONS and "=" in piece]
    others = [piece for piece in pieces if piece not in known]
    return name + (mark + "&".join(others) if others else ""), "&".join(known)


def _keys(scheme: str, rest: str) -> tuple[str, str]:
    """Take off keys, with their ``@``; a slash in them is usual, and would end the host."""
    store, _, path = rest.partition("/")
    if ":" in store and "@" not in store and "@" in path and scheme in BUCKETS:
        keys, _, rest = rest.partition("@")
        return f"{quote(keys, safe=':%')}@", rest
    keys, mark, host = store.rpartition("@")
    if not mark or (":" not in keys and scheme in CONTAINERS):
        return "", rest
    return f"{keys}@", host + rest[len(store) :]


def hidden(text: str, access: str) -> str:
    """Take keys and options out of a message of whoever was given them.

    >>> hidden("no s3://key:secret@bucket?region=x", "s3://key:secret@bucket?region=x")
    'no s3://bucket'
    """
    scheme, _, rest = access.partition("://")
    rest, query = _options(rest)
    for secret in (_keys(scheme, rest)[0], f"?{query}" if query else ""):
        text = text.replace(secret, "") if secret else text
    return text


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
            if part.is_local:
                _sync(part.path)
            part.filesystem.move(part.path, place.path)
        except BaseException:
            with suppress(OSError):
                part.filesystem.delete_file(part.path)
            raise


def _sync(path: str) -> None:
    """Have a file on the disk: after a power cut, its name would be there and its content not."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def numbers(folder: Place, *, before: str = "", after: str = "") -> list[int]:
    """Give the numbers in the names of what is in a folder; other names are not ours."""
    names = (info.base_name for info in folder.children())
    ours = (name for name in names if name.startswith(before) and name.endswith(after))
    middles = (name.removeprefix(before).removesuffix(after) for name in ours)
    return [int(middle) for middle in middles if middle.isdecimal()]


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
        reason = hidden((error.strerror or str(error)).splitlines()[0], place.access)
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
        return _by_fsspec(root, _told(error, root))
    except OSError as error:
        raise InvalidArgument(
            f"cannot open {open_place(root).url} ({_told(error, root)}); check the URL and the "
            "credentials"
        ) from error
    return found[0], found[1]


def _by_fsspec(root: str, why: str) -> tuple[Any, str]:
    import fsspec  # noqa: PLC0415
    from pyarrow.fs import FSSpecHandler, PyFileSystem  # noqa: PLC0415

    try:
        found, base = fsspec.core.url_to_fs(root)
    except (ImportError, ValueError) as error:
        raise InvalidArgument(
            f"cannot open {open_place(root).url} ({why}; {_told(error, root)}); name a "
            "local path, or a URL that pyarrow or an installed fsspec package knows, such as "
            "s3://bucket/folder"
        ) from error
    return PyFileSystem(FSSpecHandler(found)), base


def _told(error: Exception, root: str) -> str:
    return hidden(str(error).partition("\n")[0], root)
