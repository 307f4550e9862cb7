"""Who is trained on, who chooses the epoch, who is tested."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from mien.errors import TrainingDataError
from mien.lab.corpora import Example


@dataclass(frozen=True)
class Split:
    """Three disjoint parts of a corpus.

    No speaker is in two of them, unless all of the corpus is by one, and no performance.
    """

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]


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
    chosen = _validation_keys(rest, share=validation_share, seed=seed)
    split = Split(
        train=tuple(
            [example for example in prescribed if example.part == "train"]
            + [example for example in rest if example.key not in chosen]
        ),
        validation=tuple(
            [example for example in prescribed if example.part == "validation"]
            + [example for example in rest if example.key in chosen]
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


def _validation_keys(examples: Sequence[Example], *, share: float, seed: int) -> set[str]:
    group_of = {example.key: example.speaker or example.key for example in examples}
    if len(set(group_of.values())) < 2:
        group_of = {key: key for key in group_of}
    groups = sorted(set(group_of.values()))
    if len(groups) < 2:
        return set()
    count = min(max(1, round(len(groups) * share)), len(groups) - 1)
    chosen = set(np.random.default_rng(seed).choice(groups, size=count, replace=False).tolist())
    return {key for key, group in group_of.items() if group in chosen}


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
