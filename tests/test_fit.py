"""A training that was stopped ends as one that was not; the epoch kept is the one asked for."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import mien.lab  # noqa: F401

# Keras reads its backend at import, so mien.lab, which chooses it, comes first.
# isort: split
import jax
import keras
import numpy as np
import pytest
from keras import layers

from mien.errors import InvalidArgument, TrainingDataError
from mien.lab import fit as fit_module
from mien.lab.batches import Arrays, Batches
from mien.lab.fit import Fitted, Recipe, batches_of, fit

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword"
)

RECIPE = Recipe(
    epochs=4,
    batch_size=16,
    learning_rate=0.02,
    schedule="cosine",
    label_smoothing=0.1,
    weight_decay=1e-3,
    keep="best",
)
UNSTEADY = Recipe(epochs=6, batch_size=16, learning_rate=0.5, averages="running")
"""Far too long a step: the loss goes up and down."""


def arrays(examples: int = 64, *, seed: int = 1) -> Arrays:
    """Make examples whose class is their largest number."""
    inputs = np.random.default_rng(seed).normal(size=(examples, 8)).astype(np.float32)
    return Arrays(inputs, np.eye(8, dtype=np.float32)[inputs.argmax(axis=1)])


def network() -> keras.Model:
    """Make a network that holds everything whose state a checkpoint could lose."""
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(12, activation="relu"),
            layers.Dropout(0.5),
            layers.BatchNormalization(),
            layers.Dense(12, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(8, activation="softmax"),
        ]
    )


class Interrupted(Batches):
    """Batches in the middle of which something happens."""

    def __init__(self, *args: Any, at: tuple[int, int], does: Callable[[], None]) -> None:
        super().__init__(args[0], batch_size=16, seed=5)
        self.at = at
        self.does = does

    def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        # Keras looks at a batch, and ends an epoch, before the first.
        if (self.epoch, place) == self.at:
            self.does()
        return super().__getitem__(place)


def interrupt() -> None:
    raise KeyboardInterrupt


VALIDATION = arrays(32, seed=2)


def run(
    folder: Path,
    *,
    resume: bool = False,
    batches: Batches | None = None,
    recipe: Recipe = RECIPE,
    seed: int = 5,
    data: Arrays | None = None,
    validation: Arrays | None = VALIDATION,
    tensorboard: Path | None = None,
) -> Fitted:
    return fit(
        network(),
        batches or Batches(data or arrays(), batch_size=16, seed=seed),
        validation=validation,
        recipe=recipe,
        folder=folder,
        resume=resume,
        tensorboard=tensorboard,
    )


def assert_same(one: Fitted, other: Fitted) -> None:
    assert one.history == other.history
    assert one.epoch == other.epoch
    for mine, yours in zip(one.network.get_weights(), other.network.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, yours)


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Most of these runs differ in nothing that is compiled."""
    wanted = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0,
    }
    with ExitStack() as stack:
        for name, value in wanted.items():
            stack.callback(jax.config.update, name, getattr(jax.config, name))
            jax.config.update(name, value)  # type: ignore[no-untyped-call]
        yield


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return run(tmp_path_factory.mktemp("unbroken"))


def test_the_same_seed_gives_the_same_weights(unbroken: Fitted, tmp_path: Path) -> None:
    assert len(unbroken.history) == 4
    assert_same(run(tmp_path), unbroken)


@pytest.mark.parametrize("epoch", [1, 2, 4])
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(
    epoch: int, unbroken: Fitted, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, batches=Interrupted(arrays(), at=(epoch, 2), does=interrupt))
    assert (tmp_path / "state.json").exists() == (epoch > 1)
    # Python's own chance is where it would never be in an unbroken run.
    keras.utils.set_random_seed(99)
    assert_same(run(tmp_path, resume=True), unbroken)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "best.keras",
        "epoch-0004.keras",
        "state.json",
    ]


@pytest.mark.parametrize("name", ["best.keras", "state.json"])
def test_a_run_killed_between_two_files_goes_on(
    name: str, unbroken: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        if name == "state.json":
            patched.setattr(fit_module, "write_atomically", lambda *_: interrupt())
        else:
            patched.setattr(fit_module._Checkpoint, "_save", _save_unless_best)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path)
    assert_same(run(tmp_path, resume=True), unbroken)


def _save_unless_best(self: Any, name: str) -> None:
    self.model.save(self.folder / f"part-{name}")
    if name == "best.keras":
        interrupt()


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_fit
def die():
    Path({folder!r}, "reached").touch()
    while True: pass
test_fit.run(Path({folder!r}), batches=test_fit.Interrupted(test_fit.arrays(), at=(2, 1), does=die))
"""


def test_a_killed_run_loses_one_epoch_at_most(unbroken: Fitted, tmp_path: Path) -> None:
    script = KILLED.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL) as process:
        while not (tmp_path / "reached").exists() and process.poll() is None:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert len(json.loads((tmp_path / "state.json").read_text())["history"]) == 1
    assert_same(run(tmp_path, resume=True), unbroken)


def test_a_finished_run_is_not_trained_further(unbroken: Fitted, tmp_path: Path) -> None:
    run(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert_same(run(tmp_path, resume=True), unbroken)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_without_resume_a_run_starts_anew(unbroken: Fitted, tmp_path: Path) -> None:
    run(tmp_path, data=arrays(seed=7), recipe=replace(RECIPE, epochs=1))
    assert_same(run(tmp_path), unbroken)


def validation_loss(fitted: Fitted) -> float:
    fitted.network.compile(loss="categorical_crossentropy")
    loss = fitted.network.evaluate(VALIDATION.inputs, VALIDATION.targets, verbose=0)
    return float(loss)


def test_the_best_epoch_is_the_one_with_the_lowest_validation_loss(tmp_path: Path) -> None:
    fitted = run(tmp_path, recipe=replace(UNSTEADY, keep="best"))
    losses = [row["val_loss"] for row in fitted.history]
    assert fitted.epoch == int(np.argmin(losses)) + 1 < 6
    assert validation_loss(fitted) == pytest.approx(min(losses), rel=1e-5)


def test_the_last_epoch_is_kept_although_an_earlier_one_was_better(tmp_path: Path) -> None:
    fitted = run(tmp_path, recipe=UNSTEADY)
    losses = [row["val_loss"] for row in fitted.history]
    assert fitted.epoch == 6
    assert min(losses) < losses[-1]
    assert validation_loss(fitted) == pytest.approx(losses[-1], rel=1e-5)
    assert not (tmp_path / "best.keras").exists()


def test_the_last_epoch_needs_no_validation_and_nothing_is_learned_from_one(
    tmp_path: Path,
) -> None:
    recipe = replace(RECIPE, keep="last", epochs=2)
    alone = run(tmp_path / "alone", recipe=recipe, validation=None)
    watched = run(tmp_path / "watched", recipe=recipe)
    assert [set(row) for row in alone.history] == [{"loss"}] * 2
    assert [row["loss"] for row in watched.history] == [row["loss"] for row in alone.history]
    for mine, yours in zip(alone.network.get_weights(), watched.network.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, yours)


def test_the_best_epoch_cannot_be_chosen_without_validation(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"validation must be given .* keeps the best"):
        run(tmp_path / "folder", validation=None)
    assert not (tmp_path / "folder").exists()


def rates(fitted: Fitted) -> list[float]:
    rate = fitted.network.optimizer._learning_rate
    return [float(rate(step) if callable(rate) else rate) for step in (0, 8, 16)]


def test_a_rate_stays_or_falls_to_nothing_by_the_last_step(
    unbroken: Fitted, tmp_path: Path
) -> None:
    # Four batches of 16 an epoch, four epochs.
    assert rates(unbroken) == pytest.approx([0.02, 0.01, 0.0], abs=1e-6)
    constant = replace(RECIPE, schedule="constant", epochs=1)
    assert rates(run(tmp_path, recipe=constant)) == pytest.approx([0.02] * 3)


def test_another_recipe_is_refused(tmp_path: Path) -> None:
    run(tmp_path, recipe=replace(RECIPE, epochs=1))
    with pytest.raises(TrainingDataError, match=r"'epochs': 1.* not .*'epochs': 4.* start anew"):
        run(tmp_path, resume=True)


def test_at_a_constant_rate_a_run_may_be_made_longer_but_not_shorter(tmp_path: Path) -> None:
    long = replace(UNSTEADY, learning_rate=0.02, epochs=3)
    unbroken = run(tmp_path / "unbroken", recipe=long)
    run(tmp_path / "longer", recipe=replace(long, epochs=2))
    assert_same(run(tmp_path / "longer", recipe=long, resume=True), unbroken)
    with pytest.raises(TrainingDataError, match="holds 3 epochs already"):
        run(tmp_path / "longer", recipe=replace(long, epochs=2), resume=True)


@pytest.mark.parametrize("other", [{"data": arrays(seed=2)}, {"seed": 6}])
def test_other_data_are_refused(other: dict[str, Any], tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=1)
    run(tmp_path, recipe=recipe)
    with pytest.raises(TrainingDataError, match="on other data, or with another seed"):
        run(tmp_path, resume=True, recipe=recipe, **other)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"recipe": 1}'])
def test_a_damaged_state_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(TrainingDataError, match="start anew"):
        run(tmp_path, resume=True)


@pytest.mark.parametrize("name", ["epoch-0001.keras", "best.keras"])
@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04"])
def test_a_missing_or_damaged_epoch_is_told(
    name: str, content: bytes | None, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, epochs=1)
    run(tmp_path, recipe=recipe)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TrainingDataError, match=rf"{name} is missing or damaged; .* start anew"):
        run(tmp_path, resume=True, recipe=recipe)


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    broken = arrays()
    broken.inputs[3] = np.nan
    with pytest.raises(TrainingDataError, match="loss of epoch 1 is not finite"):
        run(tmp_path, data=broken)
    assert list(tmp_path.iterdir()) == []


def test_empty_parts_are_told(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="the train part has no examples"):
        run(tmp_path, data=arrays(0))
    with pytest.raises(TrainingDataError, match="the validation part has no examples"):
        run(tmp_path, validation=arrays(0))


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == fit_module.__name__]


def test_a_log_is_told_slow_epochs_and_gets_no_bar(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO)
    recipe = replace(RECIPE, epochs=2)
    run(tmp_path / "fast", recipe=recipe)
    assert told(caplog) == []
    monkeypatch.setattr(fit_module, "SECONDS_A_LINE", 0.0)
    history = run(tmp_path / "slow", recipe=recipe).history
    assert [line.partition(": ")[2] for line in told(caplog)] == [
        f"epoch {epoch} of 2, loss {row['loss']:.3f}, val_loss {row['val_loss']:.3f}"
        for epoch, row in enumerate(history, start=1)
    ]
    assert capfd.readouterr().out == ""


def test_batches_are_as_the_recipe_wants_them() -> None:
    recipe = replace(RECIPE, variants="one", as_is=0.7, batch_size=7)
    batches = batches_of(arrays(24), recipe, variants=4, seed=3)
    assert (batches.variants, batches.as_is, batches.batch_size, batches.seed) == (4, 0.7, 7, 3)
    assert batches_of(arrays(24), replace(recipe, as_is=None), variants=4, seed=3).as_is == 0.25
    assert batches_of(arrays(24), replace(recipe, variants="all"), variants=4, seed=3).variants == 1


def test_a_run_of_before_a_choice_was_there_is_taken_up(tmp_path: Path) -> None:
    one = run(tmp_path)
    state = json.loads((tmp_path / "state.json").read_text())
    del state["recipe"]["as_is"]
    (tmp_path / "state.json").write_text(json.dumps(state))
    assert_same(one, run(tmp_path, resume=True))
