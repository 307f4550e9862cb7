"""A path, bytes or an open file → one nameless reader, so that all give the same answer."""

from __future__ import annotations

import io
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from mien.errors import InvalidArgument, UnreadableClip

ClipSource = str | os.PathLike[str] | bytes | BinaryIO
"""A path, the bytes of a file, or a file open for reading in binary mode."""

MAX_STREAMED_BYTES = 2**29
"""Most that is taken into memory from a file object that cannot seek."""
_CURE = "check that it plays, or convert it to mp4"


def clip_name(source: ClipSource) -> str:
    """Name a clip for people.

    Returns:
        The path; ``"<bytes>"``; a file object's name, or ``"<file>"`` when it has none.

    Raises:
        InvalidArgument: the source is none of these.

    >>> clip_name("talk.mp4"), clip_name(b"..."), clip_name(io.BytesIO())
    ('talk.mp4', '<bytes>', '<file>')
    """
    if isinstance(source, bytes):
        return "<bytes>"
    if isinstance(source, str | os.PathLike):
        return os.fsdecode(source)
    if not callable(getattr(source, "read", None)):
        raise InvalidArgument(
            f"source must be a path, bytes or a binary file, not {type(source).__name__}"
        )
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "<file>"


class Reader:
    """A source without its name, so that only its contents decide how it is read."""

    def __init__(self, file: BinaryIO, title: str) -> None:
        self._file = file
        self._turn = threading.Lock()
        self.title = title
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        """Read at most ``size`` bytes; none at the end."""
        try:
            # FFmpeg's buffer is not longer than it says, whatever the file object thinks.
            return bytes(self._file.read(size) or b"")[:size]
        except (OSError, ValueError) as error:
            raise unreadable(self.title, f"reading failed: {error}", "check the disk") from error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place and tell it, or -1 where there is none."""
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError):
            # A damaged file points outside itself; a negative answer tells FFmpeg so.
            return -1

    def twin(self) -> Twin:
        """Give a reader of the same source that stands at a place of its own."""
        return Twin(self._file, self.title, turn=self._turn)


class Twin(Reader):
    """One of several readers of one file, which take turns; each is for one thread."""

    def __init__(self, file: BinaryIO, title: str, *, turn: threading.Lock) -> None:
        super().__init__(file, title)
        self._turn, self._place = turn, 0
        self.tell = lambda: self._place

    def read(self, size: int) -> bytes:
        """Read at most ``size`` bytes from this reader's place; none at the end."""
        with self._turn:
            super().seek(self._place)
            read = super().read(size)
        self._place += len(read)
        return read

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place and tell it, or -1 where there is none."""
        with self._turn:
            super().seek(self._place)
            found = super().seek(offset, whence)
        if found >= 0:
            self._place = found
        return found


def unreadable(title: str, what: str, cure: str = _CURE) -> UnreadableClip:
    """Make the error that names the clip, what is wrong with it and the cure, on one line."""
    one_line = title if title.isprintable() else ascii(title)
    return UnreadableClip(f"{one_line}: {' '.join(what.split())}; {cure}")


@contextmanager
def reading(source: ClipSource) -> Iterator[Reader]:
    """Open a source at its start; close it afterwards if it was not open before."""
    title = clip_name(source)
    with ExitStack() as stack:
        if isinstance(source, bytes):
            file: BinaryIO = io.BytesIO(source)
        elif isinstance(source, str | os.PathLike):
            file = stack.enter_context(_open_path(Path(title)))
        else:
            file = _seekable(source, title)
        reader = Reader(file, title)
        reader.seek(0)
        if not reader.read(1):
            raise unreadable(title, "expected a media file, got 0 bytes", "copy it again")
        yield reader


def _open_path(path: Path) -> BinaryIO:
    try:
        mode = path.stat().st_mode
        # Opening a pipe or a device could wait for ever or read without end.
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
            raise unreadable(str(path), f"expected a file, got {kind}", "name a media file")
        return path.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise unreadable(str(path), "no such file", "check the path") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise unreadable(str(path), f"cannot be opened: {reason}", "check the path") from error


def _seekable(file: BinaryIO, title: str) -> BinaryIO:
    try:
        binary = isinstance(file.read(0), bytes)
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"source must be open for reading: {title}: {error}") from error
    if not binary:
        raise InvalidArgument(f"source must be a binary file; open {title} in mode 'rb'")
    if callable(getattr(file, "seek", None)) and getattr(file, "seekable", lambda: True)():
        return file
    memory = io.BytesIO()
    while chunk := file.read(2**20):
        memory.write(chunk)
        if memory.tell() > MAX_STREAMED_BYTES:
            limit = f"{MAX_STREAMED_BYTES >> 20} MiB from a file that cannot seek"
            raise unreadable(title, f"expected at most {limit}, got more", "save it first")
    return memory
