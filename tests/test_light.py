"""The networks of the mien preset: contracts on tiny ones, and what each must not mind."""

import mien.lab  # noqa: F401

# isort: split
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pytest
from keras import ops

from mien.config import FacesConfig, SpeechConfig
from mien.errors import InvalidArgument
from mien.lab.export import export_onnx
from mien.lab.light import (
    COUNTERS,
    FAR,
    LISTENERS,
    WEIGHERS,
    VoiceStandard,
    clip_statistics,
    embedder_of,
    expression_network,
    expression_of,
    light_audio_head,
    light_audio_trunk,
    light_video_head,
    light_video_trunk,
    voice_rows,
    voice_standard,
)
from mien.lab.panel import EachMember, answering
from mien.lab.presets import PRESETS

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword"
)

SPEECH = SpeechConfig(frames=32, mfcc=4, pitch=True)
FACES = FacesConfig(frames=10)


def made(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def answers(network: keras.Model, inputs: np.ndarray) -> np.ndarray:
    return np.asarray(network(inputs, training=False))


def features_of(rows: np.ndarray, frames: int) -> np.ndarray:
    """Lay rows of frames out as :func:`mien.speech.speech_features` does, zeros after them."""
    padded = np.zeros((frames, rows.shape[1]), np.float32)
    padded[: len(rows)] = rows
    return np.concatenate(
        [padded[:, 0], padded[:, 1], padded[:, 2:-2].ravel(), padded[:, -2], padded[:, -1]]
    )


def sounds(clips: int, *, frames: int = 32, config: SpeechConfig = SPEECH) -> np.ndarray:
    """Make features of clips that fill so many frames; no loudness or aperiodicity is negative."""
    rows = made(clips, frames, config.columns, seed=3)
    rows[..., 1] = np.abs(rows[..., 1])
    rows[..., -1] = np.abs(rows[..., -1])
    return np.stack([features_of(clip, config.frames) for clip in rows])


def listening(config: SpeechConfig, *, mean: float = 0.0, deviation: float = 1.0) -> keras.Model:
    features = keras.Input((config.frames * config.columns,))
    columns = np.ones(config.columns, np.float32)
    counted = np.ones(22 * config.columns + 3, np.float32)
    standard = VoiceStandard((mean * columns, deviation * columns), (0 * counted, counted))
    trunk = light_audio_trunk(features, config, standard=standard)
    return keras.Model(features, light_audio_head(trunk))


def light_audio(config: SpeechConfig = SPEECH) -> keras.Model:
    return answering(listening(config))


def light_video_network(config: FacesConfig, *, width: int) -> keras.Model:
    embeddings = keras.Input((config.frames, width))
    return keras.Model(embeddings, light_video_head(light_video_trunk(embeddings)))


def expression() -> keras.Model:
    return expression_network(crop_size=16, widths=(8, 12, 16), width=24)


NETWORKS: dict[str, tuple[Callable[[], keras.Model], np.ndarray]] = {
    "audio": (light_audio, sounds(4)),
    "video": (lambda: light_video_network(FACES, width=12), made(4, 10, 12)),
    "expression": (expression, made(4, 16, 16, 3) * 60),
}


@pytest.fixture(params=NETWORKS)
def contract(request: pytest.FixtureRequest) -> tuple[keras.Model, np.ndarray]:
    keras.utils.set_random_seed(0)
    build, inputs = NETWORKS[request.param]
    return build(), inputs


def test_answers_are_probabilities(contract: tuple[keras.Model, np.ndarray]) -> None:
    network, inputs = contract
    assert network.output_shape == (None, 8)
    answer = answers(network, inputs)
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
    np.testing.assert_array_equal(answers(loaded, inputs), answers(network, inputs))


def test_answers_are_the_same_in_onnx(
    contract: tuple[keras.Model, np.ndarray], tmp_path: Path
) -> None:
    network, inputs = contract
    path = tmp_path / "network.onnx"
    export_onnx(network, path, input_names=["inputs"], output_name="answers", metadata={})
    (answer,) = onnxruntime.InferenceSession(path).run(None, {"inputs": inputs})
    np.testing.assert_allclose(answer, answers(network, inputs), atol=1e-5)


def test_training_steps_lower_the_loss(contract: tuple[keras.Model, np.ndarray]) -> None:
    network, inputs = contract
    wanted = np.eye(8, dtype=np.float32)[:4]
    network.compile(keras.optimizers.Adam(1e-2), EachMember())
    losses = [float(network.train_on_batch(inputs, wanted)) for _ in range(12)]
    # Dropout shakes single steps.
    assert np.mean(losses[-3:]) < losses[0]


def test_sizes_are_within_what_a_light_bundle_allows() -> None:
    preset = PRESETS["mien"]
    voice = preset.audio(preset.speech).network(sounds(2, config=preset.speech))
    assert voice.count_params() <= 1_000_000
    assert preset.video.network(made(2, 22, 256)).count_params() <= 500_000
    assert expression_network().count_params() <= 2_000_000


def test_too_small_for_the_light_audio_network() -> None:
    with pytest.raises(InvalidArgument, match="at least 16 frames, not 15"):
        light_audio(SpeechConfig(frames=15))


@pytest.mark.parametrize(("frames", "pitch"), [(16, True), (33, True), (16, False)])
def test_the_audio_network_follows_the_config(frames: int, pitch: bool) -> None:
    config = SpeechConfig(frames=frames, mfcc=3, pitch=pitch)
    assert answers(light_audio(config), sounds(2, frames=9, config=config)).shape == (2, 8)


def test_rows_hold_log_loudness_and_pitch_where_there_is_one() -> None:
    features = sounds(2, frames=20)
    rows, heard = map(np.asarray, voice_rows(features, SPEECH))
    assert rows.shape == (2, 32, 8)
    np.testing.assert_array_equal(heard[..., 0].sum(axis=1), [20, 20])
    rate, rms, octaves, aperiodicity = (
        features[0, start : start + 20] for start in (0, 32, 32 * 6, 32 * 7)
    )
    np.testing.assert_allclose(rows[0, :20, 0], rate)
    np.testing.assert_allclose(rows[0, :20, 1], np.log10(rms + 1e-4), atol=1e-6)
    np.testing.assert_allclose(rows[0, :, 2:6].ravel(), features[0, 64 : 32 * 6])
    periodic = np.clip(1 - aperiodicity, 0, 1)
    np.testing.assert_allclose(rows[0, :20, 6], periodic, atol=1e-6)
    np.testing.assert_allclose(rows[0, :20, 7], (octaves - 1.5) * periodic, atol=1e-6)
    # Padding is neither periodic nor high.
    assert not rows[:, 20:, 6:].any()


def test_the_standard_is_of_the_frames_that_are_heard() -> None:
    training = sounds(5, frames=20)
    mean, deviation = voice_standard(training, SPEECH).rows
    heard = np.asarray(voice_rows(training, SPEECH)[0])[:, :20].reshape(100, -1)
    np.testing.assert_allclose(mean, heard.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(deviation, heard.std(axis=0), rtol=1e-4)


def test_the_standard_of_nothing_but_padding_is_finite() -> None:
    standard = voice_standard(np.zeros((2, 32 * 8), np.float32), SPEECH)
    for values in (*standard.rows, *standard.statistics):
        assert np.isfinite(values).all()


def counted_by(standard: VoiceStandard, inputs: np.ndarray) -> np.ndarray:
    """Give the statistics that the network sees."""
    features = keras.Input(inputs.shape[1:])
    vector = light_audio_trunk(features, SPEECH, standard=standard).vector
    return answers(keras.Model(features, vector), inputs)[:, -(22 * SPEECH.columns + 3) :]


def test_statistics_are_standardised_over_all_clips_however_many_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training = np.concatenate([sounds(4, frames=frames) for frames in (12, 20, 28)])
    monkeypatch.setattr("mien.lab.light.AT_ONCE", 5)
    seen = counted_by(voice_standard(training, SPEECH), training)
    inside = (np.abs(seen) < FAR).all(axis=0) & (seen.std(axis=0) > 0)
    # Where nothing was cut off, and where clips differ at all.
    assert inside.mean() > 0.9
    np.testing.assert_allclose(seen[:, inside].mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(seen[:, inside].std(axis=0), 1, atol=1e-3)


def test_a_statistic_far_from_all_that_was_heard_is_not_followed() -> None:
    standard = voice_standard(sounds(8), SPEECH)
    seen = counted_by(standard, 100 * sounds(2))
    assert np.abs(seen).max() == FAR


def test_statistics_are_of_what_is_loud() -> None:
    x = made(1, 9, 2)
    heard = np.r_[np.ones(7), 0, 0].astype(np.float32)[None, :, None]
    loudness = np.r_[-1, -1, -2.6, -1, -1, -2.4, -1, 0, 0].astype(np.float32)[None, :, None]
    found = np.asarray(clip_statistics(x, heard=heard, loudness=loudness))[0]
    assert found.shape == (22 * 2 + 3,)
    # The third is a pause, and the last two are padding.
    loud = x[0, [0, 1, 3, 4, 5, 6]]
    steps = np.diff(x[0], axis=0)[[0, 3, 4, 5]]
    normal = (loud - loud.mean(0)) / loud.std(0)
    place = (np.arange(6) + 0.5) / 6
    thirds = np.split(loud, 3)
    weights = (10 ** loudness[0])[[0, 1, 3, 4, 5, 6]]
    wanted = [
        loud.mean(0),
        np.log(loud.std(0)),
        (normal**3).mean(0),
        (normal**4).mean(0),
        loud.max(0),
        loud.min(0),
        np.abs(steps).mean(0),
        steps.std(0),
        np.maximum(steps, 0).max(0),
        np.minimum(steps, 0).min(0),
        *((loud * np.cos(np.pi * order * place)[:, None]).mean(0) for order in range(1, 6)),
        *(third.mean(0) - loud.mean(0) for third in thirds),
        *(third.std(0) for third in thirds),
        (loud * weights).sum(0) / weights.sum() - loud.mean(0),
        [0.07, 0.06, 6 / 7],
    ]
    np.testing.assert_allclose(found, np.concatenate(wanted), atol=3e-3, rtol=3e-3)


def test_statistics_in_a_network_are_those_of_arrays() -> None:
    """Keras's symbols compare by identity where arrays compare by value."""
    features, loudness = keras.Input((32, 3)), keras.Input((32, 1))
    heard = np.ones((4, 32, 1), np.float32)
    symbols = clip_statistics(features, heard=ops.ones_like(loudness), loudness=loudness)
    x, loud = made(4, 32, 3), made(4, 32, 1, seed=1)
    found = np.asarray(keras.Model([features, loudness], symbols)([x, loud]))
    np.testing.assert_allclose(
        found, np.asarray(clip_statistics(x, heard=heard, loudness=loud)), atol=1e-4
    )


def test_statistics_of_nothing_are_finite() -> None:
    nothing = np.zeros((1, 9, 1), np.float32)
    found = clip_statistics(made(1, 9, 2), heard=nothing, loudness=nothing)
    assert np.isfinite(np.asarray(found)).all()


def test_members_are_strangers_to_each_other() -> None:
    """No member's answer depends on another's weights: each is trained by itself."""
    keras.utils.set_random_seed(0)
    network = listening(SPEECH)
    inputs = sounds(3)
    before = answers(network, inputs)
    assert before.shape == (3, 2 * LISTENERS + COUNTERS + WEIGHERS, 8)
    convolutions = [x for x in network.layers if isinstance(x, keras.layers.Conv1D)]
    kernel = convolutions[0].kernel
    kernel.assign(kernel * -2.0)
    changed = np.abs(answers(network, inputs) - before).max(axis=(0, 2)) > 1e-6
    assert changed.sum() == 1


def listening_for(frames: int) -> keras.Model:
    """Build one, the same for any number of frames, to which padding is not nothing."""
    keras.utils.set_random_seed(0)
    network = listening(SpeechConfig(frames=frames, mfcc=4, pitch=True), mean=2.0, deviation=0.5)
    generator = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([generator.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return answering(network)


def test_the_audio_network_does_not_hear_padding() -> None:
    # The kernels reach 14 frames beyond the sound, so that both networks see its end alike.
    short, long = (
        answers(
            listening_for(frames),
            sounds(1, frames=40, config=SpeechConfig(frames=frames, mfcc=4, pitch=True)),
        )
        for frames in (64, 96)
    )
    np.testing.assert_allclose(short, long, atol=1e-5)
    assert short.max() < 0.9


def test_the_audio_network_answers_a_clip_of_nothing_but_padding() -> None:
    assert np.isfinite(answers(light_audio(), np.zeros((1, 32 * 8), np.float32))).all()


def test_the_video_network_does_not_lean_on_the_order_of_frames() -> None:
    network = light_video_network(FACES, width=12)
    inputs = made(3, 10, 12)
    np.testing.assert_allclose(
        answers(network, inputs), answers(network, inputs[:, ::-1]), atol=1e-6
    )


def test_the_expression_network_does_not_mind_the_light() -> None:
    keras.utils.set_random_seed(0)
    embedder = embedder_of(expression())
    noise = np.random.default_rng(0).uniform(60, 160, (1, 16, 16, 3)).astype(np.float32)
    stripes = np.zeros_like(noise) + 60
    stripes[:, ::4] = 160
    dark, bright = answers(embedder, noise - 50), answers(embedder, noise + 80)
    other = answers(embedder, stripes)
    assert np.abs(dark - bright).max() < 1e-3 * np.abs(bright).max()
    assert np.abs(other - bright).max() > 1e-1 * np.abs(bright).max()


def test_an_embedder_averages_a_crop_and_its_mirror_image() -> None:
    network = expression()
    embedder = embedder_of(network)
    assert embedder.output_shape == (None, 24)
    crops = made(2, 16, 16, 3) * 60
    plain = keras.Model(network.input, network.get_layer("embedding").output)
    mirrored = crops[:, :, ::-1]
    both = (answers(plain, crops) + answers(plain, mirrored)) / 2
    np.testing.assert_allclose(answers(embedder, crops), both, atol=1e-5)
    np.testing.assert_allclose(answers(embedder, mirrored), both, atol=1e-5)


def test_the_last_layer_answers_from_embeddings() -> None:
    network = expression()
    crops = made(2, 16, 16, 3) * 60
    plain = keras.Model(network.input, network.get_layer("embedding").output)
    said = expression_of(network, answers(plain, crops))
    np.testing.assert_allclose(said, answers(network, crops), atol=1e-6)
