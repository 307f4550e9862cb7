"""Corpora on disk: which clips and stills there are, what they show, who is seen and heard."""

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from mien.emotions import EMOTIONS
from mien.errors import TrainingDataError
from mien.lab.archives import StoredFile, open_zip, read_member, stored_files
from mien.lab.examples import Corpus, Example, Exclusion
from mien.lab.manifest import read_manifest
from mien.lab.naming import example_of

__all__ = ["Corpus", "Example", "Exclusion", "once_each", "read_contents", "read_corpus", "targets"]


def read_corpus(path: Path, *, song: bool = False) -> Corpus:
    """List what a folder, zip file or manifest holds: recordings of known corpora, or any clips.

    Known by their names are the files of RAVDESS, CREMA-D, SAVEE and FER2013, see
    :func:`mien.lab.naming.example_of`; all others are passed over. Files with nothing in them,
    and those that are there twice, are left out by name; of two, the first by path stays.

    Args:
        path: a folder with files of a known corpus anywhere below it, or a zip file of such; in a
            folder, RAVDESS's official zip files (``Audio_Speech_Actors_01-24.zip``) are read in
            place. Or a ``.csv`` file, see :func:`mien.lab.manifest.read_manifest`.
        song: RAVDESS's songs too, and not its speech alone.

    Raises:
        TrainingDataError: nothing there, nothing that is known, or a damaged zip file.
    """
    if path.suffix.lower() == ".csv":
        return read_manifest(path)
    files = list(stored_files(path))
    found = [(file, example) for file in files if (example := example_of(file, song=song))]
    if not found:
        raise TrainingDataError(
            f"{path}: no RAVDESS (03-01-05-01-02-01-12.wav), CREMA-D (1001_DFA_ANG_XX.wav), SAVEE "
            f"(DC_a01.wav) or FER2013 (train/happy/*.jpg) among its {len(files)} files; list "
            "clips with other names in a CSV file: clip,emotion,speaker"
        )
    corpus = _without_empty_and_doubled(found)
    if not corpus.examples:
        raise TrainingDataError(
            f"{path}: all {len(found)} clips are empty files, first {found[0][1].title}; fetch the "
            "corpus again"
        )
    return corpus


def _without_empty_and_doubled(found: Sequence[tuple[StoredFile, Example]]) -> Corpus:
    kept: dict[tuple[str, str, bool, bool], Example] = {}
    excluded = []
    for file, example in sorted(found, key=lambda pair: pair[1].title):
        # The sound-only, video-only and audio-video files of a performance are not doubled.
        name = (example.corpus, example.key, example.has_sound, example.has_picture)
        if file.size == 0:
            excluded.append(Exclusion(clip=example.title, reason="empty file"))
        elif name in kept:
            reason = f"doubled: also at {kept[name].title}"
            excluded.append(Exclusion(clip=example.title, reason=reason))
        else:
            kept[name] = example
    ordered = sorted(kept.values(), key=lambda example: (example.key, example.title))
    return Corpus(tuple(ordered), tuple(excluded))


def require_names_apart(paths: Sequence[Path]) -> None:
    """Refuse manifests of one name: their clips and speakers could not be told apart.

    Raises:
        TrainingDataError: two manifests have one file name.

    >>> require_names_apart([Path("a/clips.csv"), Path("b/clips.csv")])
    Traceback (most recent call last):
    mien.errors.TrainingDataError: two manifests are named clips.csv; rename one of them
    """
    names = [path.name for path in paths if path.suffix.lower() == ".csv"]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise TrainingDataError(f"two manifests are named {doubled[0]}; rename one of them")


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
        TrainingDataError: a zip file is damaged, or a file is gone or may not be read.
    """
    with ExitStack() as stack:
        archives: dict[Path, zipfile.ZipFile] = {}
        for example in examples:
            if example.member is None:
                yield _read_file(example)
                continue
            if example.path not in archives:
                archives[example.path] = stack.enter_context(open_zip(example.path))
            yield read_member(archives[example.path], example.member)


def _read_file(example: Example) -> bytes:
    try:
        return example.path.read_bytes()
    except OSError as error:
        raise TrainingDataError(
            f"{example.title} cannot be read ({error.strerror}); look at its disk and permissions"
        ) from error
