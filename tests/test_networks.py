"""The networks by contract: shapes, sizes, save and load, one training step, the same in ONNX."""

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import mien.lab  # noqa: F401

# Keras reads its backend at import, so mien.lab, which chooses it, comes first.
# isort: split
import keras
import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.config import FacesConfig, SpeechConfig
from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument
from mien.lab.export import export_onnx
from mien.lab.networks import (
    Standardise,
    paper_audio_head,
    paper_audio_trunk,
    paper_video_head,
    paper_video_trunk,
    standardisation,
    table_head,
    table_trunk,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword"
)

SPEECH = SpeechConfig(frames=32, mfcc=4)
FACES = FacesConfig(frames=10)


def ones_and_zeros(columns: int) -> dict[str, np.ndarray]:
    return {"mean": np.zeros(columns, np.float32), "deviation": np.ones(columns, np.float32)}


def paper_audio_network(
    config: SpeechConfig, *, mean: np.ndarray, deviation: np.ndarray
) -> keras.Model:
    features = keras.Input((config.frames * config.columns,))
    trunk = paper_audio_trunk(features, mean=mean, deviation=deviation)
    return keras.Model(features, paper_audio_head(trunk))


def paper_video_network(config: FacesConfig, *, width: int) -> keras.Model:
    embeddings = keras.Input((config.frames, width))
    return keras.Model(embeddings, paper_video_head(paper_video_trunk(embeddings)))


def table_network(
    shape: tuple[int, ...], *, mean: np.ndarray, deviation: np.ndarray
) -> keras.Model:
    features = keras.Input(shape)
    return keras.Model(features, table_head(table_trunk(features, mean=mean, deviation=deviation)))


def table(*shape: int) -> keras.Model:
    return table_network(shape, **ones_and_zeros(shape[-1]))


def paper_audio(config: SpeechConfig = SPEECH) -> keras.Model:
    return paper_audio_network(config, **ones_and_zeros(config.frames * config.columns))


NETWORKS: dict[str, tuple[Callable[[], keras.Model], tuple[int, ...]]] = {
    "paper audio": (paper_audio, (32 * 6,)),
    "paper video": (lambda: paper_video_network(FACES, width=12), (10, 12)),
    "table of clips": (lambda: table(7), (7,)),
    "table of frames": (lambda: table(9, 7), (9, 7)),
}


def made(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def answers(network: keras.Model, inputs: np.ndarray) -> np.ndarray:
    return np.asarray(network(inputs, training=False))


def flat_numbers(network: keras.Model) -> int:
    (flat,) = [layer for layer in network.layers if isinstance(layer, keras.layers.Flatten)]
    return int(flat.output.shape[1])


def shaken(network: keras.Model) -> keras.Model:
    """Give normalisations the statistics of a trained network: fresh ones do nothing."""
    generator = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([generator.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return network


@pytest.fixture(params=NETWORKS)
def contract(request: pytest.FixtureRequest) -> tuple[keras.Model, np.ndarray]:
    keras.utils.set_random_seed(0)
    build, shape = NETWORKS[request.param]
    return build(), made(4, *shape)


def test_answers_are_probabilities(contract: tuple[keras.Model, np.ndarray]) -> None:
    network, inputs = contract
    assert network.output_shape == (None, len(EMOTIONS))
    answer = answers(network, inputs)
    assert answer.shape == (4, 8)
    assert (answer >= 0).all()
    np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-5)


def test_clips_are_answered_each_by_itself(contract: tuple[keras.Model, np.ndarray]) -> None:
    network, inputs = contract
    alone = np.concatenate([answers(network, row[None]) for row in inputs])
    np.testing.assert_allclose(answers(network, inputs), alone, atol=1e-5)
    assert np.ptp(alone, axis=0).max() > 1e-4


def test_save_and_load(contract: tuple[keras.Model, np.ndarray], tmp_path: Path) -> None:
    network, inputs = contract
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    assert loaded.name == network.name
    np.testing.assert_array_equal(answers(loaded, inputs), answers(network, inputs))


def test_training_steps_lower_the_loss(contract: tuple[keras.Model, np.ndarray]) -> None:
    network, inputs = contract
    wanted = np.eye(8, dtype=np.float32)[:4]
    network.compile(keras.optimizers.Adam(1e-2), "categorical_crossentropy")
    losses = [float(network.train_on_batch(inputs, wanted)) for _ in range(12)]
    # Dropout shakes single steps.
    assert np.mean(losses[-3:]) < losses[0]


def test_the_papers_audio_network_has_the_papers_size() -> None:
    network = paper_audio(SpeechConfig())
    assert network.input_shape == (None, 5984)
    assert flat_numbers(network) == 23_936
    kinds = [type(layer).__name__ for layer in network.layers]
    dropped = [place for place, kind in enumerate(kinds) if kind == "Dropout"]
    poolings = [place for place, kind in enumerate(kinds) if kind == "MaxPooling1D"]
    # After the second, fourth and fifth of five.
    assert [poolings.index(place - 1) + 1 for place in dropped] == [2, 4, 5]
    # Each kernel and its offsets, and four numbers a channel of each normalisation.
    sizes = [(5, 1, 512), (5, 512, 512), (5, 512, 256), (3, 256, 256), (3, 256, 128)]
    convolutions = sum(kernel * taken * given + 5 * given for kernel, taken, given in sizes)
    dense = (23_936 + 1 + 4) * 512 + (512 + 1) * 8
    standard = 2 * 5984
    assert network.count_params() == standard + convolutions + dense


def test_the_papers_video_network_has_the_papers_size() -> None:
    network = paper_video_network(FacesConfig(), width=768)
    assert flat_numbers(network) == 48_640
    assert network.count_params() == 6_253_640


@pytest.mark.parametrize(("frames", "width"), [(10, 10), (11, 384), (30, 16)])
def test_the_papers_video_network_follows_the_config(frames: int, width: int) -> None:
    network = paper_video_network(FacesConfig(frames=frames), width=width)
    assert network.input_shape == (None, frames, width)
    assert answers(network, made(2, frames, width)).shape == (2, 8)


@pytest.mark.parametrize(("frames", "width"), [(9, 768), (22, 9), (1, 1)])
def test_too_small_for_the_papers_video_network(frames: int, width: int) -> None:
    with pytest.raises(InvalidArgument, match=f"at least 10 frames .* not {frames} and {width}"):
        paper_video_network(FacesConfig(frames=frames), width=width)


@pytest.mark.parametrize("frames", [16, 33])
def test_the_papers_audio_network_follows_the_config(frames: int) -> None:
    network = paper_audio(SpeechConfig(frames=frames, mfcc=3))
    assert answers(network, made(2, frames * 5)).shape == (2, 8)


STANDARDISED: dict[str, tuple[Callable[..., keras.Model], int]] = {
    "paper audio": (partial(paper_audio_network, SPEECH), SPEECH.frames * SPEECH.columns),
    "table of clips": (partial(table_network, (7,)), 7),
    "table of frames": (partial(table_network, (9, 7)), 7),
}
"""Networks that standardise their input, and by how many columns."""


@pytest.mark.parametrize("name", STANDARDISED)
@pytest.mark.parametrize("wrong", ["mean", "deviation"])
def test_a_mean_of_another_shape_is_refused(wrong: str, name: str) -> None:
    build, columns = STANDARDISED[name]
    values = {**ones_and_zeros(columns), wrong: np.ones(3, np.float32)}
    with pytest.raises(InvalidArgument, match=rf"{wrong} must have shape \({columns},\), not \(3,"):
        build(**values)


@given(
    st.lists(
        st.lists(st.floats(-1e4, 1e4, width=32), min_size=3, max_size=3), min_size=1, max_size=20
    )
)
@settings(deadline=None)
def test_standardised_columns_have_mean_zero_and_deviation_one(rows: list[list[float]]) -> None:
    features = np.array(rows, np.float32)
    features[:, 2] = features[0, 2]
    mean, deviation = standardisation(features)
    assert mean.dtype == deviation.dtype == np.float32
    assert deviation[2] == 1
    standard = (features.astype(np.float64) - mean) / deviation
    scale = 1e-5 * (1 + np.abs(features).max(axis=0) / deviation)
    assert (np.abs(standard.mean(axis=0)) < scale).all()
    varies = features.std(axis=0, dtype=np.float64) >= 1e-6
    assert (np.abs(standard.std(axis=0) - varies) < scale + 1e-4).all()


def give_weights(network: keras.Model, other: keras.Model) -> None:
    """Make two networks alike in all but what they standardise by."""
    for mine, theirs in zip(other.layers, network.layers, strict=True):
        if not isinstance(mine, Standardise):
            mine.set_weights(theirs.get_weights())


@pytest.mark.parametrize("name", STANDARDISED)
def test_networks_standardise_their_input(name: str) -> None:
    keras.utils.set_random_seed(0)
    build, columns = STANDARDISED[name]
    plain = build(**ones_and_zeros(columns))
    mean, deviation = np.full(columns, 7, np.float32), np.full(columns, 3, np.float32)
    moved = build(mean=mean, deviation=deviation)
    give_weights(plain, moved)
    inputs = made(3, *plain.input_shape[1:])
    np.testing.assert_allclose(answers(moved, inputs * 3 + 7), answers(plain, inputs), atol=1e-5)
    assert np.abs(answers(moved, inputs) - answers(plain, inputs)).max() > 1e-3


MEAN, DEVIATION = np.array([1, -2, 3], np.float32), np.array([0.5, 2, 4], np.float32)


@pytest.mark.parametrize("shape", [(4, 3), (4, 5, 3)])
def test_a_standardised_column_is_subtracted_from_and_divided(shape: tuple[int, ...]) -> None:
    inputs = made(*shape)
    standard = np.asarray(Standardise(MEAN, DEVIATION)(inputs))
    np.testing.assert_allclose(standard, (inputs - MEAN) / DEVIATION, rtol=1e-6)


def test_what_is_standardised_by_is_kept_by_saving_and_not_learned(tmp_path: Path) -> None:
    inputs = keras.Input((3,))
    standard = Standardise(MEAN, DEVIATION)(inputs)
    network = keras.Model(inputs, keras.layers.Dense(8, activation="softmax")(standard))
    network.compile(keras.optimizers.Adam(0.1, weight_decay=0.5), "categorical_crossentropy")
    network.train_on_batch(made(4, 3), np.eye(8, dtype=np.float32)[:4])
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    (layer,) = [layer for layer in loaded.layers if isinstance(layer, Standardise)]
    assert layer.trainable_variables == []
    for kept, wanted in zip(layer.get_weights(), (MEAN, DEVIATION), strict=True):
        np.testing.assert_array_equal(kept, wanted)


def test_nothing_to_standardise_by_leaves_numbers_as_they_are() -> None:
    inputs = made(4, 3)
    np.testing.assert_array_equal(np.asarray(Standardise()(inputs)), inputs)


def trunk_shapes(*shape: int) -> tuple[Any, ...]:
    trunk = table_trunk(keras.Input(shape), **ones_and_zeros(shape[-1]))
    return trunk.sequence.shape, trunk.present, trunk.vector.shape


def test_a_table_is_seen_as_one_step_a_row() -> None:
    assert trunk_shapes(7) == ((None, 1, 64), None, (None, 64))
    # Of several rows their mean and their spread.
    assert trunk_shapes(9, 7) == ((None, 9, 64), None, (None, 128))


@pytest.mark.slow
@pytest.mark.parametrize("branch", ["audio", "video"])
def test_full_size_networks_answer_alike_in_onnx(branch: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    build: dict[str, Callable[[], keras.Model]] = {
        "audio": lambda: paper_audio(SpeechConfig()),
        "video": lambda: paper_video_network(FacesConfig(), width=768),
    }
    network, path = shaken(build[branch]()), tmp_path / "network.onnx"
    export_onnx(network, path, input_names=["inputs"], output_name="answers", metadata={})
    session = onnxruntime.InferenceSession(path)
    for batch, scale in itertools.product((1, 3), (0.1, 1.0)):
        inputs = made(batch, *network.input_shape[1:], seed=batch) * scale
        (answer,) = session.run(None, {"inputs": inputs.astype(np.float32)})
        np.testing.assert_allclose(answer, answers(network, inputs), atol=1e-5)
