"""One network, trained: Adam, a checkpoint an epoch, the best or the last epoch kept."""

import hashlib
import json
import logging
import sys
import time
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import keras
import numpy as np

from mien.errors import InvalidArgument, TrainingDataError
from mien.lab.batches import Arrays, Batches
from mien.lab.files import write_atomically
from mien.lab.panel import EachMember, answering
from mien.lab.settle import settle
from mien.lab.tensorboard import TensorBoard

logger = logging.getLogger(__name__)

SECONDS_A_LINE = 20.0
"""Epochs that follow each other faster than this are not each told in the log."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained; the defaults are the paper's."""

    epochs: int = 100
    batch_size: int = 32
    learning_rate: float = 1e-4
    schedule: Literal["constant", "cosine"] = "constant"
    label_smoothing: float = 0.0
    weight_decay: float | None = None
    variants: Literal["all", "one"] = "all"
    """Of the augmented variants of a training clip, each epoch sees all or one drawn afresh."""
    as_is: float | None = None
    """Share of clips that an epoch sees as they are, where it sees one variant of each; ``None``
    when all variants are drawn alike."""
    keep: Literal["best", "last"] = "last"
    """The epoch whose weights are kept: the one with the lowest validation loss, or the last."""
    averages: Literal["running", "measured"] = "measured"
    """What batch normalisation uses at the end: the averages that it kept while the weights moved,
    or those that the final weights give; see :func:`mien.lab.settle.settle`."""


def batches_of(arrays: Arrays, recipe: Recipe, *, variants: int, seed: int) -> Batches:
    """Give training clips in batches, as a recipe wants them.

    Args:
        arrays: all rows.
        recipe: says how many rows a batch has, and which variants an epoch sees.
        variants: so many rows that follow each other are one clip, the first as it is.
        seed: of shuffles and draws.
    """
    return Batches(
        arrays,
        batch_size=recipe.batch_size,
        seed=seed,
        variants=variants if recipe.variants == "one" else 1,
        as_is=recipe.as_is,
    )


class Train(Protocol):
    """What runs a network's epochs, and tells callbacks of each."""

    def __call__(  # noqa: PLR0913 - what keras.Model.fit takes
        self,
        network: keras.Model,
        batches: Batches,
        *,
        epochs: int,
        initial_epoch: int,
        validation: Arrays | None,
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> None:
        """Train from one epoch to another, in place."""


@dataclass(frozen=True)
class Fitted:
    """A trained network, as it was after the epoch that was kept."""

    network: keras.Model
    """That answers: its members, where it has several, together."""
    epoch: int
    """Counted from 1."""
    history: list[dict[str, float]]
    """Training loss of each epoch, and validation loss where there is a validation part."""


def fit(  # noqa: PLR0913 - network, two parts of data, how, where, whether anew
    network: keras.Model,
    batches: Batches,
    *,
    validation: Arrays | None,
    recipe: Recipe,
    folder: Path,
    resume: bool,
    tensorboard: Path | None = None,
    train: Train | None = None,
) -> Fitted:
    """Train a network; a run that was stopped or killed loses at most the epoch it was in.

    A resumed run ends with the weights of an unbroken one: all chance is drawn from the seed and
    the epoch's number.

    Args:
        network: untrained; on resuming, the checkpoint's takes its place.
        batches: the training part.
        validation: chooses the epoch when the recipe keeps the best: the one with the lowest loss
            here, with the recipe's label smoothing as in training; ``None`` when nothing is chosen.
        recipe: how to train.
        folder: where checkpoints and the history live.
        resume: go on from the checkpoint in ``folder`` when there is one; else start anew. At a
            constant learning rate the recipe may ask for more epochs than before.
        tensorboard: folder that TensorBoard reads losses from; ``None`` for none.
        train: what runs the epochs; ``None`` for Keras itself.

    Raises:
        InvalidArgument: the recipe keeps the best epoch and there is nothing to choose it by.
        TrainingDataError: a part is empty; the loss is not finite; the checkpoint was made with
            another recipe or other data, or is damaged.
    """
    if validation is None and recipe.keep == "best":
        raise InvalidArgument("validation must be given when the recipe keeps the best epoch")
    _require_rows(train=batches.arrays, validation=validation)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = _Checkpoint(folder, recipe, batches=batches, validation=validation)
    if resume and checkpoint.load():
        network = _load(folder / checkpoint.state["last"])
    else:
        checkpoint.clear()
        _compile(network, recipe, steps=len(batches))
    done = len(checkpoint.history)
    batches.epoch = done
    if done < recipe.epochs:
        (train or _train)(
            network,
            batches,
            epochs=recipe.epochs,
            initial_epoch=done,
            validation=validation,
            callbacks=[checkpoint, *([TensorBoard(tensorboard)] if tensorboard else [])],
        )
    kept, epoch = checkpoint.state["last"], recipe.epochs
    if recipe.keep == "best":
        kept, epoch = "best.keras", checkpoint.state["best_epoch"]
    network = _load(folder / kept)
    if recipe.averages == "measured":
        used = batches.as_used()
        # Of an epoch that was not trained on, the same after a resumed run.
        used.epoch = recipe.epochs + 1
        settle(network, used)
    return Fitted(answering(network), epoch, checkpoint.history)


def _train(  # noqa: PLR0913 - what Train takes
    network: keras.Model,
    batches: Batches,
    *,
    epochs: int,
    initial_epoch: int,
    validation: Arrays | None,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    network.fit(
        batches,
        epochs=epochs,
        initial_epoch=initial_epoch,
        validation_data=validation and (validation.inputs, validation.targets),
        callbacks=callbacks,
        # Keras would shuffle the batches again, by chance that no checkpoint holds.
        shuffle=False,
        # A bar would leave hundreds of lines in a log, which is told epochs instead.
        verbose="auto" if sys.stdout.isatty() else 0,
    )


def _compile(network: keras.Model, recipe: Recipe, *, steps: int) -> None:
    rate: Any = recipe.learning_rate
    if recipe.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, decay_steps=steps * recipe.epochs)
    network.compile(
        optimizer=keras.optimizers.Adam(rate, weight_decay=recipe.weight_decay),
        loss=EachMember(label_smoothing=recipe.label_smoothing),
    )


def _require_rows(**parts: Arrays | None) -> None:
    for name, arrays in parts.items():
        if arrays is not None and not len(arrays.inputs):
            raise TrainingDataError(f"the {name} part has no examples left; give more data")


def _load(path: Path) -> keras.Model:
    try:
        return keras.saving.load_model(path)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise TrainingDataError(
            f"{path} is missing or damaged; leave out --resume to start anew"
        ) from error


def fingerprint(batches: Batches, validation: Arrays | None) -> str:
    """Hash what is trained on: nobody may be tested who an earlier run was trained on."""
    digest = hashlib.sha256(str(batches.seed).encode())
    for arrays in filter(None, (batches.arrays, validation)):
        for array in (arrays.inputs, arrays.targets):
            digest.update(str(array.shape).encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _lasting(recipe: dict[str, Any]) -> dict[str, Any]:
    """Give what a resumed run must share; what is ``None`` may be missing in an older one.

    What is measured when the weights are final may be another; at a constant rate, so may the
    run's length.
    """
    free = {"averages", "epochs"} if recipe.get("schedule") == "constant" else {"averages"}
    return {name: value for name, value in recipe.items() if name not in free and value is not None}


class _Checkpoint(keras.callbacks.Callback):  # type: ignore[misc] # keras is untyped
    """Keep the last and the best epoch on disk; ``state.json`` is written last, and whole.

    An epoch that was killed before that is run again, just as it was, and its files replaced.
    """

    def __init__(
        self, folder: Path, recipe: Recipe, *, batches: Batches, validation: Arrays | None
    ) -> None:
        super().__init__()
        self.folder = folder
        self.seed = batches.seed
        self.told = time.monotonic()
        self.state: dict[str, Any] = {
            "recipe": asdict(recipe),
            "data": fingerprint(batches, validation),
            "history": [],
        }

    @property
    def history(self) -> list[dict[str, float]]:
        return list(self.state["history"])

    def load(self) -> bool:
        path = self.folder / "state.json"
        if not path.exists():
            return False
        try:
            state = json.loads(path.read_text())
            recipe, data = state["recipe"], state["data"]
        except (ValueError, TypeError, KeyError) as error:
            raise TrainingDataError(
                f"{path} is damaged ({error}); leave out --resume to start anew"
            ) from error
        if _lasting(recipe) != _lasting(self.state["recipe"]):
            raise TrainingDataError(
                f"{self.folder} holds a run with {recipe}, not {self.state['recipe']}; "
                "give the same options, or leave out --resume to start anew"
            )
        if data != self.state["data"]:
            raise TrainingDataError(
                f"{self.folder} holds a run on other data, or with another seed; "
                "give the same options, or leave out --resume to start anew"
            )
        done, wanted = len(state["history"]), self.state["recipe"]["epochs"]
        if done > wanted:
            raise TrainingDataError(
                f"{self.folder} holds {done} epochs already; ask for as many or more, or leave out "
                "--resume to start anew"
            )
        self.state = {**state, "recipe": self.state["recipe"]}
        return True

    def clear(self) -> None:
        for path in (self.folder / "state.json", *self.folder.glob("*.keras")):
            path.unlink(missing_ok=True)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        # Keras saves no state of dropout's chance.
        states = [v for v in self.model.variables if v.name == "seed_generator_state"]
        for place, state in enumerate(states):
            chance = np.random.SeedSequence([self.seed, epoch, place])
            state.assign(np.array([*chance.generate_state(1), 0], np.uint32))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        losses = {name: float(value) for name, value in (logs or {}).items()}
        if not np.isfinite(list(losses.values())).all():
            raise TrainingDataError(
                f"the loss of epoch {epoch + 1} is not finite ({losses}); look for features that "
                "are not finite, or train with a lower learning rate"
            )
        last = f"epoch-{epoch + 1:04d}.keras"
        self._save(last)
        if self.state["recipe"]["keep"] == "best":
            self._keep_best(epoch, losses["val_loss"])
        self.state["last"] = last
        self.state["history"].append(losses)
        self._tell(epoch, losses)
        text = json.dumps(self.state, indent=1).encode()
        write_atomically(self.folder / "state.json", lambda file: file.write(text))
        for path in self.folder.glob("epoch-*.keras"):
            if path.name != last:
                path.unlink()

    def _tell(self, epoch: int, losses: dict[str, float]) -> None:
        if time.monotonic() - self.told >= SECONDS_A_LINE:
            self.told = time.monotonic()
            told = ", ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
            epochs = self.state["recipe"]["epochs"]
            logger.info("%s: epoch %d of %d, %s", self.model.name, epoch + 1, epochs, told)

    def _keep_best(self, epoch: int, loss: float) -> None:
        if all(loss < row["val_loss"] for row in self.state["history"]):
            self._save("best.keras")
            self.state["best_epoch"] = epoch + 1

    def _save(self, name: str) -> None:
        whole = self.folder / name
        partial = whole.with_name(f"part-{name}")
        self.model.save(partial)
        partial.replace(whole)
