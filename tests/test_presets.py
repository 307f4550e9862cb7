"""The presets: which networks they build, and what those standardise by."""

import mien.lab  # noqa: F401

# isort: split
import keras
import numpy as np
import pytest

from mien.config import SpeechConfig
from mien.lab.networks import Standardise
from mien.lab.panel import answering
from mien.lab.presets import PRESETS, TABLE, Design

SPEECH = SpeechConfig(frames=32, mfcc=4)


def clips(*, lengths: list[int], config: SpeechConfig = SPEECH, seed: int = 0) -> np.ndarray:
    """Make speech features of clips that are so many frames long, padded with zeros."""
    generator = np.random.default_rng(seed)
    rows = generator.normal(5.0, 2.0, (len(lengths), config.frames, config.columns))
    for row, length in zip(rows, lengths, strict=True):
        row[length:] = 0.0
    flat = [rows[:, :, 0], rows[:, :, 1], rows[:, :, 2:].reshape(len(rows), -1)]
    return np.concatenate(flat, axis=1).astype(np.float32)


def standardised(design: Design, training: np.ndarray, features: np.ndarray) -> np.ndarray:
    network = design.network(training)
    (layer,) = [layer for layer in network.layers if isinstance(layer, Standardise)]
    return np.asarray((features - layer.mean) / layer.deviation)


def test_a_rare_long_clip_is_no_outlier_to_the_paper_s_network() -> None:
    training = clips(lengths=[20] * 50 + [32])
    values = standardised(PRESETS["paper"].audio(SPEECH), training, training)
    # Number by number, the late frames of the one long clip would stand at 7.
    assert np.abs(values).max() < 6
    heard = training != 0
    assert values[heard].mean() == pytest.approx(0, abs=0.05)
    assert values[heard].std() == pytest.approx(1, abs=0.05)
    assert values[-1].var() == pytest.approx(1, abs=0.3)


def test_each_kind_has_one_mean_and_deviation_for_all_frames() -> None:
    frames = SPEECH.frames
    network = PRESETS["paper"].audio(SPEECH).network(clips(lengths=[20, 25, 32]))
    (layer,) = [layer for layer in network.layers if isinstance(layer, Standardise)]
    deviation = np.asarray(layer.deviation)
    assert len(np.unique(deviation[:frames])) == len(np.unique(deviation[frames : 2 * frames])) == 1
    cepstra = deviation[2 * frames :].reshape(frames, SPEECH.mfcc)
    assert (cepstra == cepstra[0]).all()
    assert len(np.unique(cepstra[0])) == SPEECH.mfcc


@pytest.mark.parametrize(
    ("design", "shape", "name"),
    [
        (PRESETS["paper"].audio(SPEECH), (32 * 6,), "paper_audio"),
        (PRESETS["mien"].audio(SPEECH), (32 * 6,), "light_audio"),
        (PRESETS["paper"].video, (10, 12), "paper_video"),
        (PRESETS["mien"].video, (10, 12), "light_video"),
        (TABLE, (7,), "table"),
        (TABLE, (9, 7), "table"),
    ],
)
def test_designs_build_networks_of_the_input_s_shape(
    design: Design, shape: tuple[int, ...], name: str
) -> None:
    network = design.network(np.ones((3, *shape), np.float32))
    assert isinstance(network, keras.Model)
    assert network.input_shape == (None, *shape)
    assert answering(network).output_shape == (None, 8)
    assert network.name == name


def test_the_paper_s_recipe_is_the_paper_s() -> None:
    recipe = PRESETS["paper"].audio(SPEECH).recipe
    assert recipe == PRESETS["paper"].video.recipe
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (100, 32, 1e-4)
    assert (recipe.schedule, recipe.keep, recipe.variants) == ("constant", "last", "all")


def test_the_light_voice_is_annealed_to_its_last_epoch() -> None:
    recipe = PRESETS["mien"].audio(SPEECH).recipe
    assert (recipe.schedule, recipe.keep, recipe.variants) == ("cosine", "last", "one")
