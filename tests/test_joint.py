"""Early and attention fusion by contract: both branches count, each is given its own numbers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mien.lab  # noqa: F401

# Keras reads its backend at import, so mien.lab, which chooses it, comes first.
# isort: split
import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.config import SpeechConfig
from mien.errors import InvalidArgument
from mien.lab.joint import (
    JOINT,
    MODALITY_DROPOUT,
    ModalityDropout,
    attention_network,
    early_network,
    joined,
)
from mien.lab.networks import Trunk
from mien.lab.presets import PRESETS, TABLE, Design

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword"
)

SPEECH = SpeechConfig(frames=32, mfcc=4)
SOUND = (32 * 6,)
LIGHT, PAPER = PRESETS["mien"], PRESETS["paper"]

PAIRS: dict[str, tuple[Design, Design, tuple[int, ...]]] = {
    "light and faces": (LIGHT.audio(SPEECH), LIGHT.video, (10, 12)),
    "light and a table of clips": (LIGHT.audio(SPEECH), TABLE, (7,)),
    "light and a table of frames": (LIGHT.audio(SPEECH), TABLE, (9, 7)),
    "paper": (PAPER.audio(SPEECH), PAPER.video, (10, 12)),
}
"""Designs of the sound and of the picture, and the shape of a picture's input."""


def made(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def clips(picture: tuple[int, ...], *, count: int = 4) -> tuple[np.ndarray, np.ndarray]:
    return made(count, *SOUND), made(count, *picture, seed=1)


def answers(network: keras.Model, inputs: np.ndarray) -> np.ndarray:
    return np.asarray(network(inputs, training=False))


@pytest.fixture(params=[(pair, name) for pair in PAIRS for name in JOINT], ids=" ".join)
def contract(
    request: pytest.FixtureRequest,
) -> tuple[keras.Model, tuple[np.ndarray, np.ndarray]]:
    keras.utils.set_random_seed(0)
    pair, name = request.param
    audio, video, picture = PAIRS[pair]
    inputs = clips(picture)
    return JOINT[name](audio, video, training=inputs), inputs


Contract = tuple[keras.Model, tuple[np.ndarray, np.ndarray]]


def test_answers_are_probabilities_of_each_clip_by_itself(contract: Contract) -> None:
    network, parts = contract
    inputs = joined(*parts)
    assert network.input_shape == (None, inputs.shape[1])
    assert network.output_shape == (None, 8)
    answer = answers(network, inputs)
    assert (answer >= 0).all()
    np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(answers(network, inputs[1:]), answer[1:], atol=1e-5)
    assert np.ptp(answer, axis=0).max() > 1e-4


def test_the_sound_counts_and_so_does_the_picture(contract: Contract) -> None:
    network, (sound, picture) = contract
    answer = answers(network, joined(sound, picture))
    assert np.abs(answers(network, joined(sound[::-1], picture)) - answer).max() > 1e-3
    assert np.abs(answers(network, joined(sound, picture[::-1])) - answer).max() > 1e-3


def test_save_and_load(contract: Contract, tmp_path: Path) -> None:
    network, parts = contract
    inputs = joined(*parts)
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    assert loaded.name == network.name
    np.testing.assert_array_equal(answers(loaded, inputs), answers(network, inputs))


@pytest.mark.slow
def test_training_steps_lower_the_loss(contract: Contract) -> None:
    network, parts = contract
    wanted = np.eye(8, dtype=np.float32)[:4]
    network.compile(keras.optimizers.Adam(1e-2), "categorical_crossentropy")
    losses = [float(network.train_on_batch(joined(*parts), wanted)) for _ in range(12)]
    # Dropout shakes single steps.
    assert np.mean(losses[-3:]) < losses[0]


@pytest.mark.parametrize("name", JOINT)
def test_the_number_of_clips_does_not_change_the_size(name: str) -> None:
    audio, video, picture = PAIRS["light and a table of frames"]
    few, many = (
        JOINT[name](audio, video, training=clips(picture, count=count)) for count in (3, 11)
    )
    assert few.name == many.name == name
    assert [w.shape for w in few.get_weights()] == [w.shape for w in many.get_weights()]


def size_of(design: Design, training: np.ndarray) -> tuple[int, int]:
    """Count a trunk's parameters, and the numbers it gives."""
    inputs = keras.Input(training.shape[1:])
    vector = design.trunk(inputs, training).vector
    return keras.Model(inputs, vector).count_params(), vector.shape[1]


def test_early_fusion_is_two_trunks_under_one_head() -> None:
    audio, video, picture = PAIRS["light and faces"]
    training = clips(picture)
    network = early_network(audio, video, training=training)
    (heard, sounds), (seen, pictures) = (
        size_of(design, part) for design, part in zip((audio, video), training, strict=True)
    )
    head = (sounds + pictures + 1) * 96 + (96 + 1) * 8
    assert network.count_params() == heard + seen + head


class Spy:
    """A design whose trunk passes on what it is given, and remembers it."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.training = np.empty(0)

    def __call__(self, features: keras.KerasTensor, training: np.ndarray) -> Trunk:
        self.training = training
        self.features = features
        steps = keras.layers.Reshape((self.shape[0], -1))(features)
        return Trunk(steps, None, keras.layers.Flatten()(features))

    @property
    def design(self) -> Design:
        return replace(TABLE, trunk=self)


@pytest.mark.parametrize("build", JOINT.values(), ids=JOINT)
@pytest.mark.parametrize("picture", [(6,), (3, 2)])
def test_each_branch_is_given_its_own_numbers_as_they_were(
    picture: tuple[int, ...], build: Callable[..., keras.Model]
) -> None:
    heard, seen = Spy((5,)), Spy(picture)
    training = (made(4, 5), made(4, *picture, seed=1))
    network = build(heard.design, seen.design, training=training)
    given = keras.Model(network.input, [heard.features, seen.features])
    parts = (made(3, 5, seed=2), made(3, *picture, seed=3))
    for told, spy, part, all_clips in zip(
        given(joined(*parts)), (heard, seen), parts, training, strict=True
    ):
        np.testing.assert_array_equal(np.asarray(told), part)
        assert spy.training is all_clips


@given(
    st.integers(0, 4),
    st.lists(st.integers(1, 4), min_size=1, max_size=2),
    st.lists(st.integers(1, 4), min_size=1, max_size=2),
)
def test_joined_inputs_are_the_sound_then_the_picture(
    count: int, sound: list[int], picture: list[int]
) -> None:
    audio, video = made(count, *sound).astype(np.float64), made(count, *picture, seed=1)
    both = joined(audio, video)
    assert both.dtype == np.float32
    numbers = int(np.prod(sound))
    assert both.shape == (count, numbers + int(np.prod(picture)))
    np.testing.assert_array_equal(both[:, :numbers].reshape(audio.shape), audio.astype(np.float32))
    np.testing.assert_array_equal(both[:, numbers:].reshape(video.shape), video)


def features_of(rows: np.ndarray, frames: int) -> np.ndarray:
    """Lay rows of frames out as :func:`mien.speech.speech_features` does, zeros after them."""
    padded = np.zeros((frames, rows.shape[1]), np.float32)
    padded[: len(rows)] = rows
    return np.concatenate([padded[:, 0], padded[:, 1], padded[:, 2:].ravel()])[None]


def attention_for(frames: int) -> keras.Model:
    """Build one, the same for any number of frames, to which padding is not nothing."""
    keras.utils.set_random_seed(0)
    audio = LIGHT.audio(SpeechConfig(frames=frames, mfcc=4))
    training = (np.ones((1, frames * 6), np.float32), np.ones((1, 10, 12), np.float32))
    network = attention_network(audio, LIGHT.video, training=training)
    generator = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([generator.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return network


def test_attention_does_not_hear_padding() -> None:
    # The kernels reach 14 frames beyond the sound, so that both networks see its end alike.
    sound, picture = made(40, 6, seed=3), made(1, 10, 12, seed=4)
    short, long = (
        answers(attention_for(frames), joined(features_of(sound, frames), picture))
        for frames in (64, 96)
    )
    np.testing.assert_allclose(short, long, atol=1e-5)
    assert short.max() < 0.9


def dropped(rate: float, *, count: int, training: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Tell which clips of ones lost their sound, and which their picture."""
    layer = ModalityDropout(rate)
    heard, seen = layer(np.ones((count, 3, 2)), np.ones((count, 4, 5)), training=training)
    lost = []
    for part in (np.asarray(heard), np.asarray(seen)):
        # A whole clip or nothing of it, and what stays is not scaled.
        flat = part.reshape(count, -1)
        assert (flat == flat[:, :1]).all()
        assert set(flat[:, 0].tolist()) <= {0.0, 1.0}
        lost.append(flat[:, 0] == 0)
    return lost[0], lost[1]


@pytest.mark.parametrize("rate", [0.1, MODALITY_DROPOUT, 0.5])
def test_either_is_dropped_as_often_as_stated_and_never_both(rate: float) -> None:
    keras.utils.set_random_seed(0)
    sound, picture = dropped(rate, count=4000)
    assert not (sound & picture).any()
    # Four standard deviations of a share of 4,000 are at most 0.032.
    assert sound.mean() == pytest.approx(rate, abs=0.032)
    assert picture.mean() == pytest.approx(rate, abs=0.032)


@pytest.mark.parametrize(("rate", "training"), [(0.0, True), (0.5, False)])
def test_nothing_is_dropped_at_a_rate_of_nothing_or_outside_training(
    rate: float, training: bool
) -> None:
    sound, picture = dropped(rate, count=200, training=training)
    assert not sound.any()
    assert not picture.any()


def test_clips_are_dropped_anew_each_time() -> None:
    keras.utils.set_random_seed(0)
    layer = ModalityDropout(0.5)
    first, second = (
        np.asarray(layer(np.ones((64, 1, 1)), np.ones((64, 1, 1)), training=True)[0])
        for _ in range(2)
    )
    assert (first != second).any()


@given(st.one_of(st.floats(max_value=-1e-9), st.floats(min_value=0.5 + 1e-9), st.just(np.nan)))
@settings(deadline=None)
def test_a_rate_at_which_both_would_be_dropped_is_refused(rate: float) -> None:
    with pytest.raises(InvalidArgument, match=r"rate must be within 0 to 0\.5, not "):
        ModalityDropout(rate)


def test_the_rate_is_saved() -> None:
    layer = ModalityDropout(0.4, name="either")
    loaded: Any = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert isinstance(loaded, ModalityDropout)
    assert (loaded.rate, loaded.name) == (0.4, "either")


def test_attention_alone_drops_modalities() -> None:
    audio, video, picture = PAIRS["light and faces"]
    for name, rates in (("early", []), ("attention", [MODALITY_DROPOUT])):
        network = JOINT[name](audio, video, training=clips(picture))
        found = [layer.rate for layer in network.layers if isinstance(layer, ModalityDropout)]
        assert found == rates
