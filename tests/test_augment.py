"""mien.lab.augment on made signals with known answers."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mien.config import SpeechConfig
from mien.errors import InvalidArgument
from mien.lab.augment import FFT_SIZE, NOISE_LEVEL, SEMITONES, add_noise, pitch_shift, variants

CONFIG = SpeechConfig()
RATE = CONFIG.sample_rate


def sine(frequency: float, *, samples: int = RATE, amplitude: float = 0.5) -> npt.NDArray[Any]:
    wave = amplitude * np.sin(2 * np.pi * frequency * np.arange(samples) / RATE)
    return wave.astype(np.float32)


def strongest_frequency(waveform: npt.NDArray[Any]) -> float:
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(waveform.size)))
    return float(np.argmax(spectrum) * RATE / waveform.size)


class Always:
    """A stand-in for a generator whose uniform draw is known."""

    def __init__(self, share: float) -> None:
        self.share = share

    def uniform(self) -> float:
        return self.share

    def standard_normal(self, size: int, dtype: Any) -> npt.NDArray[Any]:
        return np.random.default_rng(0).standard_normal(size, dtype=dtype)


@pytest.mark.parametrize(
    ("semitones", "frequency"), [(12, 880.0), (-12, 220.0), (7, 659.3), (0, 440.0), (0.5, 452.9)]
)
def test_a_shifted_sine_peaks_where_music_theory_says(semitones: float, frequency: float) -> None:
    shifted = pitch_shift(sine(440), sample_rate=RATE, semitones=semitones)
    assert strongest_frequency(shifted) == pytest.approx(frequency, abs=2)


def test_a_shift_keeps_the_speed() -> None:
    burst = np.concatenate([np.zeros(RATE), sine(440), np.zeros(RATE)]).astype(np.float32)
    shifted = pitch_shift(burst, sample_rate=RATE, semitones=4)
    before, within, after = np.square(shifted).reshape(3, RATE).mean(axis=1)
    # A phase vocoder without phase locking loses up to 3 dB, and smears by a window.
    assert 0.0625 < within < 0.15
    assert max(before, after) < within / 100


def test_no_shift_changes_next_to_nothing() -> None:
    np.testing.assert_allclose(
        pitch_shift(sine(440), sample_rate=RATE, semitones=0), sine(440), atol=1e-3
    )


@pytest.mark.parametrize("samples", [1, 100, FFT_SIZE - 1, FFT_SIZE, RATE + 1])
@pytest.mark.parametrize("semitones", [-12, 1.7, 24])
def test_a_shift_keeps_the_length(samples: int, semitones: float) -> None:
    shifted = pitch_shift(sine(300, samples=samples), sample_rate=RATE, semitones=semitones)
    assert shifted.shape == (samples,)
    assert shifted.dtype == np.float32
    assert np.isfinite(shifted).all()


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("amplitude", [0.01, 0.8])
def test_noise_has_the_stated_level(share: float, amplitude: float) -> None:
    clean = sine(440, amplitude=amplitude)
    rng: Any = Always(share)
    noise = add_noise(clean, rng=rng, level=0.1) - clean
    assert noise.std() == pytest.approx(0.1 * share * amplitude, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=0.1 * share * amplitude / 50)


def test_noise_is_white() -> None:
    clean = np.full(RATE, 0.5, dtype=np.float32)
    noise = add_noise(clean, rng=np.random.default_rng(1)) - clean
    power = np.square(np.abs(np.fft.rfft(noise)))[1:11_001].reshape(4, -1).mean(axis=1)
    np.testing.assert_allclose(power / power.mean(), 1, atol=0.1)


def test_noise_of_many_draws_stays_below_the_level() -> None:
    clean = np.full(1_000, 0.5, dtype=np.float32)
    rng = np.random.default_rng(0)
    deviations = [(add_noise(clean, rng=rng) - clean).std() for _ in range(200)]
    assert max(deviations) < NOISE_LEVEL * 0.5 * 1.1
    assert np.mean(deviations) == pytest.approx(NOISE_LEVEL * 0.5 / 2, rel=0.1)


def test_loud_waveforms_are_not_clipped() -> None:
    loud = np.ones(RATE, dtype=np.float32)
    assert add_noise(loud, rng=np.random.default_rng(0)).max() > 1


def test_variants_are_as_is_noise_pitch_and_both() -> None:
    clean = sine(440)
    as_is, noisy, shifted, both = variants(clean, rng=np.random.default_rng(7), config=CONFIG)
    np.testing.assert_array_equal(as_is, clean)
    assert 0 < np.abs(noisy - clean).std() < NOISE_LEVEL * 0.5
    assert strongest_frequency(noisy) == pytest.approx(440, abs=1)
    moved = 12 * np.log2(strongest_frequency(shifted) / 440)
    assert 0.05 < abs(moved) <= SEMITONES
    assert strongest_frequency(both) == pytest.approx(strongest_frequency(shifted), abs=1)
    assert 0 < np.abs(both - shifted).std() < NOISE_LEVEL * np.abs(shifted).max()
    for variant in (as_is, noisy, shifted, both):
        assert variant.shape == clean.shape
        assert variant.dtype == np.float32


def test_the_two_noises_differ() -> None:
    clean = sine(440)
    as_is, noisy, shifted, both = variants(clean, rng=np.random.default_rng(7), config=CONFIG)
    assert abs(np.corrcoef(noisy - as_is, both - shifted)[0, 1]) < 0.05


def test_equal_generators_give_equal_variants() -> None:
    first, again, other = (
        variants(sine(440), rng=np.random.default_rng(seed), config=CONFIG) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[1], other[1])
    assert not np.array_equal(first[2], other[2])


def test_silence_stays_silent() -> None:
    silence = np.zeros(RATE, dtype=np.float32)
    for variant in variants(silence, rng=np.random.default_rng(0), config=CONFIG):
        np.testing.assert_array_equal(variant, silence)


def test_the_waveform_is_left_as_it_was() -> None:
    clean = sine(440)
    clean.flags.writeable = False
    variants(clean, rng=np.random.default_rng(0), config=CONFIG)
    np.testing.assert_array_equal(clean, sine(440))


@pytest.mark.parametrize("level", [-0.1, np.nan, np.inf])
def test_impossible_levels_are_refused(level: float) -> None:
    with pytest.raises(InvalidArgument, match=r"level must be .* at least 0, not .*customary"):
        add_noise(sine(440), rng=np.random.default_rng(0), level=level)


@pytest.mark.parametrize("semitones", [25, -np.inf, np.nan])
def test_impossible_shifts_are_refused(semitones: float) -> None:
    with pytest.raises(InvalidArgument, match="semitones must be within two octaves"):
        pitch_shift(sine(440), sample_rate=RATE, semitones=semitones)


def test_unusable_waveforms_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="waveform must be finite"):
        variants(np.array([np.nan]), rng=np.random.default_rng(0), config=CONFIG)
