"""What TensorBoard is given are the losses of the history, once each, also of a resumed run."""

import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mien.lab  # noqa: F401

# Keras reads its backend at import, so mien.lab, which chooses it, comes first.
# isort: split
import keras
import numpy as np
import pytest
from keras import layers

from mien.errors import MissingDependency
from mien.lab.batches import Arrays, Batches
from mien.lab.fit import Fitted, Recipe, fit
from mien.lab.tensorboard import TensorBoard

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword"
)

INPUTS = np.random.default_rng(1).normal(size=(32, 8)).astype(np.float32)
DATA = Arrays(INPUTS, np.eye(8, dtype=np.float32)[INPUTS.argmax(axis=1)])


def events(path: Path) -> list[Any]:
    """Read an event file: records of a length, its checksum, an event and its checksum."""
    from tensorboardX.proto.event_pb2 import Event

    content, read = path.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        read.append(Event.FromString(content[12 : 12 + length]))
        content = content[12 + length + 4 :]
    return read


def points(folder: Path) -> list[tuple[str, int, float]]:
    """Collect name, step and value of all that was written to a folder."""
    return sorted(
        (value.tag, event.step, value.simple_value)
        for path in folder.iterdir()
        for event in events(path)
        for value in event.summary.value
    )


def soon(look: Callable[[], list[Any]], *, count: int) -> list[Any]:
    """Look until there are so many, for ten seconds at most."""
    end = time.monotonic() + 10
    while len(look()) < count and time.monotonic() < end:
        time.sleep(0.1)
    return look()


def of_history(history: list[dict[str, float]]) -> list[tuple[str, int, float]]:
    """Give what is to be written, in the precision that the format has."""
    return sorted(
        (name, epoch, float(np.float32(loss)))
        for epoch, losses in enumerate(history, start=1)
        for name, loss in losses.items()
    )


class Interrupted(Batches):
    """Batches that end in the middle of the third epoch."""

    def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        if (self.epoch, place) == (3, 1):
            raise KeyboardInterrupt
        return super().__getitem__(place)


def run(folder: Path, *, kind: type[Batches] = Batches, resume: bool = False) -> Fitted:
    keras.utils.set_random_seed(0)
    return fit(
        keras.Sequential([keras.Input((8,)), layers.Dense(8, activation="softmax")]),
        kind(DATA, batch_size=16, seed=0),
        validation=DATA,
        recipe=Recipe(epochs=4, batch_size=16, learning_rate=0.02),
        folder=folder / "work",
        resume=resume,
        tensorboard=folder / "board",
    )


@pytest.fixture
def installed() -> None:
    pytest.importorskip("tensorboardX")


@pytest.mark.usefixtures("installed")
def test_losses_of_each_epoch_can_be_read_back(tmp_path: Path) -> None:
    history = run(tmp_path).history
    assert {name for name, _, _ in points(tmp_path / "board")} == {"loss", "val_loss"}
    assert points(tmp_path / "board") == of_history(history)
    (file,) = (tmp_path / "board").iterdir()
    # TensorBoard finds files by this part of their name, and looks for this before the losses.
    assert "tfevents" in file.name
    assert events(file)[0].file_version == "brain.Event:2"
    # A finished run that is resumed has nothing more to tell.
    run(tmp_path, resume=True)
    assert list((tmp_path / "board").iterdir()) == [file]


@pytest.mark.usefixtures("installed")
def test_a_resumed_run_goes_on_in_the_same_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, kind=Interrupted)
    # Were the process killed now, there would be the epochs that will not be run again.
    begun = soon(lambda: points(tmp_path / "board"), count=2 * 2)
    assert {epoch for _, epoch, _ in begun} == {1, 2}
    # Files are named by the second in which they were begun.
    for file in (tmp_path / "board").iterdir():
        file.rename(file.with_name(f"{file.name}.first"))
    history = run(tmp_path, resume=True).history
    assert len(history) == 4
    assert points(tmp_path / "board") == of_history(history)
    assert set(begun) < set(of_history(history))


def test_a_missing_package_is_named_with_its_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(MissingDependency, match=r"--tensorboard needs .* pip install tensorboardX"):
        TensorBoard(tmp_path / "board")
    assert not (tmp_path / "board").exists()
