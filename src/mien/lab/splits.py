"""Who is trained on, who chooses the epoch, who is tested."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mien.errors import InvalidArgument, TrainingDataError
from mien.lab.examples import Example
from mien.lab.protocols import (
    PROTOCOLS,
    Fold,
    Name,
    Protocol,
    make_folds,
    performance_of,
    speaker_of,
)

__all__ = [
    "PROTOCOLS",
    "Fold",
    "Protocol",
    "Split",
    "make_folds",
    "sample",
    "set_aside",
    "set_aside_for",
    "split_examples",
]


@dataclass(frozen=True)
class Split:
    """Three disjoint parts of a corpus.

    No speaker is in two of them, unless all of the corpus is by one, and no performance.
    """

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]


def set_aside(
    examples: Sequence[Example], *, share: float, by_speaker: bool, seed: int
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Take some training clips out to choose by: epoch, temperature, weight.

    Args:
        examples: training clips, one or several files a performance.
        share: of the speakers or clips to take, between 0 and 1; at least one is taken.
        by_speaker: take whole speakers, so that what is chosen suits voices never trained on;
            where fewer than two are named, clips are taken all the same, of each emotion alike.
        seed: takes the same again.

    Returns:
        The rest, in which every emotion still occurs, and what was taken; both in the order given.

    Raises:
        InvalidArgument: the share is not between 0 and 1.
        TrainingDataError: nothing can be taken without losing an emotion.

    >>> from pathlib import Path
    >>> clips = [Example(key=str(n), emotion="sad", corpus="mine", path=Path(f"{n}.wav"))
    ...          for n in range(10)]
    >>> [len(part) for part in set_aside(clips, share=0.2, by_speaker=False, seed=0)]
    [8, 2]
    """
    if not 0 < share < 1:
        raise InvalidArgument(f"share must be between 0 and 1, not {share}; 0.15 is customary")
    speakers = {speaker_of(example) for example in examples if example.speaker}
    draw = _spare_speakers if by_speaker and len(speakers) >= 2 else _spare_clips
    taken = draw(examples, share=share, seed=seed)
    if not taken:
        raise TrainingDataError(
            f"none of {len(examples)} clips can be set aside to choose by: without it an emotion "
            "would be missing from training; give more clips of each emotion and speaker"
        )
    return (
        tuple(example for example in examples if performance_of(example) not in taken),
        tuple(example for example in examples if performance_of(example) in taken),
    )


def set_aside_for(
    protocol: Protocol, examples: Sequence[Example], *, share: float, seed: int
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Take out of a fold's training clips those to choose by, in the protocol's own manner.

    A manifest's part ``validation`` is taken where there is one; else whole speakers where the
    protocol or the manifest keeps speakers apart, and single clips under ``random80``.

    Args, results and errors are those of :func:`set_aside`.
    """
    by_corpus = protocol.name == "manifest"
    prescribed = tuple(example for example in examples if example.part == "validation")
    if by_corpus and prescribed:
        return tuple(e for e in examples if e.part != "validation"), prescribed
    by_speaker = protocol.speakers_apart or by_corpus
    return set_aside(examples, share=share, by_speaker=by_speaker, seed=seed)


def split_examples(
    examples: Sequence[Example],
    *,
    test_speakers: Collection[str] = (),
    validation_share: float = 0.15,
    seed: int = 0,
) -> Split:
    """Split by the corpus's own parts where it has them, by speaker elsewhere.

    The validation part, which chooses the epoch, is taken from the training clips: whole
    speakers, so that it sees what the test will see. Clips without a named speaker are drawn one
    by one, and so is everything where there is only one speaker.

    Args:
        examples: what :func:`mien.lab.corpora.read_corpus` lists.
        test_speakers: speakers who are in no other part.
        validation_share: share of the training speakers, 0 to 1.
        seed: draws the same validation part again.

    Raises:
        TrainingDataError: a test speaker is not in the corpus, or nothing is left to train on.
    """
    known = {example.speaker for example in examples if example.speaker}
    if strangers := sorted(set(test_speakers) - known):
        raise TrainingDataError(
            f"test speakers {', '.join(strangers)} are not in the corpus; "
            f"its speakers are {', '.join(sorted(known)) or 'not named'}"
        )
    prescribed = [example for example in examples if example.part]
    free = [example for example in examples if not example.part]
    rest = [example for example in free if example.speaker not in test_speakers]
    chosen = _validation_names(rest, share=validation_share, seed=seed)
    split = Split(
        train=tuple(
            [example for example in prescribed if example.part == "train"]
            + [example for example in rest if performance_of(example) not in chosen]
        ),
        validation=tuple(
            [example for example in prescribed if example.part == "validation"]
            + [example for example in rest if performance_of(example) in chosen]
        ),
        test=tuple(
            [example for example in prescribed if example.part == "test"]
            + [example for example in free if example.speaker in test_speakers]
        ),
    )
    if not (split.train and split.validation):
        raise TrainingDataError(
            f"{len(examples)} clips leave {len(split.train)} to train on and "
            f"{len(split.validation)} to choose the epoch by; give more, or hold out fewer"
        )
    return split


def sample(examples: Sequence[Example], *, limit: int, seed: int = 0) -> list[Example]:
    """Draw at most ``limit`` examples, the same share of each part and emotion.

    >>> from pathlib import Path
    >>> stills = [Example(key=str(n), emotion="sad", corpus="fer2013", path=Path("a"))
    ...           for n in range(10)]
    >>> len(sample(stills, limit=4))
    4
    """
    if limit >= len(examples):
        return list(examples)
    strata: dict[tuple[str | None, str], list[int]] = {}
    for index in np.random.default_rng(seed).permutation(len(examples)).tolist():
        example = examples[index]
        strata.setdefault((example.part, example.emotion), []).append(index)
    ranked = sorted(
        ((place + 0.5) / len(indices), index)
        for indices in strata.values()
        for place, index in enumerate(indices)
    )
    return [examples[index] for index in sorted(index for _, index in ranked[:limit])]


def _validation_names(examples: Sequence[Example], *, share: float, seed: int) -> set[Name]:
    group_of = _groups(examples)
    if len(set(group_of.values())) < 2:
        group_of = {name: name for name in group_of}
    groups = sorted(set(group_of.values()))
    if len(groups) < 2:
        return set()
    # Draws the very speakers that earlier bundles were trained with.
    drawn = np.random.default_rng(seed).choice(
        len(groups), size=_count(len(groups), share=share), replace=False
    )
    chosen = {groups[place] for place in drawn.tolist()}
    return {name for name, group in group_of.items() if group in chosen}


def _groups(examples: Sequence[Example]) -> dict[Name, Name]:
    """Give, of each performance, the speaker, or itself where none is named."""
    return {
        performance_of(example): speaker_of(example) if example.speaker else performance_of(example)
        for example in examples
    }


def _count(everything: int, *, share: float) -> int:
    """Give the share, at least one and never all."""
    return min(max(1, round(everything * share)), everything - 1)


def _spare_speakers(examples: Sequence[Example], *, share: float, seed: int) -> set[Name]:
    """Draw whole speakers, passing over those without whom an emotion would be missing."""
    group_of = _groups(examples)
    emotions: dict[Name, Counter[str]] = {group: Counter() for group in group_of.values()}
    for name, emotion in _emotions(examples).items():
        emotions[group_of[name]][emotion] += 1
    left = sum(emotions.values(), Counter())
    groups = sorted(emotions)
    wanted = _count(len(groups), share=share)
    taken: set[Name] = set()
    for place in np.random.default_rng(seed).permutation(len(groups)).tolist():
        without = left - emotions[groups[place]]
        if len(taken) < wanted and without.keys() == left.keys():
            taken.add(groups[place])
            left = without
    return {name for name, group in group_of.items() if group in taken}


def _spare_clips(examples: Sequence[Example], *, share: float, seed: int) -> set[Name]:
    """Draw clips of each emotion alike, but never the last one of an emotion."""
    once = {performance_of(example): example for example in examples}
    spare = [once[name] for name in sorted(once)]
    for emotion in set(_emotions(examples).values()):
        spare.remove(next(example for example in spare if example.emotion == emotion))
    wanted = max(1, round(len(once) * share))
    return {performance_of(example) for example in sample(spare, limit=wanted, seed=seed)}


def _emotions(examples: Sequence[Example]) -> Mapping[Name, str]:
    return {performance_of(example): example.emotion for example in examples}
