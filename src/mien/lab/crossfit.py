"""What a branch says of its own training clips, each by a network that was not trained on it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.model_selection import GroupKFold

from mien.lab.answers import train_and_ask
from mien.lab.batches import Arrays
from mien.lab.calibrate import Unseen
from mien.lab.corpora import Example
from mien.lab.dataset import Loaded
from mien.lab.fit import Recipe, batches_of
from mien.lab.presets import Design
from mien.lab.protocols import (
    LUNA5_GROUPS,
    SPEAKER_GROUPS,
    Name,
    performance_of,
    speaker_of,
)


def cross_fit(  # noqa: PLR0913 - clips, which network, how, where, whether anew
    loaded: Loaded, *, design: Design, recipe: Recipe, seed: int, folder: Path, resume: bool
) -> Unseen:
    """Train a network for each group of speakers on all others, and ask it about that group.

    Args:
        loaded: the training clips; the variants of a clip follow each other, and the first is the
            clip as it is.
        design: of the network.
        recipe: keeps the last epoch: nothing is set aside to choose one by.
        seed: of groups, weights and batches.
        folder: where answers are kept.
        resume: take up what was answered before.

    Returns:
        Answers for all clips, none when there is but one group.

    Raises:
        TrainingDataError: as :func:`mien.lab.fit.fit`.
    """
    variants = len(loaded.arrays.inputs) // len(loaded.examples)
    folds = fold_numbers(loaded.examples, seed=seed)
    names = np.unique(folds)
    if len(names) < 2:
        return Unseen(examples=(), probabilities=np.zeros((0, 8)), folds=folds[:0])
    probabilities = np.full((len(folds), loaded.arrays.targets.shape[1]), np.nan)
    for fold in names:
        tested = folds == fold
        rows = np.repeat(~tested, variants)
        training = Arrays(loaded.arrays.inputs[rows], loaded.arrays.targets[rows])
        batches = batches_of(training, recipe, variants=variants, seed=seed)
        probabilities[tested] = train_and_ask(
            partial(design.network, batches.as_used().arrays.inputs),
            batches,
            validation=None,
            asked=loaded.arrays.inputs[::variants][tested],
            recipe=recipe,
            folder=folder / f"fold-{fold}",
            resume=resume,
        ).probabilities
    return Unseen(examples=loaded.examples, probabilities=probabilities, folds=folds)


def fold_numbers(examples: Sequence[Example], *, seed: int) -> np.ndarray:
    """Number the group of each clip, so that whoever is named is in one group alone.

    RAVDESS's speakers are grouped as Luna-Jiménez et al. (2022) do. Clips that name no speaker are
    drawn by performance; so are all clips of a single speaker.

    Returns:
        Shape ``(clips,)``; one number when there is nothing to part.
    """
    groups = speakers_or_performances(examples)
    known = LUNA5_GROUPS.keys() >= set(groups)
    folds = np.array([LUNA5_GROUPS[group] if known else 1 for group in groups], int)
    if len(set(folds.tolist())) > 1 or len(set(groups)) < 2:
        return folds
    names = ["\0".join(group) for group in groups]
    parts = GroupKFold(min(SPEAKER_GROUPS, len(set(names))), shuffle=True, random_state=seed)
    for number, (_, tested) in enumerate(parts.split(names, groups=names), 1):
        folds[tested] = number
    return folds


def speakers_or_performances(examples: Sequence[Example]) -> list[Name]:
    """Name what must stay together of each clip: its speaker, where there are several."""
    speakers = {speaker_of(example) for example in examples if example.speaker}
    several = len(speakers) > 1 or not all(example.speaker for example in examples)
    return [
        speaker_of(example) if example.speaker and several else performance_of(example)
        for example in examples
    ]
