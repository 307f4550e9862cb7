"""What a training run is given: its options, its examples, and who of them is trained on."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from mien.errors import InvalidArgument, TrainingDataError
from mien.lab.branches import by_title, fingerprints
from mien.lab.copies import COMPARED
from mien.lab.corpora import Example, once_each, read_corpus, require_names_apart
from mien.lab.dataset import FeatureCache, speech_arrays
from mien.lab.fit import Recipe
from mien.lab.leaks import find_leaks, refuse_leaks
from mien.lab.presets import PRESETS
from mien.lab.protocols import PROTOCOLS, Fold, make_folds, performance_of
from mien.lab.splits import Split, sample, set_aside_for, split_examples
from mien.lab.study import INNER_SHARE

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Everything that a training run can be told."""

    work: Path
    """Checkpoints and histories of the run, which ``resume`` goes on from."""
    preset: str = "paper"
    embedder: Path | None = None
    """ONNX file; instead of the preset's own embedder."""
    epochs: int | None = None
    """Of each network, instead of the preset's."""
    variants: Literal["all", "one"] | None = None
    """Of the augmented variants, an epoch sees all or one; the recipe's own when ``None``."""
    protocol: str | None = None
    """Of :data:`mien.lab.splits.PROTOCOLS`: one of its folds is held out."""
    fold: str | None = None
    """Name of that fold; the first when ``None``."""
    hold_out: tuple[str, ...] = ()
    """Or speakers to test on, who are never trained on."""
    allow_leak: str | None = None
    """Why leaks are let pass; they are refused when ``None``. The bundle says it."""
    limit: int | None = None
    """Clips or stills taken from each corpus."""
    song: bool = False
    """Whether RAVDESS's songs are trained on too."""
    seed: int = 0
    resume: bool = False
    tensorboard: Path | None = None
    """Folder that TensorBoard reads losses from."""
    cache: Path | None = None
    """Folder of computed features; the user's cache folder when ``None``."""

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise InvalidArgument(
                f"preset must be one of {', '.join(PRESETS)}, not {self.preset!r}"
            )
        if self.protocol is not None and self.protocol not in PROTOCOLS:
            raise InvalidArgument(
                f"protocol must be one of {', '.join(PROTOCOLS)}, not {self.protocol!r}"
            )
        if self.allow_leak is not None and not self.allow_leak.strip():
            raise InvalidArgument("--allow-leak must say why; the bundle keeps it")
        if self.fold is not None and self.protocol is None:
            raise InvalidArgument(f"fold {self.fold!r} needs a protocol that it is a fold of")
        for name in ("epochs", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidArgument(f"{name} must be at least 1, not {value}")


class TrainingData:
    """The examples of a run, and who of them is trained on.

    Args:
        data: corpora, as :func:`mien.lab.corpora.read_corpus` reads them.
        options: of the run.

    Raises:
        TrainingDataError: a corpus cannot be read, or a speaker to hold out is in none.
    """

    def __init__(self, data: Sequence[Path], options: TrainingOptions) -> None:
        self.options = options
        require_names_apart(data)
        examples = [example for path in data for example in self._read(path)]
        self.sounding = once_each(example for example in examples if example.has_sound)
        self.pictured = once_each(example for example in examples if example.has_picture)
        self.stills = once_each(example for example in examples if example.is_still)
        self._require_speakers()

    @property
    def seen(self) -> list[Example]:
        """Clips and stills that the video branch can learn from."""
        return [*self.pictured, *self.stills]

    def _require_speakers(self) -> None:
        known = {e.speaker for e in (*self.sounding, *self.seen) if e.speaker}
        if strangers := sorted(set(self.options.hold_out) - known):
            raise TrainingDataError(
                f"no clip of the speakers {', '.join(strangers)}; "
                f"there are {', '.join(sorted(known)) or 'none named'}"
            )

    def _read(self, path: Path) -> list[Example]:
        corpus = read_corpus(path, song=self.options.song)
        for exclusion in corpus.excluded:
            logger.warning("left out: %s: %s", exclusion.clip, exclusion.reason)
        limit = self.options.limit or len(corpus.examples)
        return sample(corpus.examples, limit=limit, seed=self.options.seed)

    def split(self, examples: Sequence[Example], *, recipe: Recipe) -> Split:
        """Split by the protocol, or by the speakers held out; stills by the corpus's own parts.

        Where the recipe chooses no epoch, no clip is set aside to choose it by.
        """
        speakers = {example.speaker for example in examples}
        test = [speaker for speaker in self.options.hold_out if speaker in speakers]
        clips = [example for example in examples if not example.is_still]
        if self.options.protocol is None or not clips:
            split = split_examples(examples, test_speakers=test, seed=self.options.seed)
        else:
            split = self._split_by_protocol(clips, [e for e in examples if e.is_still])
        if recipe.keep == "best":
            return split
        free = tuple(e for e in split.validation if not self._is_prescribed(e))
        prescribed = tuple(e for e in split.validation if self._is_prescribed(e))
        return Split(train=split.train + free, validation=prescribed, test=split.test)

    def _is_prescribed(self, example: Example) -> bool:
        """Whether the corpus itself wants a validation clip to choose, and never to be trained on.

        A protocol of mien's takes the place of a manifest's parts, but not of those of stills.
        """
        heeded = self.options.protocol in {None, "manifest"} or example.is_still
        return heeded and example.part is not None

    def _split_by_protocol(self, clips: Sequence[Example], stills: Sequence[Example]) -> Split:
        parts: dict[str, tuple[Example, ...]] = {
            name: tuple(clip for clip in clips if performance_of(clip) in performances)
            for name, performances in self._parts.items()
        }
        split = Split(**parts)
        if not stills:
            return split
        others = split_examples(stills, seed=self.options.seed)
        return Split(
            train=split.train + others.train,
            validation=split.validation + others.validation,
            test=split.test + others.test,
        )

    @cached_property
    def _parts(self) -> dict[str, set[tuple[str, str]]]:
        """Say which performances are trained on, choose and are tested, by both branches alike."""
        train, validation = set_aside_for(
            PROTOCOLS[str(self.options.protocol)],
            self.fold.train,
            share=INNER_SHARE,
            seed=self.options.seed,
        )
        parts = {"train": train, "validation": validation, "test": self.fold.test}
        return {name: set(map(performance_of, some)) for name, some in parts.items()}

    @cached_property
    def fold(self) -> Fold:
        """The fold of the protocol that is held out.

        Raises:
            InvalidArgument: the protocol has no fold of that name.
        """
        protocol = PROTOCOLS[str(self.options.protocol)]
        clips = list(dict.fromkeys([*self.sounding, *self.pictured]))
        folds = {
            fold.name: fold
            for fold in make_folds(clips, protocol=protocol.name, seed=self.options.seed)
        }
        fold = folds.get(self.options.fold or next(iter(folds)))
        if fold is None:
            raise InvalidArgument(
                f"fold must be one of {', '.join(folds)} of {protocol.name}, "
                f"not {self.options.fold!r}"
            )
        return fold

    def refuse_leaks(self, split: Split, *, cache: FeatureCache) -> None:
        """Refuse to score on sound that was trained on, whatever its file is called."""
        if not split.test:
            return
        heard = speech_arrays(
            [*split.train, *split.validation, *split.test],
            config=COMPARED,
            cache=cache,
            augmented=False,
        )
        fold = Fold(name="held out", train=split.train + split.validation, test=split.test)
        leaks = find_leaks(
            fold,
            speakers_apart=self._speakers_apart,
            sounds=fingerprints(heard),
            speech=by_title(heard),
        )
        if self.options.allow_leak is None:
            refuse_leaks(leaks)

    @property
    def _speakers_apart(self) -> bool:
        if self.options.protocol is None:
            return bool(self.options.hold_out)
        return PROTOCOLS[self.options.protocol].speakers_apart
