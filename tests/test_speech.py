"""mien.speech against librosa, against known answers, and against what must never happen."""

import os
from pathlib import Path
from typing import Any

import av
import librosa
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mien import speech
from mien.config import SpeechConfig
from mien.errors import InvalidArgument

CONFIG = SpeechConfig()
RATE = CONFIG.sample_rate
FEATURES = [speech.zero_crossing_rate, speech.rms, speech.mfcc, speech.speech_features]


def sine(frequency: float, *, seconds: float = 1.0, amplitude: float = 0.5) -> npt.NDArray[Any]:
    time = np.arange(round(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def noise(samples: int = RATE, *, amplitude: float = 0.1) -> npt.NDArray[Any]:
    return (amplitude * np.random.default_rng(0).standard_normal(samples)).astype(np.float32)


def click() -> npt.NDArray[Any]:
    waveform = np.zeros(RATE, dtype=np.float32)
    waveform[RATE // 2] = 1
    return waveform


MADE = {
    "sine": sine(440),
    "noise": noise(),
    "very quiet noise": noise(amplitude=1e-6),
    "around the zero threshold": noise(amplitude=1e-10),
    "silence": np.zeros(RATE, dtype=np.float32),
    "negative zeros": np.full(RATE, -0.0, dtype=np.float32),
    "constant": np.full(RATE, -0.3, dtype=np.float32),
    "click": click(),
    "sine, then silence": np.concatenate([sine(300), np.zeros(RATE, dtype=np.float32)]),
    "one sample": np.array([0.5], dtype=np.float32),
    "100 samples": noise(100),
    "2047 samples": noise(2047),
    "2048 samples": noise(2048),
}


def recorded(path: Path) -> npt.NDArray[Any]:
    with av.open(path) as container:
        stream = container.streams.audio[0]
        assert stream.rate == RATE
        blocks = [frame.to_ndarray().ravel() for frame in container.decode(stream)]
    return np.concatenate(blocks).astype(np.float32) / np.float32(32_768)


def assert_like_librosa(waveform: npt.NDArray[Any], config: SpeechConfig = CONFIG) -> None:
    windows = {"frame_length": config.frame_length, "hop_length": config.hop_length}
    rate = librosa.feature.zero_crossing_rate(waveform, **windows)[0]
    loudness = librosa.feature.rms(y=waveform, **windows)[0]
    cepstrum = librosa.feature.mfcc(
        y=waveform,
        sr=config.sample_rate,
        n_mfcc=config.mfcc,
        n_mels=config.mel_bands,
        n_fft=config.frame_length,
        hop_length=config.hop_length,
    ).T
    np.testing.assert_array_equal(speech.zero_crossing_rate(waveform, config=config), rate)
    np.testing.assert_allclose(speech.rms(waveform, config=config), loudness, rtol=0, atol=1e-6)
    np.testing.assert_allclose(speech.mfcc(waveform, config=config), cepstrum, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", MADE)
# librosa warns of clips shorter than a window, and computes them all the same.
@pytest.mark.filterwarnings("ignore:n_fft=:UserWarning")
def test_made_signals_give_librosas_numbers(name: str) -> None:
    assert_like_librosa(MADE[name])


@pytest.mark.parametrize(
    "config",
    [
        SpeechConfig(sample_rate=16_000, frame_length=1024, hop_length=160, mel_bands=64, mfcc=13),
        SpeechConfig(frame_length=1000, hop_length=333, mel_bands=40),
        SpeechConfig(sample_rate=1_900, frame_length=512, hop_length=700, mel_bands=20),
    ],
)
def test_other_configurations_give_librosas_numbers(config: SpeechConfig) -> None:
    waveform = noise()
    np.testing.assert_allclose(
        speech.zero_crossing_rate(waveform, config=config),
        librosa.feature.zero_crossing_rate(
            waveform, frame_length=config.frame_length, hop_length=config.hop_length
        )[0],
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        speech.mfcc(waveform, config=config),
        librosa.feature.mfcc(
            y=waveform,
            sr=config.sample_rate,
            n_mfcc=config.mfcc,
            n_mels=config.mel_bands,
            n_fft=config.frame_length,
            hop_length=config.hop_length,
        ).T,
        rtol=0,
        atol=1e-3,
    )


def test_recordings_give_librosas_numbers() -> None:
    folder = os.environ.get("MIEN_DATA")
    if not folder:
        pytest.skip("MIEN_DATA is not set: no RAVDESS recordings to compare on")
    recordings = sorted(Path(folder).glob("ravdess/Actor_*/*.flac"))[::29]
    assert len(recordings) == 50
    for recording in recordings:
        assert_like_librosa(recorded(recording))


def test_the_vector_is_rate_then_loudness_then_coefficients_in_time_order() -> None:
    waveform = noise(CONFIG.samples + 5_000)
    features = speech.speech_features(waveform, config=CONFIG)
    start = waveform[: CONFIG.samples]
    assert features.shape == (5_984,)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features[:272], speech.zero_crossing_rate(start, config=CONFIG))
    np.testing.assert_array_equal(features[272:544], speech.rms(start, config=CONFIG))
    np.testing.assert_array_equal(
        features[544:].reshape(272, 20), speech.mfcc(start, config=CONFIG)
    )


def test_what_comes_after_the_last_window_does_not_matter() -> None:
    waveform = noise(CONFIG.samples)
    longer = np.concatenate([waveform, sine(50, seconds=3, amplitude=1)])
    np.testing.assert_array_equal(
        speech.speech_features(longer, config=CONFIG),
        speech.speech_features(waveform, config=CONFIG),
    )


def test_windows_after_the_clips_end_are_zero() -> None:
    features = speech.speech_features(noise(10 * 512), config=CONFIG)
    for column in (features[:272], features[272:544], features[544:].reshape(272, 20)):
        assert np.all(column[:11].any(axis=-1))
        assert not column[11:].any()


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_few_windows_are_cut(frames: int) -> None:
    config = SpeechConfig(frames=frames)
    assert speech.speech_features(noise(), config=config).shape == (frames * 22,)


@pytest.mark.parametrize("frequency", [100, 440, 3000])
def test_a_sine_crosses_zero_twice_a_period(frequency: int) -> None:
    rate = speech.zero_crossing_rate(sine(frequency), config=CONFIG)[4:-4]
    np.testing.assert_allclose(rate, 2 * frequency / RATE, atol=1 / CONFIG.frame_length)


@pytest.mark.parametrize("amplitude", [1e-3, 0.5, 1.0])
def test_a_sines_loudness_is_its_amplitude_over_root_two(amplitude: float) -> None:
    loudness = speech.rms(sine(440, amplitude=amplitude), config=CONFIG)[4:-4]
    np.testing.assert_allclose(loudness, amplitude / np.sqrt(2), rtol=0.01)


def test_silence_has_only_the_first_coefficient() -> None:
    cepstrum = speech.mfcc(np.zeros(RATE, dtype=np.float32), config=CONFIG)
    # All 128 bands are at 10 log10(1e-10) dB, and the first cosine is 1/sqrt(128) everywhere.
    np.testing.assert_allclose(cepstrum[:, 0], -100 * np.sqrt(128), rtol=1e-6)
    np.testing.assert_allclose(cepstrum[:, 1:], 0, atol=1e-4)


def test_ten_times_louder_is_twenty_decibels_in_the_first_coefficient_only() -> None:
    quiet = speech.mfcc(noise(amplitude=0.01), config=CONFIG)
    loud = speech.mfcc(noise(amplitude=0.1), config=CONFIG)
    np.testing.assert_allclose((loud - quiet)[:, 0], 20 * np.sqrt(128), rtol=1e-4)
    np.testing.assert_allclose((loud - quiet)[:, 1:], 0, atol=1e-3)


def test_bands_far_below_the_loudest_are_cut_off() -> None:
    cepstrum = speech.mfcc(MADE["sine, then silence"], config=CONFIG)
    # In the silence all bands are at the floor: 80 dB below the loudest, not at -100 dB.
    assert cepstrum[-1, 0] > -100 * np.sqrt(128) + 1
    np.testing.assert_allclose(cepstrum[-1, 1:], 0, atol=1e-4)


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (np.zeros(0, dtype=np.float32), r"waveform must be .* at least one sample.*\(0,\)"),
        (np.zeros((2, 100), dtype=np.float32), r"one-dimensional.*\(2, 100\).*mono"),
        (np.float32(0.5), r"one-dimensional.*\(\)"),
        (np.array([0, np.nan, np.inf]), r"waveform must be finite.* 2 of 3 .*repair"),
        (np.array([1e300]), r"waveform must be finite.* 1 of 1 "),
        (np.zeros(100, dtype=np.int16), r"waveform must be floats.*int16.*divide"),
        (np.zeros(100, dtype=np.complex64), r"waveform must be floats.*complex64"),
    ],
)
def test_unusable_waveforms_are_refused(feature: Any, waveform: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        feature(waveform, config=CONFIG)


def test_the_waveform_is_left_as_it_was() -> None:
    waveform = noise()
    waveform.flags.writeable = False
    speech.speech_features(waveform, config=CONFIG)
    np.testing.assert_array_equal(waveform, noise())


def test_tables_are_computed_once_and_cannot_be_changed() -> None:
    table = speech._cosines(CONFIG)
    assert speech._cosines(SpeechConfig()) is table
    with pytest.raises(ValueError, match="read-only"):
        table[0, 0] = 1


WAVEFORMS = arrays.arrays(
    np.float32,
    st.integers(1, 3_000),
    elements=st.floats(allow_nan=False, allow_infinity=False, width=32),
)


@settings(max_examples=50, deadline=None)
@given(WAVEFORMS)
def test_finite_waveforms_have_finite_features(waveform: npt.NDArray[np.float32]) -> None:
    features = speech.speech_features(waveform, config=CONFIG)
    assert np.isfinite(features).all()
    assert (features[:272] >= 0).all()
    assert (features[:272] <= 1).all()
    assert (features[272:544] >= 0).all()


@settings(max_examples=25, deadline=None)
@given(
    arrays.arrays(np.float32, st.integers(1, 3_000), elements=st.floats(-1, 1, width=32)),
    st.sampled_from([-4.0, -1.0, 0.5, 8.0]),
)
def test_loudness_scales_with_the_amplitude(
    waveform: npt.NDArray[np.float32], factor: float
) -> None:
    np.testing.assert_allclose(
        speech.rms(waveform * np.float32(factor), config=CONFIG),
        abs(factor) * speech.rms(waveform, config=CONFIG),
        rtol=1e-6,
        atol=1e-37,
    )
