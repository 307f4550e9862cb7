"""Whether a copy of RAVDESS is whole: what is missing, doubled, cut off or misnamed."""

import io
import zipfile
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mien.errors import TrainingDataError
from mien.lab import ravdess
from mien.lab.archives import StoredFile, open_zip, read_member, stored_files
from mien.lab.ravdess import CHANNELS, MODALITIES, RavdessName, broken_rule, parse_name
from mien.lab.wholeness import damage


@dataclass(frozen=True)
class Fault:
    """A file, and what is wrong with it."""

    clip: str
    """Name of the file for people."""
    reason: str


@dataclass(frozen=True, kw_only=True)
class RavdessCheck:
    """What a copy of RAVDESS holds and lacks."""

    folder: str
    files: dict[str, int]
    """Kind (``"audio speech"``, ``"audio-video song"`` ...) → performances found of it."""
    missing: dict[str, tuple[str, ...]]
    """Kind → names, without suffix, of the files that should be there; kinds without any are
    left out, and so are kinds of which no file is there at all."""
    doubled: tuple[Fault, ...]
    truncated: tuple[Fault, ...]
    """Files that are empty, cut off or otherwise no whole WAV, FLAC or MP4 file."""
    misnamed: tuple[Fault, ...]
    """Sound and video files whose name, or folder, breaks RAVDESS's rules."""

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.missing or self.doubled or self.truncated or self.misnamed)


def check_ravdess(folder: Path, *, actors: Collection[int] = ravdess.ACTORS) -> RavdessCheck:
    """Say what is missing, doubled, cut off or misnamed in a copy of RAVDESS.

    Args:
        folder: the corpus as a folder, or its official zip files in a folder, or one of these;
            files in zip files are checked by their sums too.
        actors: numbers from 1 to 24 of the actors that should be there.

    Raises:
        TrainingDataError: nothing there, a broken zip file, or not one RAVDESS file.
    """
    files = [file for file in stored_files(folder) if _is_media(file)]
    named: list[tuple[StoredFile, RavdessName]] = []
    misnamed = []
    for file in files:
        name, broken = parse_name(file.name.stem), broken_rule(file.name)
        if broken or name is None:
            misnamed.append(Fault(file.title, broken or "no name of RAVDESS"))
        else:
            named.append((file, name))
    if not named:
        raise TrainingDataError(
            f"{folder}: no RAVDESS files (Actor_12/03-01-05-01-02-01-12.wav) among its "
            f"{len(files)} sound and video files; name the corpus's folder"
        )
    names = {name for _, name in named}
    return RavdessCheck(
        folder=str(folder),
        files=dict(sorted(Counter(name.kind for name in names).items())),
        missing=_missing(names, actors),
        doubled=tuple(_doubled(named)),
        truncated=tuple(_truncated(files)),
        misnamed=tuple(misnamed),
    )


def _is_media(file: StoredFile) -> bool:
    # Hidden files beside the real ones are macOS's.
    return file.name.suffix.lower() in ravdess.SUFFIXES and not file.name.name.startswith(".")


def _missing(names: set[RavdessName], actors: Collection[int]) -> dict[str, tuple[str, ...]]:
    found = {(name.modality, name.channel) for name in names}
    missing = {
        f"{MODALITIES[modality]} {CHANNELS[channel]}": tuple(
            name.stem
            for name in ravdess.performances(modality=modality, channel=channel, actors=actors)
            if name not in names
        )
        for modality, channel in sorted(found)
    }
    return {kind: stems for kind, stems in missing.items() if stems}


def _doubled(named: Iterable[tuple[StoredFile, RavdessName]]) -> Iterator[Fault]:
    first: dict[RavdessName, StoredFile] = {}
    for file, name in sorted(named, key=lambda pair: pair[0].title):
        if name in first:
            yield Fault(file.title, f"also at {first[name].title}")
        else:
            first[name] = file


def _truncated(files: Iterable[StoredFile]) -> Iterator[Fault]:
    stored: defaultdict[Path, list[StoredFile]] = defaultdict(list)
    for file in files:
        if file.member is not None:
            stored[file.path].append(file)
            continue
        with file.path.open("rb") as opened:
            reason = damage(opened, suffix=file.name.suffix.lower())
        if reason:
            yield Fault(file.title, reason)
    for path, members in stored.items():
        with open_zip(path) as archive:
            for file in members:
                if reason := _damage_in_zip(archive, file):
                    yield Fault(file.title, reason)


def _damage_in_zip(archive: zipfile.ZipFile, file: StoredFile) -> str | None:
    try:
        content = read_member(archive, file.member or "")
    except TrainingDataError:
        return "damaged inside the zip file"
    return damage(io.BytesIO(content), suffix=file.name.suffix.lower())
