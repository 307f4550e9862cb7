"""One network, trained: Adam, a checkpoint an epoch, the best epoch by the validation part."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import keras

from mien.errors import TrainingDataError
from mien.lab.dataset import Arrays, Batches, write_atomically


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained; the defaults are the paper's."""

    epochs: int = 100
    batch_size: int = 32
    learning_rate: float = 1e-4
    schedule: Literal["constant", "cosine"] = "constant"
    label_smoothing: float = 0.0
    weight_decay: float | None = None


@dataclass(frozen=True)
class Fitted:
    """A trained network, as it was after its best epoch."""

    network: keras.Model
    epoch: int
    """Counted from 1."""
    history: list[dict[str, float]]
    """Training and validation loss of each epoch."""


def fit(
    network: keras.Model,
    batches: Batches,
    *,
    validation: Arrays,
    recipe: Recipe,
    folder: Path,
    resume: bool,
) -> Fitted:
    """Train a network; a run that was stopped or killed loses at most the epoch it was in.

    Args:
        network: untrained; its weights are replaced when a run is resumed.
        batches: the training part.
        validation: chooses the epoch: the one with the lowest cross-entropy here.
        recipe: how to train.
        folder: where checkpoints and the history live.
        resume: go on from the checkpoint in ``folder`` when there is one; else start anew.

    Raises:
        TrainingDataError: the checkpoint was made with another recipe.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = _Checkpoint(folder, recipe)
    if resume and checkpoint.load():
        network = keras.saving.load_model(folder / checkpoint.state["last"])
    else:
        checkpoint.clear()
        _compile(network, recipe, steps=len(batches))
    done = len(checkpoint.history)
    batches.epoch = done
    if done < recipe.epochs:
        network.fit(
            batches,
            epochs=recipe.epochs,
            initial_epoch=done,
            validation_data=(validation.inputs, validation.targets),
            callbacks=[checkpoint],
            verbose="auto",
        )
    best = keras.saving.load_model(folder / "best.keras", compile=False)
    return Fitted(best, checkpoint.state["best_epoch"], checkpoint.history)


def _compile(network: keras.Model, recipe: Recipe, *, steps: int) -> None:
    rate: Any = recipe.learning_rate
    if recipe.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, decay_steps=steps * recipe.epochs)
    network.compile(
        optimizer=keras.optimizers.Adam(rate, weight_decay=recipe.weight_decay),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing),
    )


class _Checkpoint(keras.callbacks.Callback):  # type: ignore[misc] # keras is untyped
    """Keep the last and the best epoch on disk; ``state.json`` is written last, and whole."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        super().__init__()
        self.folder = folder
        self.state: dict[str, Any] = {"recipe": asdict(recipe), "history": []}

    @property
    def history(self) -> list[dict[str, float]]:
        return list(self.state["history"])

    def load(self) -> bool:
        path = self.folder / "state.json"
        if not path.exists():
            return False
        state = json.loads(path.read_text())
        if state["recipe"] != self.state["recipe"]:
            raise TrainingDataError(
                f"{self.folder} holds a run with {state['recipe']}, not {self.state['recipe']}; "
                "give the same options, or leave out --resume to start anew"
            )
        self.state = state
        return True

    def clear(self) -> None:
        for path in (self.folder / "state.json", *self.folder.glob("*.keras")):
            path.unlink(missing_ok=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        losses = {name: float(value) for name, value in (logs or {}).items()}
        earlier = [row["val_loss"] for row in self.state["history"]]
        last = f"epoch-{epoch + 1:04d}.keras"
        self._save(last)
        if not earlier or losses["val_loss"] < min(earlier):
            self._save("best.keras")
            self.state["best_epoch"] = epoch + 1
        self.state["last"] = last
        self.state["history"].append(losses)
        text = json.dumps(self.state, indent=1).encode()
        write_atomically(self.folder / "state.json", lambda file: file.write(text))
        for path in self.folder.glob("epoch-*.keras"):
            if path.name != last:
                path.unlink()

    def _save(self, name: str) -> None:
        whole = self.folder / name
        partial = whole.with_name(f"part-{name}")
        self.model.save(partial)
        partial.replace(whole)
