"""Files that are there whole or not at all, whenever a run is stopped."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file so that nobody ever sees half of it: beside its place, then renamed.

    Runs side by side may write the same file; the last one's stays. A process that is killed
    leaves its part, under another name.

    Args:
        path: where to write; missing folders are made, an old file is replaced.
        write: writes all of the content to the open file; what it returns is not looked at.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "new folder" / "file"
    >>> write_atomically(path, lambda file: file.write(b"content"))
    >>> path.read_bytes()
    b'content'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Opened by name and not by tempfile, which would hide the file from other users.
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            write(file)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
