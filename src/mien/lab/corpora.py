"""Corpora on disk: which clips and stills there are, what they show, who is seen and heard."""

import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from mien.emotions import EMOTIONS, from_ravdess_code
from mien.errors import TrainingDataError

RAVDESS_NAME = re.compile(r"(0[123])-(0[12])-(0[1-8])-(0[12])-(0[12])-(0[12])-(\d\d)")
"""Modality, vocal channel, emotion, intensity, statement, repetition, actor."""

RAVDESS_SUFFIXES = frozenset({".wav", ".flac", ".mp4"})
SPEECH_CHANNEL = "01"
VIDEO_ONLY, AUDIO_ONLY = "02", "03"

FER2013_PARTS = {"train": "train", "public": "validation", "private": "test"}
"""Folder of FER2013 → what the official protocol uses it for."""

FER2013_EMOTIONS = {
    "angry": "angry",
    "disgust": "disgust",
    "fear": "fearful",
    "happy": "happy",
    "neutral": "neutral",
    "sad": "sad",
    "surprise": "surprised",
}
"""Folder of FER2013 → emotion. It has no *calm*; :func:`targets` says what is done about it."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One recording or still of a corpus."""

    key: str
    """Joins the audio, video and audio-video files of one performance."""
    emotion: str
    corpus: str
    path: Path
    member: str | None = None
    """Name inside ``path`` when that is a zip file."""
    speaker: str | None = None
    sex: str | None = None
    """``"female"`` or ``"male"`` where the corpus tells."""
    statement: str | None = None
    """What is said, as the corpus numbers or names its sentences."""
    intensity: str | None = None
    """``"normal"`` or ``"strong"`` where the corpus tells."""
    part: str | None = None
    """``"train"``, ``"validation"`` or ``"test"`` where the corpus itself prescribes it."""
    has_sound: bool = False
    has_picture: bool = False
    """A moving picture; stills have neither sound nor a moving picture."""

    @property
    def title(self) -> str:
        """Name of the file for people."""
        return f"{self.path}: {self.member}" if self.member else str(self.path)

    @property
    def is_still(self) -> bool:
        """Whether this is a picture and not a clip."""
        return not (self.has_sound or self.has_picture)


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """A clip that is left out, by name."""

    clip: str
    """Name of the file for people."""
    reason: str


@dataclass(frozen=True)
class Corpus:
    """What a corpus holds, and what of it is left out."""

    examples: tuple[Example, ...]
    """Sorted by key."""
    excluded: tuple[Exclusion, ...] = ()


def read_corpus(path: Path, *, song: bool = False) -> Corpus:
    """List what a folder or zip file holds: RAVDESS recordings or FER2013 stills.

    Args:
        path: a folder with RAVDESS files anywhere below it, or FER2013 as a folder or zip file
            of ``{train,public,private}/{angry,disgust,fear,happy,neutral,sad,surprise}/``.
        song: RAVDESS's songs too, and not its speech alone.

    Raises:
        TrainingDataError: nothing there, or nothing that is either corpus.
    """
    if not path.exists():
        raise TrainingDataError(f"{path}: no such file or folder")
    names = list(_names_below(path))
    archive = path if path.is_file() else None
    examples = [
        example
        for name in names
        if (example := _ravdess(path, name, archive, song=song) or _fer2013(path, name, archive))
    ]
    if not examples:
        raise TrainingDataError(
            f"{path}: neither RAVDESS recordings (03-01-05-01-02-01-12.wav) nor FER2013 stills "
            f"(train/happy/*.jpg) among its {len(names)} files"
        )
    ordered = sorted(examples, key=lambda example: (example.key, example.title))
    return Corpus(examples=tuple(ordered))


def once_each(examples: Iterable[Example]) -> list[Example]:
    """Keep one file of each performance.

    RAVDESS has each as sound, as picture and as both: trained on together, they would count
    twice. The file of one kind stays: its sound is not compressed.

    >>> both = Example(key="a", emotion="sad", corpus="ravdess", path=Path("01-a.mp4"),
    ...                has_sound=True, has_picture=True)
    >>> sound = Example(key="a", emotion="sad", corpus="ravdess", path=Path("03-a.wav"),
    ...                 has_sound=True)
    >>> once_each([both, sound]) == [sound]
    True
    """
    kept: dict[tuple[str, str], Example] = {}
    for example in sorted(examples, key=lambda example: example.has_sound and example.has_picture):
        kept.setdefault((example.corpus, example.key), example)
    return list(kept.values())


def targets(example: Example) -> np.ndarray:
    """Give the probabilities that a network should answer for an example.

    FER2013's *neutral* is taught as half *neutral*, half *calm*: a still face cannot tell the two
    apart, and their sum is what the picture knows. In the fusion the voice then decides.

    Returns:
        Shape ``(8,)``, sums to 1.

    >>> still = Example(key="a", emotion="neutral", corpus="fer2013", path=Path("a.jpg"))
    >>> targets(still).tolist()
    [0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    wanted = np.zeros(len(EMOTIONS), np.float32)
    if example.corpus == "fer2013" and example.emotion == "neutral":
        wanted[EMOTIONS.index("neutral")] = wanted[EMOTIONS.index("calm")] = 0.5
    else:
        wanted[EMOTIONS.index(example.emotion)] = 1.0
    return wanted


def read_contents(examples: Sequence[Example]) -> Iterator[bytes]:
    """Read the files of many examples, opening each zip file once.

    Raises:
        TrainingDataError: a zip file is damaged.
    """
    with ExitStack() as stack:
        archives: dict[Path, zipfile.ZipFile] = {}
        for example in examples:
            if example.member is None:
                yield example.path.read_bytes()
                continue
            if example.path not in archives:
                archives[example.path] = stack.enter_context(zipfile.ZipFile(example.path))
            yield _member(archives[example.path], example)


def _member(archive: zipfile.ZipFile, example: Example) -> bytes:
    try:
        return archive.read(example.member or "")
    except (zipfile.BadZipFile, zlib.error) as error:
        raise TrainingDataError(
            f"{example.title} is damaged ({error}); fetch the corpus again"
        ) from error


def _names_below(path: Path) -> Iterator[str]:
    if path.is_dir():
        yield from (file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
        return
    try:
        with zipfile.ZipFile(path) as archive:
            yield from (info.filename for info in archive.infolist() if not info.is_dir())
    except zipfile.BadZipFile as error:
        raise TrainingDataError(
            f"{path}: neither a folder nor a zip file; name the corpus's folder or its zip"
        ) from error


def _ravdess(root: Path, name: str, archive: Path | None, *, song: bool) -> Example | None:
    file = PurePosixPath(name)
    match = RAVDESS_NAME.fullmatch(file.stem)
    if match is None or file.suffix.lower() not in RAVDESS_SUFFIXES:
        return None
    modality, channel, emotion, intensity, statement, _, actor = match.groups()
    if channel != SPEECH_CHANNEL and not song:
        return None
    return Example(
        key=file.stem.split("-", 1)[1],
        emotion=from_ravdess_code(emotion),
        corpus="ravdess",
        path=archive or root / name,
        member=name if archive else None,
        speaker=actor,
        sex="male" if int(actor) % 2 else "female",
        statement=statement,
        intensity="strong" if intensity == "02" else "normal",
        has_sound=modality != VIDEO_ONLY,
        has_picture=modality != AUDIO_ONLY,
    )


def _fer2013(root: Path, name: str, archive: Path | None) -> Example | None:
    folders = PurePosixPath(name).parts[-3:]
    if len(folders) < 3 or folders[0] not in FER2013_PARTS or folders[1] not in FER2013_EMOTIONS:
        return None
    return Example(
        key="/".join(folders),
        emotion=FER2013_EMOTIONS[folders[1]],
        corpus="fer2013",
        path=archive or root / name,
        member=name if archive else None,
        part=FER2013_PARTS[folders[0]],
    )
