from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch")

import keras  # noqa: E402

from mien.lab import torch_steps  # noqa: E402
from mien.lab.batches import Arrays, Batches  # noqa: E402
from mien.lab.fit import Fitted, Recipe, Train, fit  # noqa: E402
from mien.lab.light import expression_network  # noqa: E402
from mien.lab.moving import augment_stills  # noqa: E402

RECIPE = Recipe(
    epochs=3,
    batch_size=8,
    learning_rate=3e-3,
    schedule="cosine",
    label_smoothing=0.1,
    weight_decay=1e-2,
    keep="best",
    averages="running",
)


@pytest.fixture(autouse=True)
def whole_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare in float32, whatever this processor has."""
    monkeypatch.setattr(torch_steps, "_has_bfloat16", lambda: False)


def network(*, dropout: float = 0.0) -> keras.Model:
    keras.utils.set_random_seed(3)
    made = expression_network(crop_size=16, widths=(8, 12), width=24)
    made.get_layer("dropout_of_embedding").rate = dropout
    return made


def stills(count: int = 20) -> Arrays:
    """Pictures whose emotion is the place of a bright square."""
    chance = np.random.default_rng(1)
    emotions = np.arange(count) % 8
    crops = chance.integers(0, 60, (count, 16, 16, 3))
    for crop, emotion in zip(crops, emotions, strict=True):
        top, left = divmod(int(emotion), 4)
        crop[top * 8 : top * 8 + 4, left * 4 : left * 4 + 4] += 150
    return Arrays(crops.astype(np.uint8), np.eye(8, dtype=np.float32)[emotions])


def fitted(
    folder: Path,
    *,
    train: Train | None = torch_steps.train,
    recipe: Recipe = RECIPE,
    seed: int = 5,
    by_chance: bool = True,
    resume: bool = False,
) -> Fitted:
    """Train with dropout and augmentation, or without either."""
    return fit(
        network(dropout=0.4 if by_chance else 0.0),
        Batches(stills(), batch_size=8, seed=seed, augment=augment_stills if by_chance else None),
        validation=stills(10),
        recipe=recipe,
        folder=folder,
        resume=resume,
        train=train,
    )


def assert_close(one: Fitted, other: Fitted, tolerance: float) -> None:
    for mine, yours in zip(one.network.get_weights(), other.network.get_weights(), strict=True):
        np.testing.assert_allclose(mine, yours, atol=tolerance)


def test_answers_are_those_of_keras() -> None:
    made = network()
    made.compile(optimizer=keras.optimizers.Adam(), loss=keras.losses.CategoricalCrossentropy())
    crops = stills().inputs
    with torch.no_grad():
        said = torch.softmax(torch_steps._Twin(made).answers(crops, training=False), dim=1)
    np.testing.assert_allclose(said.numpy(), made.predict(crops, verbose=0), atol=2e-6)


@pytest.mark.slow
def test_epochs_end_where_those_of_keras_end(tmp_path: Path) -> None:
    ours = fitted(tmp_path / "torch", by_chance=False)
    keras_s = fitted(tmp_path / "keras", by_chance=False, train=None)
    assert ours.epoch == keras_s.epoch
    for row, wanted in zip(ours.history, keras_s.history, strict=True):
        assert row == pytest.approx(wanted, abs=2e-3)
    # Adam divides by the root of small squares, which makes rounding errors large; PyTorch's
    # running variance is the unbiased one.
    assert_close(ours, keras_s, 1.5e-2)


def stops_after(epochs: int) -> Train:
    def train(  # the signature of Train
        network: keras.Model,
        batches: Batches,
        *,
        epochs: int,
        initial_epoch: int,
        validation: Arrays | None,
        callbacks: Sequence[keras.callbacks.Callback],
        stop: int = epochs,
    ) -> None:
        torch_steps.train(
            network,
            batches,
            epochs=stop,
            initial_epoch=initial_epoch,
            validation=validation,
            callbacks=callbacks,
        )
        raise KeyboardInterrupt

    return train


@pytest.mark.parametrize("killed_after", [1, 2])
def test_a_resumed_run_is_an_unbroken_one(tmp_path: Path, killed_after: int) -> None:
    unbroken = fitted(tmp_path / "unbroken")
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "broken", train=stops_after(killed_after))
    resumed = fitted(tmp_path / "broken", resume=True)
    assert resumed.history == unbroken.history
    assert_close(resumed, unbroken, 0.0)


def test_chance_is_the_seed_s(tmp_path: Path) -> None:
    first, again, other = (
        fitted(tmp_path / str(place), seed=seed) for place, seed in enumerate((5, 5, 6))
    )
    assert first.history == again.history
    assert first.history != other.history


def test_it_learns(tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=40, averages="measured")
    learned = fitted(tmp_path, recipe=recipe, by_chance=False)
    assert learned.history[-1]["loss"] < 0.6 * learned.history[0]["loss"]
    answers = learned.network.predict(stills().inputs, verbose=0)
    assert (answers.argmax(axis=1) == stills().targets.argmax(axis=1)).mean() > 0.9


def test_bfloat16_is_close(monkeypatch: pytest.MonkeyPatch) -> None:
    made = network()
    made.compile(optimizer=keras.optimizers.Adam(), loss=keras.losses.CategoricalCrossentropy())
    twin = torch_steps._Twin(made)
    with torch.no_grad():
        exact = twin.answers(stills().inputs, training=False)
        monkeypatch.setattr(torch_steps, "_has_bfloat16", lambda: True)
        rounded = twin.answers(stills().inputs, training=False)
    assert 0 < float((exact - rounded).abs().max()) < 0.02
