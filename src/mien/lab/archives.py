"""Files below a folder and inside zip files, read in place."""

import os
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mien.errors import TrainingDataError
from mien.lab.examples import title_of
from mien.lab.ravdess import ARCHIVE


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file in a folder or in a zip file."""

    name: PurePosixPath
    """Below the folder, or inside the zip file."""
    path: Path
    """Of the file, or of the zip file that it is in."""
    member: str | None = None
    """Name inside ``path`` when that is a zip file."""
    size: int
    """Bytes, unpacked."""

    @property
    def title(self) -> str:
        """Name of the file for people."""
        return title_of(self.path, self.member)


def stored_files(path: Path) -> Iterator[StoredFile]:
    """List the files below a folder, or in a zip file, in the order of their names.

    Official RAVDESS zip files below the folder are looked into; other zip files there are files.

    Raises:
        TrainingDataError: nothing there, or a zip file that is none.
    """
    if not path.exists():
        raise TrainingDataError(f"{path}: no such file or folder")
    if not path.is_dir():
        yield from _in_zip(path)
        return
    for file in sorted(_files_below(path)):
        if ARCHIVE.fullmatch(file.name):
            yield from _in_zip(file)
        else:
            name = PurePosixPath(file.relative_to(path).as_posix())
            yield StoredFile(name=name, path=file, size=file.stat().st_size)


def _files_below(folder: Path) -> Iterator[Path]:
    """Walk through folders, linked ones too: corpora are often linked together from disks."""
    seen: set[Path] = set()
    for name, folders, files in os.walk(folder, followlinks=True):
        here = Path(name)
        if here.resolve() in seen:
            folders.clear()
            continue
        seen.add(here.resolve())
        yield from (here / file for file in files if (here / file).is_file())


def _in_zip(path: Path) -> Iterator[StoredFile]:
    with open_zip(path) as archive:
        for info in sorted(archive.infolist(), key=lambda info: info.filename):
            if not info.is_dir():
                name = info.filename
                yield StoredFile(
                    name=PurePosixPath(name), path=path, member=name, size=info.file_size
                )


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip file.

    Raises:
        TrainingDataError: it is none, or cut off: a zip file's list of contents is at its end.
    """
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise TrainingDataError(
            f"{path}: neither a folder nor a zip file, or cut off; name the corpus's folder or "
            "its zip, or fetch the zip again"
        ) from error


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Read a file in a zip file, and check its sum.

    Raises:
        TrainingDataError: it is damaged, or packed in a way that cannot be read.
    """
    try:
        return archive.read(name)
    # RuntimeError is what zipfile raises for a password and for unknown packing.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise TrainingDataError(
            f"{archive.filename}: {name} is damaged ({error}); fetch the corpus again"
        ) from error
