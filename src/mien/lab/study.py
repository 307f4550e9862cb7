"""Clips and branches through one protocol: what every network and fusion says of every clip."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from mien.emotions import EMOTIONS
from mien.errors import TrainingDataError
from mien.lab.answers import Answers, train_and_ask
from mien.lab.batches import Arrays
from mien.lab.branches import Branch, Performance
from mien.lab.corpora import Example
from mien.lab.fit import Recipe, batches_of
from mien.lab.joint import JOINT, joined
from mien.lab.late import FITTED, LATE, fuse_late
from mien.lab.leaks import Leak, find_leaks, refuse_leaks
from mien.lab.protocols import PROTOCOLS, Fold, make_folds, performance_of
from mien.lab.splits import set_aside_for

logger = logging.getLogger(__name__)

INNER_SHARE = 0.15
"""Of the training clips, set aside to choose by, where something is chosen."""

FUSIONS = (*LATE, *JOINT)
"""All fusions: the late ones, of probabilities, then those that are networks of their own."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a study is run."""

    work: Path
    """Where answers and checkpoints are kept."""
    fusions: tuple[str, ...] = ("average",)
    epochs: int | None = None
    """Of each network, instead of its recipe's."""
    variants: Literal["all", "one"] | None = None
    """Of the augmented variants, an epoch sees all or one; the recipe's own when ``None``."""
    resume: bool = False
    allow_leak: str | None = None
    """Why leaks are let pass; they are refused when ``None``."""
    shuffle_test_labels: bool = False
    """A control: with the test clips' emotions permuted, scores must fall to chance."""
    tensorboard: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Part:
    """One fold of one protocol with one seed, before anything is trained."""

    protocol: str
    seed: int
    fold: str
    train: np.ndarray
    """Places of clips in the corpus."""
    test: np.ndarray
    leaks: tuple[Leak, ...]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one part."""

    part: Part
    inner: np.ndarray
    """Training clips that networks were not trained on; they chose."""
    labels: np.ndarray
    """Class number of each clip, as this part had it."""
    systems: dict[str, np.ndarray]
    """System → probabilities of all clips, ``(clips, 8)``; NaN where it has no answer."""
    chosen: dict[str, Any]
    networks: dict[str, Answers]
    """By name, what each network said of the clips it has inputs of."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """Clips, what the branches are given of them, and how to go about it."""

    clips: Sequence[Performance]
    branches: Mapping[str, Branch]
    plan: Plan
    labels: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        labels = [EMOTIONS.index(clip.example.emotion) for clip in self.clips]
        object.__setattr__(self, "labels", np.array(labels))

    def parts(self, protocol: str, *, seed: int) -> list[Part]:
        """Split by a protocol, and refuse what leaks.

        Raises:
            TrainingDataError: the clips cannot be split so.
            LeakError: a fold leaks and the plan does not allow it.
        """
        files = [file for clip in self.clips for file in (clip.sound, clip.picture) if file]
        folds = make_folds(list(dict.fromkeys(files)), protocol=protocol, seed=seed)
        return [self._part(fold, protocol=protocol, seed=seed) for fold in folds]

    def _part(self, fold: Fold, *, protocol: str, seed: int) -> Part:
        prints = {name: branch.prints for name, branch in self.branches.items()}
        leaks = find_leaks(
            fold,
            speakers_apart=PROTOCOLS[protocol].speakers_apart,
            sounds=prints.get("audio", {}),
            pictures=prints.get("video", {}),
            speech=self.branches["audio"].speech if "audio" in self.branches else {},
        )
        if self.plan.allow_leak is None:
            refuse_leaks(leaks)
        part = Part(
            protocol=protocol,
            seed=seed,
            fold=fold.name,
            train=self._places(fold.train),
            test=self._places(fold.test),
            leaks=tuple(leaks),
        )
        self._require_inputs(part)
        return part

    def _require_inputs(self, part: Part) -> None:
        """Refuse a fold that a network has nothing to learn from or to be tested on."""
        rest, inner = self._inner(part)
        wanted = {"train on": rest, "test": part.test}
        if self.chooses:
            wanted["choose by"] = inner
        for name in self._trained():
            places = self._inputs(name).places
            for use, clips in wanted.items():
                if not np.isin(places, clips).any():
                    raise TrainingDataError(
                        f"{part.protocol}, fold {part.fold}: {name} has inputs of none of the "
                        f"{len(clips)} clips to {use}; give more, or leave that branch out"
                    )

    def _places(self, examples: Sequence[Example]) -> np.ndarray:
        place = {performance_of(clip.example): number for number, clip in enumerate(self.clips)}
        found = {place[performance_of(example)] for example in examples}
        return np.array(sorted(found))

    @property
    def chooses(self) -> bool:
        """Whether anything is chosen, so that training clips must be set aside to choose by."""
        recipes = [self._recipe(branch.design.recipe) for branch in self.branches.values()]
        fitted = len(self.branches) > 1 and FITTED & set(self.plan.fusions)
        return bool(fitted) or any(recipe.keep == "best" for recipe in recipes)

    def run(self, part: Part) -> Outcome:
        """Train and ask all networks of one part, and fuse what they say."""
        labels = self._labels(part)
        rest, inner = self._inner(part)
        networks, systems = {}, {}
        for name in self._trained():
            folder = self.plan.work / part.protocol / f"seed-{part.seed}" / part.fold / name
            answers, places = self._ask(name, part, labels, rest=rest, inner=inner, folder=folder)
            networks[name] = answers
            systems[name] = np.full((len(self.clips), len(EMOTIONS)), np.nan)
            systems[name][places] = answers.probabilities
        chosen: dict[str, Any] = {}
        if len(self.branches) > 1:
            fused = fuse_late(
                systems["audio"],
                systems["video"],
                labels=labels,
                inner=inner,
                fusions=self.plan.fusions,
            )
            systems |= fused.probabilities
            chosen = fused.chosen
        for name, answers in networks.items():
            chosen[name] = {"epoch": answers.epoch, **chosen.get(name, {})}
        return Outcome(
            part=part,
            inner=inner,
            labels=labels,
            systems=systems,
            chosen=chosen,
            networks=networks,
        )

    def _labels(self, part: Part) -> np.ndarray:
        labels = self.labels.copy()
        if self.plan.shuffle_test_labels:
            chance = np.random.default_rng([part.seed, *part.fold.encode()])
            labels[part.test] = chance.permutation(labels[part.test])
        return labels

    def _inner(self, part: Part) -> tuple[np.ndarray, np.ndarray]:
        if not self.chooses:
            return part.train, part.train[:0]
        rest, inner = set_aside_for(
            PROTOCOLS[part.protocol],
            [self.clips[place].example for place in part.train],
            share=INNER_SHARE,
            seed=part.seed,
        )
        return self._places(rest), self._places(inner)

    def _trained(self) -> list[str]:
        joint = [name for name in JOINT if name in self.plan.fusions]
        return [*self.branches, *(joint if len(self.branches) > 1 else [])]

    def recipe(self, network: str) -> Recipe:
        """Tell how a network is trained; a joint one is as the audio branch."""
        return self._recipe(self._inputs(network).recipe)

    def _recipe(self, recipe: Recipe) -> Recipe:
        return replace(
            recipe,
            epochs=self.plan.epochs or recipe.epochs,
            variants=self.plan.variants or recipe.variants,
        )

    def _ask(  # noqa: PLR0913 - which network, what it may see of what, where
        self,
        name: str,
        part: Part,
        labels: np.ndarray,
        *,
        rest: np.ndarray,
        inner: np.ndarray,
        folder: Path,
    ) -> tuple[Answers, np.ndarray]:
        inputs = self._inputs(name)
        recipe = self.recipe(name)
        rows = np.flatnonzero(np.isin(inputs.places, rest))
        validation = None
        if len(inner):
            held = np.flatnonzero(np.isin(inputs.places, inner))
            validation = Arrays(inputs.plain(held), _one_hot(labels[inputs.places[held]]))
        training = inputs.training(rows)
        wanted = np.repeat(_one_hot(labels[inputs.places[rows]]), inputs.variants, axis=0)
        batches = batches_of(
            Arrays(training, wanted), recipe, variants=inputs.variants, seed=part.seed
        )
        started = time.monotonic()
        answers = train_and_ask(
            partial(inputs.build, rows, recipe),
            batches,
            validation=validation,
            asked=inputs.plain(np.arange(len(inputs.places))),
            recipe=recipe,
            folder=folder,
            resume=self.plan.resume,
            tensorboard=self.plan.tensorboard
            and self.plan.tensorboard / folder.relative_to(self.plan.work),
        )
        logger.info(
            "%s, seed %d, fold %s, %s: %d clips, epoch %d of %d, %.0f s",
            part.protocol,
            part.seed,
            part.fold,
            name,
            len(rows),
            answers.epoch,
            recipe.epochs,
            time.monotonic() - started,
        )
        return answers, inputs.places

    def _inputs(self, name: str) -> "_Inputs":
        if name in self.branches:
            return _Inputs([self.branches[name]])
        return _Inputs([self.branches["audio"], self.branches["video"]], joint=name)


class _Inputs:
    """What one network is given: the rows of one branch, or of two laid side by side."""

    def __init__(self, branches: Sequence[Branch], *, joint: str | None = None) -> None:
        self.branches = branches
        self.joint = joint
        self.places = branches[0].places
        for branch in branches[1:]:
            self.places = np.intersect1d(self.places, branch.places)
        self.recipe = branches[0].design.recipe
        self.variants = max(branch.variants for branch in branches)

    def _rows(self, branch: Branch, rows: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.searchsorted(branch.places, self.places[rows])
        return found

    def plain(self, rows: np.ndarray) -> np.ndarray:
        return self._laid([branch.plain[self._rows(branch, rows)] for branch in self.branches])

    def _training(self, branch: Branch, rows: np.ndarray) -> np.ndarray:
        given = branch.training_rows(self._rows(branch, rows))
        repeated: np.ndarray = np.repeat(given, self.variants // branch.variants, axis=0)
        return repeated

    def training(self, rows: np.ndarray) -> np.ndarray:
        return self._laid([self._training(branch, rows) for branch in self.branches])

    def _laid(self, parts: list[np.ndarray]) -> np.ndarray:
        return joined(parts[0], parts[1]) if self.joint else parts[0]

    def build(self, rows: np.ndarray, recipe: Recipe) -> keras.Model:
        # By what a network standardises: the clips as they are, where each epoch sees one variant.
        parts = [
            branch.plain[self._rows(branch, rows)]
            if recipe.variants == "one"
            else self._training(branch, rows)
            for branch in self.branches
        ]
        if self.joint is None:
            return self.branches[0].design.network(parts[0])
        audio, video = (branch.design for branch in self.branches)
        return JOINT[self.joint](audio, video, training=(parts[0], parts[1]))


def _one_hot(labels: np.ndarray) -> np.ndarray:
    rows: np.ndarray = np.eye(len(EMOTIONS), dtype=np.float32)[labels]
    return rows
