"""Corpora → a bundle: features, both branches, held-out scores, export."""

import importlib.util
import logging
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import platformdirs

from mien.bundle import Bundle, load_bundle
from mien.config import Config, EmbeddingConfig, FacesConfig
from mien.detectors import make_detector
from mien.embed import Embedder
from mien.errors import BundleError, InvalidArgument
from mien.lab.assemble import Trained, assemble
from mien.lab.batches import Arrays, Batches
from mien.lab.calibrate import Unseen
from mien.lab.corpora import Example
from mien.lab.crossfit import cross_fit, fold_numbers
from mien.lab.dataset import (
    FeatureCache,
    Loaded,
    clip_embeddings,
    sequence_embeddings,
    speech_arrays,
    still_crops,
)
from mien.lab.export import export_onnx
from mien.lab.fit import Fitted, Recipe, Train, batches_of, fit
from mien.lab.held_out import held_out_scores
from mien.lab.light import embedder_of, expression_network, expression_of
from mien.lab.moving import augment_stills
from mien.lab.presets import PRESETS, Design
from mien.lab.splits import Split
from mien.lab.training_data import TrainingData, TrainingOptions
from mien.verify import verify_bundle

logger = logging.getLogger(__name__)


def train_bundle(data: Sequence[Path], out: Path, *, options: TrainingOptions) -> Bundle:
    """Train on corpora and write a bundle, with its scores on the clips held out.

    Clips with sound train the audio branch; moving pictures, and stills shown as short moving
    sequences, train the video branch. A branch without data is left out of the bundle.

    Args:
        data: corpora, as :func:`mien.lab.corpora.read_corpus` reads them.
        out: folder of the bundle; an older bundle there is replaced.
        options: how to train.

    Raises:
        InvalidArgument: the preset needs an embedder, the embedder does not fit, or ``out`` holds
            something else than a bundle.
        NoEmbedder: the embedder is not there.
        TrainingDataError: the corpora cannot be trained on.
    """
    _require_replaceable(out)
    run = _Run(data, options)
    logger.info("training on %s", ", ".join(map(str, jax.devices())))
    return run.export(out)


def _require_replaceable(out: Path) -> None:
    if not out.exists():
        return
    try:
        load_bundle(out)
    except BundleError as error:
        raise InvalidArgument(
            f"out must be a new folder or that of a bundle, not {out}: it is there and is not "
            "replaced, as it holds no bundle that this mien wrote"
        ) from error


def _trainer() -> Train | None:
    """Give what trains the expression network fastest here; ``None`` for Keras itself."""
    if jax.default_backend() != "cpu" or importlib.util.find_spec("torch") is None:
        return None
    from mien.lab import torch_steps  # noqa: PLC0415 - PyTorch need not be installed

    logger.info("the expression network is trained by PyTorch: on a processor it is faster")
    return torch_steps.train


class _Run:
    """One training run: its data, its options and what is shared by the branches."""

    def __init__(self, data: Sequence[Path], options: TrainingOptions) -> None:
        self.options = options
        self.preset = PRESETS[options.preset]
        self.audio, self.video = self.preset.audio(self.preset.speech), self.preset.video
        self.cache = FeatureCache(
            options.cache or Path(platformdirs.user_cache_dir("mien")) / "features"
        )
        self.speech, self.faces = self.preset.speech, FacesConfig()
        self.data = TrainingData(data, options)
        self._require_embedder()
        self.scores: dict[str, dict[str, Any]] = {}
        self.fitted: dict[str, Fitted] = {}
        self.unseen: dict[str, Unseen] = {}

    def _require_embedder(self) -> None:
        if self.options.embedder or not self.data.seen:
            return
        if self.preset.expression_recipe is None:
            raise InvalidArgument(
                f"preset {self.options.preset!r} needs --embedder F.onnx; make one with 'mien "
                "embedder convert google/vit-base-patch16-224-in21k --out F.onnx'"
            )
        if not self.data.stills:
            raise InvalidArgument(
                f"preset {self.options.preset!r} trains its embedder on stills, and there are "
                "none; add FER2013, or give --embedder F.onnx"
            )

    def export(self, out: Path) -> Bundle:
        """Train all that there is data for, and write the bundle."""
        if self.data.sounding:
            split = self.data.split(self.data.sounding, recipe=self.audio.recipe)
            self.data.refuse_leaks(split, cache=self.cache)
        if self.data.seen:
            self.data.split(self.data.seen, recipe=self.video.recipe)
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
            folder = Path(scratch) / "bundle"
            folder.mkdir()
            embedder = self._embedder(folder) if self.data.seen else None
            tested = {
                "audio": self._audio(folder) if self.data.sounding else None,
                "video": self._video(folder, embedder) if embedder else None,
            }
            held_out = {branch: loaded for branch, loaded in tested.items() if loaded}
            assemble(folder, self._trained(embedder, held_out), name=out.name)
            verify_bundle(folder)
            _require_replaceable(out)
            if out.exists():
                out.rename(Path(scratch) / "older")
            folder.rename(out)
        return load_bundle(out)

    def _embedder(self, folder: Path) -> Embedder:
        path = folder / "embedder.onnx"
        if self.options.embedder is not None:
            # Opened first, so that a wrong file is named before it is copied.
            given = Embedder(self.options.embedder)
            if given.crop_size != self.faces.crop_size:
                raise InvalidArgument(
                    f"embedder must take crops of {self.faces.crop_size} pixels, "
                    f"not {given.crop_size}"
                )
            shutil.copyfile(self.options.embedder, path)
            return Embedder(path)
        recipe = self._recipe(self.preset.expression_recipe or Recipe())
        split = self.data.split(self.data.stills, recipe=recipe)
        crops = {
            part: still_crops(getattr(split, part), config=self.faces)
            for part in ("train", "validation")
        }
        keras.utils.set_random_seed(self.options.seed)
        self.fitted["expression"] = fitted = fit(
            expression_network(crop_size=self.faces.crop_size),
            Batches(
                crops["train"],
                batch_size=recipe.batch_size,
                seed=self.options.seed,
                augment=augment_stills,
            ),
            validation=crops["validation"],
            recipe=recipe,
            folder=self.options.work / "expression",
            resume=self.options.resume,
            tensorboard=self.options.tensorboard and self.options.tensorboard / "expression",
            train=_trainer(),
        )
        network = embedder_of(fitted.network)
        export_onnx(
            network,
            path,
            input_names=["crops"],
            output_name="embedding",
            metadata={"mien.embedder": "expression", "mien.source": "trained by mien"},
        )
        self._score_stills(fitted.network, network, split)
        return Embedder(path)

    def _score_stills(self, expression: keras.Model, embed: keras.Model, split: Split) -> None:
        if split.test:
            test = still_crops(split.test, config=self.faces)
            embeddings = embed.predict(test.inputs, batch_size=256, verbose=0)
            answers = expression_of(expression, embeddings)
            self.scores["expression"] = held_out_scores(split.test, answers)

    def _audio(self, folder: Path) -> Loaded | None:
        split = self.data.split(self.data.sounding, recipe=self.audio.recipe)
        shared: dict[str, Any] = {
            "config": self.speech,
            "cache": self.cache,
            "seed": self.options.seed,
        }
        train = speech_arrays(split.train, augmented=True, **shared)
        validation = None
        if split.validation:
            validation = speech_arrays(split.validation, augmented=False, **shared)
        self._fit_branch("audio", self.audio, train, validation, folder)
        if not split.test:
            return None
        return speech_arrays(split.test, augmented=False, **shared)

    def _video(self, folder: Path, embedder: Embedder) -> Loaded | None:
        split = self.data.split(self.data.seen, recipe=self.video.recipe)
        train = self._embedded(split.train, embedder)
        validation = self._embedded(split.validation, embedder) if split.validation else None
        self._fit_branch("video", self.video, train, validation, folder)
        return self._embedded(split.test, embedder) if split.test else None

    def _embedded(self, examples: Sequence[Example], embedder: Embedder) -> Loaded:
        shared: dict[str, Any] = {
            "config": self.faces,
            "embedder": embedder,
            "cache": self.cache,
        }
        stills = [example for example in examples if example.is_still]
        clips = [example for example in examples if not example.is_still]
        parts = []
        if clips:
            detector = make_detector(self.faces.detector, model=None)
            parts.append(clip_embeddings(clips, detector=detector, **shared))
        if stills:
            crops = still_crops(stills, config=self.faces)
            sequences = sequence_embeddings(crops, seed=self.options.seed, **shared)
            parts.append(Loaded(tuple(stills), sequences, excluded=()))
        # One part is passed on as it is: a copy of all FER2013's embeddings is gigabytes.
        if len(parts) == 1:
            return parts[0]
        return Loaded(
            examples=tuple(example for part in parts for example in part.examples),
            arrays=Arrays(
                np.concatenate([part.arrays.inputs for part in parts]),
                np.concatenate([part.arrays.targets for part in parts]),
            ),
            excluded=tuple(exclusion for part in parts for exclusion in part.excluded),
        )

    def _fit_branch(
        self,
        branch: str,
        design: Design,
        train: Loaded,
        validation: Loaded | None,
        folder: Path,
    ) -> None:
        recipe = self._recipe(design.recipe)
        variants = len(train.arrays.inputs) // len(train.examples)
        batches = batches_of(train.arrays, recipe, variants=variants, seed=self.options.seed)
        keras.utils.set_random_seed(self.options.seed)
        self.fitted[branch] = fitted = fit(
            design.network(batches.as_used().arrays.inputs),
            batches,
            validation=None if validation is None else validation.arrays,
            recipe=recipe,
            folder=self.options.work / branch,
            resume=self.options.resume,
            tensorboard=self.options.tensorboard and self.options.tensorboard / branch,
        )
        export_onnx(
            fitted.network,
            folder / f"{branch}.onnx",
            input_names=[fitted.network.inputs[0].name],
            output_name="probabilities",
            metadata={"mien.network": fitted.network.name},
        )
        if self.preset.calibrated:
            # Clips that chose the epoch are at hand where one is chosen; elsewhere none are spared.
            self.unseen[branch] = (
                self._validated(fitted, validation)
                if validation is not None and recipe.keep == "best"
                else self._cross_fit(branch, design, train)
            )

    def _cross_fit(self, branch: str, design: Design, train: Loaded) -> Unseen:
        unseen = cross_fit(
            train,
            design=design,
            recipe=self._recipe(design.recipe),
            seed=self.options.seed,
            folder=self.options.work / branch,
            resume=self.options.resume,
        )
        if unseen.examples:
            self.scores[f"{branch} out of fold"] = held_out_scores(
                unseen.examples, unseen.probabilities
            )
        return unseen

    def _validated(self, fitted: Fitted, validation: Loaded) -> Unseen:
        return Unseen(
            examples=validation.examples,
            probabilities=fitted.network.predict(validation.arrays.inputs, verbose=0),
            folds=fold_numbers(validation.examples, seed=self.options.seed),
        )

    def _recipe(self, recipe: Recipe) -> Recipe:
        return replace(
            recipe,
            epochs=self.options.epochs or recipe.epochs,
            variants=self.options.variants or recipe.variants,
        )

    def _trained(self, embedder: Embedder | None, tested: dict[str, Loaded]) -> Trained:
        embedding = EmbeddingConfig()
        if embedder:
            embedding = EmbeddingConfig(name=embedder.name, width=embedder.width)
        return Trained(
            preset=self.preset,
            config=Config(speech=self.speech, faces=self.faces, embedding=embedding),
            embedder=embedder,
            fitted=self.fitted,
            unseen=self.unseen,
            tested=tested,
            scores=self.scores,
            training=self._training(),
        )

    def _corpora(self) -> dict[str, int]:
        performances = {
            (example.corpus, example.key) for example in (*self.data.sounding, *self.data.seen)
        }
        return dict(sorted(Counter(corpus for corpus, _ in performances).items()))

    def _training(self) -> dict[str, Any]:
        return {
            "preset": self.options.preset,
            "corpora": self._corpora(),
            "protocol": self._protocol(),
            "leak_override": self.options.allow_leak,
            "seed": self.options.seed,
            "recipes": {
                name: {**asdict(self._recipe(recipe)), "best_epoch": self.fitted[name].epoch}
                for name, recipe in {
                    "audio": self.audio.recipe,
                    "video": self.video.recipe,
                    "expression": self.preset.expression_recipe,
                }.items()
                if recipe and name in self.fitted
            },
        }

    def _protocol(self) -> str:
        if self.options.protocol:
            held_out = f"fold {self.data.fold.name} of {self.options.protocol}"
        else:
            held_out = f"speakers {', '.join(self.options.hold_out) or 'none'}"
        return (
            f"{held_out} held out; where an epoch is chosen, it is on training clips set aside, "
            "or on the corpus's own validation part"
        )
