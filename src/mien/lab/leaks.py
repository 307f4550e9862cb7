"""What tested clips share with training, found before anything is trained."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from mien.errors import LeakError
from mien.lab.copies import find_copies
from mien.lab.examples import Example
from mien.lab.protocols import Fold, performance_of, speaker_of

Pairs = Iterator[tuple[Example, Example]]

NONE: Mapping[str, Any] = MappingProxyType({})
MOST_NAMED = 10
"""Leaks that a refusal names; the others are counted."""

SENTENCES = {
    "key": "{test} is tested, and another file of its performance trained on: {train}",
    "sound": "{test} is tested, and its very sound trained on: {train}",
    "picture": "{test} is tested, and its very picture trained on: {train}",
    "copy": "{test} is tested, and a copy with noise, another pitch or gain trained on: {train}",
    "speaker": "{test} is tested, and its speaker trained on: {train}",
}
"""Kind of leak → how it is told."""


@dataclass(frozen=True, kw_only=True)
class Leak:
    """Something that a tested clip shares with a training clip.

    >>> print(Leak(kind="key", test="03-a.wav", train="01-a.mp4"))
    03-a.wav is tested, and another file of its performance trained on: 01-a.mp4
    """

    kind: str
    """``"key"``, ``"sound"``, ``"picture"``, ``"copy"`` or ``"speaker"``."""
    test: str
    """Name of the tested file."""
    train: str
    """Name of the file trained on."""

    def __str__(self) -> str:
        return SENTENCES[self.kind].format(test=self.test, train=self.train)


def find_leaks(
    fold: Fold,
    *,
    speakers_apart: bool,
    sounds: Mapping[str, str] = NONE,
    pictures: Mapping[str, str] = NONE,
    speech: Mapping[str, np.ndarray] = NONE,
) -> list[Leak]:
    """Find what a fold's tested clips share with its training clips.

    Args:
        fold: as :func:`mien.lab.protocols.make_folds` gives it.
        speakers_apart: whether a speaker on both sides is a leak.
        sounds: title of a file → checksum of its decoded sound; files not in there are not
            compared.
        pictures: title of a file → checksum of its decoded picture, likewise.
        speech: title of a file → its row of :func:`mien.speech.speech_features` with the default
            configuration, shape (5984,), likewise; see :mod:`mien.lab.copies` for what is found.

    Returns:
        Sorted by kind as in ``SENTENCES``. Of each kind one leak a tested clip, of speakers one a
        speaker; two files that leak in several ways are named once, for the first of these.

    >>> from pathlib import Path
    >>> sound, both = (Example(key="a", emotion="sad", corpus="mine", path=Path(name))
    ...                for name in ("a.wav", "a.mp4"))
    >>> [leak.kind for leak in find_leaks(Fold(name="1", train=(both,), test=(sound,)),
    ...                                   speakers_apart=False)]
    ['key']
    """
    kinds: dict[str, Pairs] = {
        "key": _sharing(fold, performance_of),
        "sound": _sharing(fold, lambda example: sounds.get(example.title)),
        "picture": _sharing(fold, lambda example: pictures.get(example.title)),
        "copy": _copies(fold, speech),
    }
    found: dict[tuple[str, str], Leak] = {}
    for kind, pairs in kinds.items():
        told: set[str] = set()
        for test, train in pairs:
            pair = (test.title, train.title)
            if test.title not in told and pair not in found:
                told.add(test.title)
                found[pair] = Leak(kind=kind, test=test.title, train=train.title)
    leaks = list(found.values())
    return [*leaks, *_speakers(fold)] if speakers_apart else leaks


def refuse_leaks(leaks: Sequence[Leak]) -> None:
    """Refuse to train where something leaks.

    Raises:
        LeakError: there are leaks; names the clips of the first ten.

    >>> refuse_leaks([])
    """
    if not leaks:
        return
    more = len(leaks) - MOST_NAMED
    lines = [f"  {leak}" for leak in leaks[:MOST_NAMED]]
    if more > 0:
        lines.append(f"  and {more} more")
    raise LeakError(
        "what is tested would be trained on:\n"
        + "\n".join(lines)
        + "\nleave out one clip of each pair, or give --allow-leak WHY, which will be kept"
    )


def _sharing(fold: Fold, value_of: Callable[[Example], Hashable]) -> Pairs:
    """Give all pairs whose value is the same; ``None`` is no value."""
    trained: dict[Hashable, list[Example]] = {}
    for example in fold.train:
        trained.setdefault(value_of(example), []).append(example)
    trained.pop(None, None)
    for test in fold.test:
        for train in trained.get(value_of(test), ()):
            yield test, train


def _copies(fold: Fold, speech: Mapping[str, np.ndarray]) -> Pairs:
    tested = [example for example in fold.test if example.title in speech]
    trained = [example for example in fold.train if example.title in speech]
    if not (tested and trained):
        return
    rows = [np.stack([speech[example.title] for example in side]) for side in (tested, trained)]
    for copy in find_copies(*rows):
        yield tested[copy.tested], trained[copy.trained]


def _speakers(fold: Fold) -> Iterator[Leak]:
    told: set[tuple[str, str]] = set()
    for test, train in _sharing(fold, lambda e: speaker_of(e) if e.speaker else None):
        if speaker_of(test) not in told:
            told.add(speaker_of(test))
            yield Leak(kind="speaker", test=test.title, train=train.title)
