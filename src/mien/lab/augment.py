"""More training clips out of each: with noise, at another pitch, and with both.

The paper (Srihari & Bhaskaran, 2024) trains on each recording four times, in these four ways; the
amounts are those customary for RAVDESS. Never used on a clip that is tested or predicted.
"""

import numpy as np
import numpy.typing as npt
from librosa.effects import pitch_shift as shift_like_librosa

from mien.config import SpeechConfig
from mien.errors import InvalidArgument
from mien.speech import checked_waveform

Floats = npt.NDArray[np.float32]

NOISE_LEVEL = 0.035
"""Highest standard deviation of the noise, as a share of the waveform's largest amplitude."""
SEMITONES = 2.0
"""Largest shift of the pitch, up or down: less than voices of one sex differ among themselves."""
FFT_SIZE = 2_048
"""Samples of librosa's analysis window, which it cannot fill from a shorter waveform."""


def add_noise(
    waveform: npt.ArrayLike, *, rng: np.random.Generator, level: float = NOISE_LEVEL
) -> Floats:
    """Add white Gaussian noise of a random loudness.

    Args:
        waveform: amplitudes, floats in shape (samples,).
        rng: draws the loudness, then the noise.
        level: highest standard deviation of the noise, as a share of the waveform's largest
            amplitude; the one used is drawn uniformly from [0, level).

    Returns:
        Amplitudes, shape (samples,), not clipped: they may leave [-1, 1].

    Raises:
        InvalidArgument: the level is negative or not finite, or the waveform is unusable.

    >>> quiet = np.zeros(4, dtype=np.float32)
    >>> add_noise(quiet, rng=np.random.default_rng(0))
    array([0., 0., 0., 0.], dtype=float32)
    """
    if not 0 <= level < np.inf:
        raise InvalidArgument(
            f"level must be a share of the largest amplitude of at least 0, not {level}; "
            f"{NOISE_LEVEL} is customary"
        )
    samples = checked_waveform(waveform)
    deviation = level * rng.uniform() * float(np.abs(samples).max())
    noise = rng.standard_normal(samples.size, dtype=np.float32)
    return samples + np.float32(deviation) * noise


def pitch_shift(waveform: npt.ArrayLike, *, sample_rate: int, semitones: float) -> Floats:
    """Raise or lower the pitch without changing the speed.

    A phase vocoder stretches time, resampling undoes the stretch: ``librosa.effects.pitch_shift``.

    Args:
        waveform: amplitudes, floats in shape (samples,).
        sample_rate: Hz.
        semitones: twelfths of an octave, positive upwards.

    Returns:
        Amplitudes, shape (samples,), not clipped: they may leave [-1, 1].

    Raises:
        InvalidArgument: the shift is not finite or more than two octaves, or the waveform is
            unusable.

    >>> pitch_shift(np.zeros(1000, dtype=np.float32), sample_rate=22_050, semitones=1.5).shape
    (1000,)
    """
    if not abs(semitones) <= 24:
        raise InvalidArgument(
            f"semitones must be within two octaves, -24 to 24, not {semitones}; "
            "speech is not recognisable beyond"
        )
    samples = checked_waveform(waveform)
    filled = np.pad(samples, (0, max(0, 2 * FFT_SIZE - samples.size)))
    shifted: Floats = shift_like_librosa(filled, sr=sample_rate, n_steps=semitones, n_fft=FFT_SIZE)
    return shifted[: samples.size]


def variants(
    waveform: npt.ArrayLike, *, rng: np.random.Generator, config: SpeechConfig
) -> list[Floats]:
    """Give a recording as it is, with noise, at another pitch, and with both.

    Args:
        waveform: amplitudes at ``config.sample_rate``, floats in shape (samples,).
        rng: draws the noise and the shift, the latter uniformly within ``SEMITONES``; equal
            generators give equal variants.
        config: holds the sample rate.

    Returns:
        Four waveforms, each of shape (samples,), in that order.

    Raises:
        InvalidArgument: the waveform is empty, not finite, not floats or not one-dimensional.

    >>> tone = np.sin(np.arange(22_050) / 10)
    >>> heard = variants(tone, rng=np.random.default_rng(0), config=SpeechConfig())
    >>> [variant.shape for variant in heard]
    [(22050,), (22050,), (22050,), (22050,)]
    """
    samples = checked_waveform(waveform)
    shifted = pitch_shift(
        samples, sample_rate=config.sample_rate, semitones=rng.uniform(-SEMITONES, SEMITONES)
    )
    return [samples, add_noise(samples, rng=rng), shifted, add_noise(shifted, rng=rng)]
