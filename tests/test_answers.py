"""A fold's network is trained once: its answers are kept, and only for what they follow from."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import mien.lab  # noqa: F401

# Keras reads its backend at import, so mien.lab, which chooses it, comes first.
# isort: split
import keras
import numpy as np
import pytest
from keras import layers

from mien.errors import TrainingDataError
from mien.lab import answers as answers_module
from mien.lab.answers import Answers, train_and_ask
from mien.lab.batches import Arrays, Batches
from mien.lab.files import write_atomically
from mien.lab.fit import Fitted, Recipe, fit
from mien.lab.joint import ModalityDropout

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword"
)

RECIPE = Recipe(epochs=3, batch_size=8, learning_rate=0.02, schedule="cosine", variants="one")
BEST = replace(RECIPE, keep="best")
UNSTEADY = replace(BEST, epochs=5, learning_rate=0.5, schedule="constant")
"""Far too long a step: the loss goes up and down."""


def arrays(clips: int, *, seed: int) -> Arrays:
    """Make examples whose class is their largest number."""
    inputs = np.random.default_rng(seed).normal(size=(clips, 8)).astype(np.float32)
    return Arrays(inputs, np.eye(8, dtype=np.float32)[inputs.argmax(axis=1)])


TRAINING, VALIDATION, ASKED = arrays(64, seed=1), arrays(8, seed=2), arrays(5, seed=3).inputs


def network(*, width: int = 12, name: str = "small") -> keras.Model:
    """Make a network with all kinds of chance that mien's have."""
    inputs = keras.Input((8,))
    heard, seen = (layers.Reshape((1, 4))(part) for part in (inputs[:, :4], inputs[:, 4:]))
    heard, seen = ModalityDropout()(heard, seen)
    x = layers.Flatten()(layers.Concatenate()([heard, seen]))
    x = layers.Dropout(0.4)(layers.Dense(width, activation="relu")(x))
    return keras.Model(inputs, layers.Dense(8, activation="softmax")(x), name=name)


class Interrupted(Batches):
    """Batches in the middle of whose second epoch something happens."""

    def __init__(self, *args: Any, does: Callable[[], None], **options: Any) -> None:
        super().__init__(*args, **options)
        self.does = does

    def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        if (self.epoch, place) == (2, 1):
            self.does()
        return super().__getitem__(place)


def interrupt() -> None:
    raise KeyboardInterrupt


def run(
    folder: Path,
    *,
    resume: bool = True,
    seed: int = 5,
    training: Arrays = TRAINING,
    does: Callable[[], None] = lambda: None,
    **changes: Any,
) -> Answers:
    batches = Interrupted(training, batch_size=8, seed=seed, variants=2, does=does)
    options: dict[str, Any] = {
        "build": network,
        "validation": VALIDATION,
        "asked": ASKED,
        "recipe": RECIPE,
    }
    given = options | changes
    return train_and_ask(given.pop("build"), batches, folder=folder, resume=resume, **given)


def assert_same(one: Answers, other: Answers) -> None:
    np.testing.assert_array_equal(one.probabilities, other.probabilities)
    for name in ("network", "parameters", "epoch", "history"):
        assert getattr(one, name) == getattr(other, name)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    return run(tmp_path_factory.mktemp("unbroken"))


def fit_nothing(*_: Any, **__: Any) -> Fitted:
    raise AssertionError("trained again")


class NoTraining:
    """In place of fit: gives the network as it is, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, network: keras.Model, *_: Any, folder: Path, **__: Any) -> Fitted:
        self.calls += 1
        folder.mkdir(exist_ok=True)
        (folder / "state.json").touch()
        return Fitted(network, 1, [{"loss": 0.5, "val_loss": 0.25}])


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> NoTraining:
    counting = NoTraining()
    monkeypatch.setattr(answers_module, "fit", counting)
    return counting


def test_answers_are_those_of_the_trained_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[Fitted] = []

    def noted(*args: Any, **options: Any) -> Fitted:
        fitted.append(fit(*args, **options))
        return fitted[0]

    monkeypatch.setattr(answers_module, "fit", noted)
    answers = run(tmp_path, recipe=UNSTEADY)
    (kept,) = fitted
    expected = np.asarray(kept.network(ASKED, training=False))
    np.testing.assert_allclose(answers.probabilities, expected, atol=1e-6)
    assert answers.network == "small"
    assert answers.parameters == 8 * 12 + 12 + 12 * 8 + 8
    assert answers.history == kept.history
    assert answers.epoch == 1 + int(np.argmin([row["val_loss"] for row in kept.history])) < 5
    # The checkpoints are gone.
    assert [path.name for path in tmp_path.iterdir()] == ["answers.npz"]


def test_answers_are_read_again_and_nothing_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(tmp_path)
    before = (tmp_path / "answers.npz").read_bytes()
    monkeypatch.setattr(answers_module, "fit", fit_nothing)
    assert_same(run(tmp_path), first)
    assert (tmp_path / "answers.npz").read_bytes() == before
    with pytest.raises(AssertionError, match="trained again"):
        run(tmp_path, resume=False)


CHANGES: dict[str, dict[str, Any]] = {
    "seed": {"seed": 6},
    "inputs": {"training": Arrays(TRAINING.inputs + 1, TRAINING.targets)},
    "targets": {"training": Arrays(TRAINING.inputs, TRAINING.targets[::-1])},
    "fewer clips": {"training": arrays(62, seed=1)},
    "no validation": {"validation": None},
    "validation": {"validation": arrays(8, seed=9)},
    "asked": {"asked": ASKED[::-1]},
    "epochs": {"recipe": replace(RECIPE, epochs=2)},
    "kept": {"recipe": BEST},
    "name": {"build": lambda: network(name="other")},
    "size": {"build": lambda: network(width=13)},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_network_that_would_answer_otherwise_is_trained(
    change: str, tmp_path: Path, no_training: NoTraining
) -> None:
    run(tmp_path)
    run(tmp_path)
    assert no_training.calls == 1
    run(tmp_path, **CHANGES[change])
    assert no_training.calls == 2
    # The last answers are those that are kept.
    run(tmp_path, **CHANGES[change])
    assert no_training.calls == 2


def test_the_same_seed_gives_the_same_answers_and_another_gives_others(
    unbroken: Answers, tmp_path: Path
) -> None:
    # Whatever was drawn before.
    keras.utils.set_random_seed(99)
    assert_same(run(tmp_path / "again"), unbroken)
    other = run(tmp_path / "other", seed=6)
    assert np.abs(other.probabilities - unbroken.probabilities).max() > 1e-3


def test_an_interrupted_run_answers_as_if_nothing_had_happened(
    unbroken: Answers, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, does=interrupt)
    assert (tmp_path / "state.json").exists()
    assert not (tmp_path / "answers.npz").exists()
    assert_same(run(tmp_path), unbroken)
    assert [path.name for path in tmp_path.iterdir()] == ["answers.npz"]


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_answers
def die():
    Path({folder!r}, "reached").touch()
    while True: pass
test_answers.run(Path({folder!r}), does=die)
"""


@pytest.mark.slow
def test_a_killed_run_answers_as_if_nothing_had_happened(unbroken: Answers, tmp_path: Path) -> None:
    script = KILLED.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        while not (tmp_path / "reached").exists() and process.poll() is None:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert_same(run(tmp_path), unbroken)


def test_a_run_killed_before_its_checkpoints_are_removed_has_answered(
    unbroken: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_and_stop(path: Path, write: Callable[[BinaryIO], object]) -> None:
        write_atomically(path, write)
        interrupt()

    with monkeypatch.context() as patched:
        patched.setattr(answers_module, "write_atomically", write_and_stop)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path)
    monkeypatch.setattr(answers_module, "fit", fit_nothing)
    assert_same(run(tmp_path), unbroken)


def test_half_a_run_with_other_options_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, does=interrupt)
    with pytest.raises(TrainingDataError, match="leave out --resume"):
        run(tmp_path, recipe=replace(RECIPE, epochs=2))


def stored(**changes: Any) -> Callable[[bytes], bytes]:
    """Damage an archive of arrays by what it holds."""

    def damage(content: bytes) -> bytes:
        with np.load(io.BytesIO(content)) as archive:
            held = {**archive, **changes}
        file = io.BytesIO()
        np.savez(file, **{name: value for name, value in held.items() if value is not None})
        return file.getvalue()

    return damage


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "no archive": lambda _: b"answers",
    "cut off": lambda content: content[:-200],
    "a changed byte": lambda content: content[:150] + bytes([content[150] ^ 1]) + content[151:],
    "one array": lambda _: b"\x93NUMPY\x01\x00",
    "nothing told": stored(told=None),
    "no probabilities": stored(probabilities=None),
    "no JSON": stored(told=np.array("{")),
    "no identity": stored(told=np.array("{}")),
    "no object": stored(told=np.array("[]")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_answers_are_told_and_trained_again(
    damage: str, tmp_path: Path, no_training: NoTraining, caplog: pytest.LogCaptureFixture
) -> None:
    first = run(tmp_path)
    path = tmp_path / "answers.npz"
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert_same(run(tmp_path), first)
    assert no_training.calls == 2
    assert "answers.npz is damaged" in caplog.text
    assert_same(run(tmp_path), first)
    assert no_training.calls == 2


def test_answers_without_what_is_told_of_the_network_are_damaged(
    tmp_path: Path, no_training: NoTraining
) -> None:
    run(tmp_path)
    path = tmp_path / "answers.npz"
    with np.load(path) as archive:
        told = json.loads(str(archive["told"]))
    del told["epoch"]
    path.write_bytes(stored(told=np.array(json.dumps(told)))(path.read_bytes()))
    assert run(tmp_path).epoch == 1
    assert no_training.calls == 2


def test_losses_are_written_for_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    run(tmp_path / "work", tensorboard=tmp_path / "board", recipe=replace(RECIPE, epochs=1))
    assert len(list((tmp_path / "board").glob("events*"))) == 1
