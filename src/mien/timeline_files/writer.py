"""What every format is: a writer that takes windows, and is closed."""

from __future__ import annotations

import uuid
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from mien.errors import InvalidArgument
from mien.windows import Window


class TimelineWriter(Protocol):
    """Writes one file.

    After :meth:`close` the file is whole, whenever that comes; a file that is not whole at every
    moment is written beside its place until then.
    """

    begun: bool
    """Whether a row has come."""

    def write(self, window: Window) -> None:
        """Take the next row; rows come in order of start."""

    def close(self) -> None:
        """Finish the file with what has come so far."""

    def discard(self) -> None:
        """Let go of the file instead, where nothing has come: an older one stays, if it can."""


class Part:
    """A file beside the place where it will be.

    As a context it is put into its place at the end, or removed when that fails.

    Args:
        path: where it will be, in a folder that exists; a link is followed.

    Raises:
        InvalidArgument: the folder cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        self._place = path.resolve()
        self.path = self._place.with_name(f".{self._place.name}.{uuid.uuid4().hex}.part")
        try:
            self.path.touch(exist_ok=False)
        except OSError as error:
            raise unwritable(path, error) from error

    def put(self) -> None:
        """Put the file into its place, where an old one is replaced."""
        self.path.replace(self._place)

    def drop(self) -> None:
        """Remove what was written, unless it has been put into its place."""
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.put()
        else:
            self.drop()


def unwritable(path: Path, error: OSError) -> InvalidArgument:
    """Make the error of a place that cannot be written to."""
    return InvalidArgument(
        f"cannot write {path} ({error.strerror or error}); name a file in a folder that exists"
    )
