"""RAVDESS's names: what the seven codes of a file say, which files there must be.

Source: Livingstone & Russo 2018, doi:10.1371/journal.pone.0196391, and Zenodo record 1188976.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import astuple, dataclass
from itertools import product
from pathlib import PurePosixPath

from mien.errors import InvalidArgument

AUDIO_VIDEO, VIDEO_ONLY, AUDIO_ONLY = "01", "02", "03"
MODALITIES = {AUDIO_ONLY: "audio", VIDEO_ONLY: "video", AUDIO_VIDEO: "audio-video"}
SPEECH, SONG = "01", "02"
CHANNELS = {SPEECH: "speech", SONG: "song"}
NORMAL, STRONG = "01", "02"
NEUTRAL = "01"
UNSUNG_EMOTIONS = frozenset({"07", "08"})
"""Disgust and surprised are spoken only."""
UNSUNG_ACTORS = frozenset({"18"})
"""Actors without songs."""
ACTORS = tuple(range(1, 25))

CODES = {
    "modality": 3,
    "vocal channel": 2,
    "emotion": 8,
    "intensity": 2,
    "statement": 2,
    "repetition": 2,
    "actor": len(ACTORS),
}
"""Fields of a file name, in order, and the greatest code of each; the least is 01."""

SUFFIXES = frozenset({".wav", ".flac", ".mp4"})
"""The corpus is of WAV and MP4 files; FLAC holds the same sound without loss."""

ARCHIVE = re.compile(
    r"(?:Audio_(?:Speech|Song)_Actors_01-24|Video_(?:Speech|Song)_Actor_[0-9]{2})\.zip"
)
"""Name of an official zip file."""

_SHAPE = re.compile(r"[0-9]{2}(?:-[0-9]{2}){6}")


@dataclass(frozen=True)
class RavdessName:
    """The seven codes of a file name: ``03-01-05-01-02-01-12``."""

    modality: str
    channel: str
    emotion: str
    intensity: str
    statement: str
    repetition: str
    actor: str

    @property
    def key(self) -> str:
        """All but the modality: what the files of one performance share."""
        return "-".join(astuple(self)[1:])

    @property
    def stem(self) -> str:
        """The file's name without its suffix."""
        return "-".join(astuple(self))

    @property
    def sex(self) -> str:
        """Actors with odd numbers are male."""
        return "male" if int(self.actor) % 2 else "female"

    @property
    def kind(self) -> str:
        """What the file is of: ``"audio speech"``, ``"audio-video song"`` and so on."""
        return f"{MODALITIES[self.modality]} {CHANNELS[self.channel]}"

    @property
    def impossible_codes(self) -> list[str]:
        """What is wrong with each code that its field does not know."""
        return [
            f"{field} must be 01 to {greatest:02d}, not {code}"
            for (field, greatest), code in zip(CODES.items(), astuple(self), strict=True)
            if not 1 <= int(code) <= greatest
        ]


def parse_name(stem: str) -> RavdessName | None:
    """Split a file name, without its suffix, into its codes.

    Returns:
        The codes, possible or not; ``None`` where the name is no seven pairs of digits.

    >>> name = parse_name("03-01-05-01-02-01-12")
    >>> name.key, name.kind, name.sex
    ('01-05-01-02-01-12', 'audio speech', 'female')
    >>> parse_name("03-01-05-01-02-01-12-copy") is None
    True
    """
    return RavdessName(*stem.split("-")) if _SHAPE.fullmatch(stem) else None


def broken_rule(file: PurePosixPath) -> str | None:
    """Say why a media file cannot be one of RAVDESS, by its name and folder.

    >>> broken_rule(PurePosixPath("Actor_12/03-01-01-02-01-01-12.wav"))
    'neutral has no strong intensity'
    >>> broken_rule(PurePosixPath("Actor_12/03-01-05-01-02-01-11.wav"))
    'in the folder Actor_12, named for actor 11'
    >>> broken_rule(PurePosixPath("Actor_12/03-01-05-01-02-01-12.wav")) is None
    True
    """
    name = parse_name(file.stem)
    if name is None:
        return "not seven codes of two digits"
    if name.impossible_codes:
        return "; ".join(name.impossible_codes)
    if (file.suffix.lower() == ".mp4") == (name.modality == AUDIO_ONLY):
        return f"modality {name.modality} is {MODALITIES[name.modality]}, in a {file.suffix} file"
    return _impossible_together(name) or _strange_folder(name, file.parent.name)


def _impossible_together(name: RavdessName) -> str | None:
    if name.emotion == NEUTRAL and name.intensity == STRONG:
        return "neutral has no strong intensity"
    if name.channel == SONG and name.emotion in UNSUNG_EMOTIONS:
        return f"emotion {name.emotion} has no songs"
    if name.channel == SONG and name.actor in UNSUNG_ACTORS:
        return f"actor {name.actor} has no songs"
    return None


def _strange_folder(name: RavdessName, folder: str) -> str | None:
    if re.fullmatch(r"Actor_[0-9]{2}", folder) and folder != f"Actor_{name.actor}":
        return f"in the folder {folder}, named for actor {name.actor}"
    return None


def performances(
    *, modality: str, channel: str, actors: Collection[int] = ACTORS
) -> Iterator[RavdessName]:
    """List the files of one kind that the corpus has: 60 of an actor's speech, 44 of songs.

    Args:
        modality: ``"01"`` audio-video, ``"02"`` video-only, ``"03"`` audio-only.
        channel: ``"01"`` speech, ``"02"`` song.
        actors: numbers from 1 to 24.

    >>> sum(1 for _ in performances(modality="03", channel="01"))
    1440
    >>> sum(1 for _ in performances(modality="03", channel="02"))
    1012
    """
    for actor in sorted(actors):
        for codes in product(*map(_codes_of, ("emotion", "intensity", "statement", "repetition"))):
            emotion, intensity, statement, repetition = codes
            name = RavdessName(
                modality, channel, emotion, intensity, statement, repetition, f"{actor:02d}"
            )
            if not _impossible_together(name):
                yield name


def _codes_of(field: str) -> list[str]:
    return [f"{code:02d}" for code in range(1, CODES[field] + 1)]


def parse_actors(text: str) -> tuple[int, ...]:
    """Read numbers of actors as people write them.

    Args:
        text: numbers from 1 to 24 and ranges of them, with commas between.

    Raises:
        InvalidArgument: something else.

    >>> parse_actors("1-3,18")
    (1, 2, 3, 18)
    """
    ranges = [_range(item) for item in text.split(",")]
    numbers = {number for numbers in ranges for number in numbers}
    if not all(ranges) or not numbers <= set(ACTORS):
        raise InvalidArgument(
            f"actors must be numbers from 1 to {len(ACTORS)} like 1-24 or 1,5,7-9, not {text!r}"
        )
    return tuple(sorted(numbers))


def _range(item: str) -> range:
    match = re.fullmatch(r"\s*([0-9]{1,2})(?:\s*-\s*([0-9]{1,2}))?\s*", item)
    return range(int(match[1]), int(match[2] or match[1]) + 1) if match else range(0)
