import mien.lab  # noqa: F401

# isort: split
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from mien.lab import settle as settling
from mien.lab.batches import Arrays, Batches
from mien.lab.fit import Recipe, fit
from mien.lab.settle import settle

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword"
)


def batches(*, clips: int = 60, batch_size: int = 20, seed: int = 0) -> Batches:
    chance = np.random.default_rng(seed)
    inputs = chance.normal(3.0, 2.0, (clips, 4)).astype(np.float32)
    targets = np.eye(8, dtype=np.float32)[(inputs[:, 0] > 3).astype(int)]
    return Batches(Arrays(inputs, targets), batch_size=batch_size, seed=seed)


def network(*, dropout: float = 0.5) -> Any:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    x = layers.Dense(6, activation="relu")(inputs)
    x = layers.BatchNormalization(name="first")(x)
    x = layers.Dropout(dropout)(x)
    x = layers.Dense(5)(x)
    x = layers.BatchNormalization(name="second")(x)
    return keras.Model(inputs, layers.Dense(8, activation="softmax")(x))


def before(model: Any, name: str, inputs: np.ndarray) -> np.ndarray:
    """Give what a layer of a network is given at use."""
    return np.asarray(keras.Model(model.input, model.get_layer(name).input)(inputs))


def test_averages_are_those_of_whole_batches_with_nothing_dropped() -> None:
    model, data = network(), batches()
    settle(model, data)
    parts = [data[number][0] for number in range(len(data))]
    first = [before(model, "first", part) for part in parts]
    layer = model.get_layer("first")
    np.testing.assert_allclose(layer.moving_mean, np.mean([x.mean(0) for x in first], 0), atol=1e-5)
    variances = np.mean([x.var(0) for x in first], 0)
    np.testing.assert_allclose(layer.moving_variance, variances, rtol=1e-4)


def test_later_layers_see_earlier_ones_as_in_the_batch() -> None:
    model, data = network(), batches(clips=20)
    settle(model, data)
    # With one batch, what is measured in training is what comes at use.
    (inputs, _) = data[0]
    given = before(model, "second", inputs)
    layer = model.get_layer("second")
    np.testing.assert_allclose(layer.moving_mean, given.mean(0), atol=1e-4)
    np.testing.assert_allclose(layer.moving_variance, given.var(0), rtol=1e-2)


def test_weights_rates_and_momenta_stay_as_they_were() -> None:
    model, data = network(), batches()
    weights = [np.array(weight) for weight in model.trainable_variables]
    settle(model, data)
    for weight, now in zip(weights, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(weight, now)
    assert {layer.momentum for layer in model.layers if hasattr(layer, "momentum")} == {0.99}
    assert {layer.rate for layer in model.layers if hasattr(layer, "rate")} == {0.5}


def test_what_it_was_before_does_not_matter() -> None:
    model, data = network(), batches()
    settle(model, data)
    once = [np.array(value) for value in model.non_trainable_variables[:4]]
    model.get_layer("first").moving_variance.assign(np.full(6, 1e3))
    settle(model, data)
    for value, now in zip(once, model.non_trainable_variables[:4], strict=True):
        np.testing.assert_allclose(value, now, rtol=1e-5)


def test_a_network_without_batch_normalisation_stays_as_it_is() -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(8)(inputs))
    weights = [np.array(weight) for weight in model.weights]
    settle(model, batches())
    for weight, now in zip(weights, model.weights, strict=True):
        np.testing.assert_array_equal(weight, now)


def test_no_more_batches_than_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "MOST_BATCHES", 1)
    model, data = network(), batches()
    settle(model, data)
    given = before(model, "first", data[0][0])
    np.testing.assert_allclose(model.get_layer("first").moving_mean, given.mean(0), atol=1e-5)


@pytest.mark.parametrize("averages", ["running", "measured"])
def test_a_recipe_says_whose_averages_are_kept(averages: Any, tmp_path: Path) -> None:
    recipe = Recipe(epochs=3, batch_size=20, averages=averages)
    trained_on = batches()
    # At use nothing is so large.
    trained_on.augment = lambda inputs, _: 2 * inputs
    fitted = [
        fit(network(), trained_on, validation=None, recipe=recipe, folder=tmp_path, resume=resume)
        for resume in (False, True)
    ]
    first, again = (np.array(x.network.get_layer("first").moving_variance) for x in fitted)
    # Resumed, nothing is trained anew, and the same is measured.
    np.testing.assert_allclose(first, again, rtol=1e-5)
    data = batches()
    data.epoch = 4
    true = np.mean(
        [before(fitted[0].network, "first", data[n][0]).var(0) for n in range(len(data))], 0
    )
    near = np.allclose(first, true, rtol=1e-3)
    assert near == (averages == "measured")


def test_what_was_trained_with_running_averages_may_be_measured_later(tmp_path: Path) -> None:
    recipe = Recipe(epochs=3, batch_size=20, averages="running")
    shared: dict[str, Any] = {"validation": None, "folder": tmp_path}
    running = fit(network(), batches(), recipe=recipe, resume=False, **shared)
    measured = fit(
        network(), batches(), recipe=replace(recipe, averages="measured"), resume=True, **shared
    )
    assert measured.history == running.history
    before, after = (
        np.array(fitted.network.get_layer("first").moving_variance)
        for fitted in (running, measured)
    )
    assert not np.allclose(before, after, rtol=1e-2)
