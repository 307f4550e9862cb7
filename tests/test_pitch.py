"""The pitch of windows, against tones of known pitch and librosa's numbers."""

import os
from pathlib import Path

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.config import SpeechConfig
from mien.media import open_clip
from mien.pitch import HIGHEST, LOWEST, pitch
from mien.speech import speech_features

RATE = 22_050
LENGTH = 2_048


def windows(waveform: np.ndarray) -> np.ndarray:
    padded = np.pad(waveform.astype(np.float64), LENGTH // 2)
    return np.lib.stride_tricks.sliding_window_view(padded, LENGTH)[::512]


def voice(hertz: float, *, seconds: float = 0.5) -> np.ndarray:
    """Make a pulse train's likeness: ten harmonics, the higher the weaker."""
    time = np.arange(int(RATE * seconds)) / RATE
    sound = np.zeros(len(time))
    for order in range(1, 11):
        sound += np.sin(2 * np.pi * hertz * order * time + order) / order
    return sound


@given(st.floats(70, 700))
@settings(deadline=None, max_examples=30)
def test_a_voice_has_the_pitch_of_its_first_harmonic(hertz: float) -> None:
    found = pitch(windows(voice(hertz))[3:-3], sample_rate=RATE)
    np.testing.assert_allclose(found.hertz, hertz, rtol=0.01)
    assert (found.aperiodicity < 0.1).all()


def test_noise_has_none() -> None:
    noise = np.random.default_rng(0).normal(size=RATE)
    assert (pitch(windows(noise), sample_rate=RATE).aperiodicity > 0.3).all()


def test_silence_has_none() -> None:
    found = pitch(np.zeros((2, LENGTH)), sample_rate=RATE)
    assert np.isfinite(found.hertz).all()
    np.testing.assert_array_equal(found.aperiodicity, 1)


@given(st.integers(0, 10_000), st.floats(-12, 4))
@settings(deadline=None, max_examples=30)
def test_whatever_is_heard_the_numbers_are_within_range(seed: int, loudness: float) -> None:
    generator = np.random.default_rng(seed)
    sound = generator.normal(size=LENGTH) * generator.choice([0, 1], LENGTH) * 10**loudness
    found = pitch(sound[None], sample_rate=RATE)
    # A parabola's lowest point may lie beyond the last lag by less than one.
    assert LOWEST * 0.98 <= found.hertz[0] <= HIGHEST * 1.05
    assert np.isfinite(found.aperiodicity).all()


@pytest.mark.parametrize("gain", [1e-3, 1.0, 1e3])
def test_gain_changes_nothing(gain: float) -> None:
    rows = windows(voice(150))
    plain, other = pitch(rows, sample_rate=RATE), pitch(rows * gain, sample_rate=RATE)
    np.testing.assert_allclose(other.hertz, plain.hertz, rtol=1e-6)


def test_the_numbers_are_librosa_s_for_a_gliding_voice() -> None:
    time = np.arange(RATE) / RATE
    phase = 2 * np.pi * (120 * time + 100 * time**2)
    sound = np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.01 * np.cos(7.3 * phase)
    wanted = librosa.yin(sound, fmin=LOWEST, fmax=HIGHEST, sr=RATE)
    np.testing.assert_allclose(pitch(windows(sound), sample_rate=RATE).hertz, wanted, rtol=1e-5)


@pytest.mark.skipif("MIEN_DATA" not in os.environ, reason="MIEN_DATA names no folder of data")
def test_the_numbers_are_librosa_s_for_real_voices() -> None:
    files = sorted(Path(os.environ["MIEN_DATA"]).glob("ravdess/Actor_*/*.flac"))[::288]
    assert len(files) == 5
    for path in files:
        with open_clip(path, frames=1, sample_rate=RATE, samples=100_000) as clip:
            assert clip.waveform is not None
            sound = clip.waveform.astype(np.float64)
        found = pitch(windows(sound), sample_rate=RATE)
        wanted = librosa.yin(sound, fmin=LOWEST, fmax=HIGHEST, sr=RATE)
        pitched = found.aperiodicity < 0.5
        assert pitched.mean() > 0.2
        np.testing.assert_allclose(found.hertz[pitched], wanted[pitched], rtol=1e-4)


def test_speech_features_end_in_octaves_and_aperiodicity() -> None:
    config = SpeechConfig(pitch=True, frames=30)
    sound = voice(130, seconds=0.4)
    row = speech_features(sound, config=config)
    plain = speech_features(sound, config=SpeechConfig(frames=30))
    np.testing.assert_array_equal(row[: len(plain)], plain)
    octaves, aperiodicity = row[len(plain) :].reshape(2, 30)
    np.testing.assert_allclose(octaves[3:14], 1.0, atol=0.01)
    assert (aperiodicity[3:14] < 0.1).all()
    # Where the clip has ended there are zeros, as in all features.
    assert not octaves[18:].any()
    assert not aperiodicity[18:].any()
