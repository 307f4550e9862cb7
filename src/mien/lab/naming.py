"""What a file's name says of the clip, by the rules of each corpus."""

import re
from pathlib import PurePosixPath

from mien.emotions import from_ravdess_code
from mien.lab import ravdess
from mien.lab.archives import StoredFile
from mien.lab.examples import Example

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
"""Folder of FER2013 → emotion. It has no *calm*."""

CREMAD_EMOTIONS = {
    "ANG": "angry",
    "DIS": "disgust",
    "FEA": "fearful",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
"""Code of CREMA-D → emotion. It has no *calm* and no *surprised*."""

CREMAD_INTENSITIES = {"LO": "normal", "MD": "normal", "HI": "strong"}
"""Level of CREMA-D → intensity; most of its clips have none (``XX``)."""

CREMAD_NAME = re.compile(
    # One of the corpus's files, 1040_ITH_SAD_X, has lost an X.
    rf"(?P<speaker>1\d{{3}})_(?P<statement>[A-Z]{{3}})_(?P<emotion>{'|'.join(CREMAD_EMOTIONS)})"
    r"_(?P<level>LO|MD|HI|XX?)"
)

SAVEE_EMOTIONS = {
    "a": "angry",
    "d": "disgust",
    "f": "fearful",
    "h": "happy",
    "n": "neutral",
    "sa": "sad",
    "su": "surprised",
}
"""Code of SAVEE → emotion. It has no *calm*."""

SAVEE_NAME = re.compile(
    rf"(?P<speaker>DC|JE|JK|KL)[_/](?P<emotion>{'|'.join(SAVEE_EMOTIONS)})(?P<number>\d\d)"
)

SOUND_SUFFIXES = frozenset(
    {".aac", ".aif", ".aiff", ".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".wma"}
)
STILL_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def example_of(file: StoredFile, *, song: bool = False) -> Example | None:
    """Say what a file of a known corpus shows.

    RAVDESS (``03-01-05-01-02-01-12.wav``), CREMA-D (``1001_DFA_ANG_XX.wav``), SAVEE
    (``DC_a01.wav`` or ``DC/a01.wav``) and FER2013 (``train/happy/1.jpg``).

    Args:
        file: where it is; only its name is looked at.
        song: RAVDESS's songs too, and not its speech alone.

    Returns:
        ``None`` where no corpus has such a name.
    """
    return _ravdess(file, song=song) or _cremad(file) or _savee(file) or _fer2013(file)


def _ravdess(file: StoredFile, *, song: bool) -> Example | None:
    name = ravdess.parse_name(file.name.stem)
    if name is None or file.name.suffix.lower() not in ravdess.SUFFIXES or name.impossible_codes:
        return None
    if name.channel == ravdess.SONG and not song:
        return None
    return Example(
        key=name.key,
        emotion=from_ravdess_code(name.emotion),
        corpus="ravdess",
        path=file.path,
        member=file.member,
        speaker=name.actor,
        sex=name.sex,
        statement=name.statement,
        intensity="strong" if name.intensity == ravdess.STRONG else "normal",
        has_sound=name.modality != ravdess.VIDEO_ONLY,
        has_picture=name.modality != ravdess.AUDIO_ONLY,
    )


def _cremad(file: StoredFile) -> Example | None:
    match = CREMAD_NAME.fullmatch(file.name.stem)
    suffix = file.name.suffix.lower()
    if match is None or suffix not in {".wav", ".flv", ".mp4"}:
        return None
    return Example(
        key=file.name.stem,
        emotion=CREMAD_EMOTIONS[match["emotion"]],
        corpus="cremad",
        path=file.path,
        member=file.member,
        speaker=match["speaker"],
        statement=match["statement"],
        intensity=CREMAD_INTENSITIES.get(match["level"]),
        has_sound=True,
        has_picture=suffix != ".wav",
    )


def _savee(file: StoredFile) -> Example | None:
    stem, suffix = file.name.stem, file.name.suffix.lower()
    match = SAVEE_NAME.fullmatch(stem) or SAVEE_NAME.fullmatch(f"{file.name.parent.name}/{stem}")
    if match is None or suffix not in {".wav", ".avi", ".mp4"}:
        return None
    return Example(
        key=f"{match['speaker']}_{match['emotion']}{match['number']}",
        emotion=SAVEE_EMOTIONS[match["emotion"]],
        corpus="savee",
        path=file.path,
        member=file.member,
        speaker=match["speaker"],
        sex="male",
        # No statement: the sentences are numbered anew in each emotion.
        has_sound=True,
        has_picture=suffix != ".wav",
    )


def _fer2013(file: StoredFile) -> Example | None:
    folders = file.name.parts[-3:]
    if len(folders) < 3 or folders[0] not in FER2013_PARTS or folders[1] not in FER2013_EMOTIONS:
        return None
    return Example(
        key="/".join(folders),
        emotion=FER2013_EMOTIONS[folders[1]],
        corpus="fer2013",
        path=file.path,
        member=file.member,
        part=FER2013_PARTS[folders[0]],
    )


def has_sound_and_picture(clip: PurePosixPath) -> tuple[bool, bool]:
    """Tell from a clip's suffix whether it has sound, and whether a moving picture.

    >>> [has_sound_and_picture(PurePosixPath(name)) for name in ("a.WAV", "a.png", "a.mkv")]
    [(True, False), (False, False), (True, True)]
    """
    suffix = clip.suffix.lower()
    is_still = suffix in STILL_SUFFIXES
    return not is_still, not is_still and suffix not in SOUND_SUFFIXES
