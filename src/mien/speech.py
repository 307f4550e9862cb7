"""Waveform to acoustic features: the paper's zero-crossing rate, loudness and MFCC, and pitch.

The numbers are librosa 0.11's, computed without it so that the run-time install stays light:
``zero_crossing_rate``, ``rms`` and ``mfcc`` of ``librosa.feature`` with their default options, and
``yin`` (:mod:`mien.pitch`).
All windows are centred: window ``t`` has its middle at sample ``t * hop_length``.
"""

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mien.config import SpeechConfig
from mien.errors import InvalidArgument
from mien.pitch import LOWEST, pitch
from mien.spectrum import power_spectrum

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

ZERO_AMPLITUDE = 1e-10
"""Samples up to that far from zero count as zero, hence positive (``librosa.zero_crossings``)."""
POWER_FLOOR = 1e-10
"""Power that stands for silence, so that its logarithm exists (``librosa.power_to_db``)."""
DYNAMIC_RANGE = 80.0
"""dB below the loudest band of the whole waveform at which quieter bands are cut off."""

# Slaney's mel scale (Auditory Toolbox, 1998): linear up to 1 kHz, logarithmic above.
MEL_LINEAR_STEP = 200 / 3
"""Hz a mel in the linear part."""
MEL_BREAK = 1_000.0
"""Hz at which the logarithmic part starts."""
MEL_BREAK_MELS = MEL_BREAK / MEL_LINEAR_STEP
MEL_LOG_STEP = np.log(6.4) / 27
"""Growth of the frequency's logarithm a mel in the logarithmic part."""


def zero_crossing_rate(waveform: npt.ArrayLike, *, config: SpeechConfig) -> Floats:
    """Give the share of samples of each window at which the sign changes.

    Args:
        waveform: amplitudes in [-1, 1] at ``config.sample_rate``, floats in shape (samples,).
        config: window and hop length.

    Returns:
        Shares in [0, 1], shape (1 + samples // hop_length,); equal to
        ``librosa.feature.zero_crossing_rate``.

    Raises:
        InvalidArgument: the waveform is empty, not finite, not floats or not one-dimensional.

    >>> alternating = np.resize([0.5, -0.5], 4096)
    >>> float(zero_crossing_rate(alternating, config=SpeechConfig())[4])
    0.99951171875
    """
    return _zero_crossing_rate(checked_waveform(waveform), config)


def rms(waveform: npt.ArrayLike, *, config: SpeechConfig) -> Floats:
    """Give the root of the mean square of each window.

    Args:
        waveform: amplitudes in [-1, 1] at ``config.sample_rate``, floats in shape (samples,).
        config: window and hop length.

    Returns:
        Amplitudes, at least 0, shape (1 + samples // hop_length,); ``librosa.feature.rms`` to 1e-6.

    Raises:
        InvalidArgument: the waveform is empty, not finite, not floats or not one-dimensional.

    >>> rms(np.full(8192, -0.25), config=SpeechConfig())[4:8]
    array([0.25, 0.25, 0.25, 0.25], dtype=float32)
    """
    return _rms(_windows(checked_waveform(waveform), config))


def mfcc(waveform: npt.ArrayLike, *, config: SpeechConfig) -> Floats:
    """Give the mel-frequency cepstral coefficients of each window.

    Args:
        waveform: amplitudes in [-1, 1] at ``config.sample_rate``, floats in shape (samples,).
        config: sample rate, window and hop length, number of bands and coefficients.

    Returns:
        Coefficients of the bands' dB, shape (1 + samples // hop_length, config.mfcc);
        ``librosa.feature.mfcc`` to 1e-3, transposed. Each depends on the whole waveform, whose
        loudest band sets the floor.

    Raises:
        InvalidArgument: the waveform is empty, not finite, not floats or not one-dimensional.

    >>> mfcc(np.zeros(1024), config=SpeechConfig()).shape
    (3, 20)
    """
    return _mfcc(_windows(checked_waveform(waveform), config), config)


def speech_features(waveform: npt.ArrayLike, *, config: SpeechConfig) -> Floats:
    """Give the audio network's input: the features of a clip's start, padded to a fixed length.

    Args:
        waveform: amplitudes in [-1, 1] at ``config.sample_rate``, floats in shape (samples,);
            samples after ``config.samples`` are not read.
        config: how the features are computed, and how many windows are kept.

    Returns:
        ZCR of all windows, then RMS of all windows, then MFCC window by window, then, where the
        configuration has pitch, octaves above 65 Hz of all windows and aperiodicity of all
        windows; zeros where the clip has ended. Shape (config.frames * config.columns,): 5,984 by
        default.

    Raises:
        InvalidArgument: the waveform is empty, not finite, not floats or not one-dimensional.

    >>> speech_features(np.zeros(22_050), config=SpeechConfig()).shape
    (5984,)
    """
    samples = checked_waveform(waveform)[: max(config.samples, 1)]
    windows = _windows(samples, config)
    columns = np.zeros((config.frames, config.columns), dtype=np.float32)
    kept = min(len(windows), config.frames)
    columns[:kept, 0] = _zero_crossing_rate(samples, config)[:kept]
    columns[:kept, 1] = _rms(windows)[:kept]
    after = 2 + config.mfcc
    columns[:kept, 2:after] = _mfcc(windows, config)[:kept]
    if config.pitch:
        found = pitch(windows[:kept], sample_rate=config.sample_rate)
        columns[:kept, after] = np.log2(found.hertz / LOWEST)
        columns[:kept, after + 1] = found.aperiodicity
    cepstra = columns[:, 2:after].ravel()
    return np.concatenate([*columns[:, :2].T, cepstra, *columns[:, after:].T])


def checked_waveform(waveform: npt.ArrayLike) -> Floats:
    """Give a waveform as float32 after having refused what has no features.

    Args:
        waveform: amplitudes, floats in shape (samples,).

    Returns:
        The same amplitudes, shape (samples,); the same array where it is float32 already.

    Raises:
        InvalidArgument: the waveform is empty, not finite, not floats or not one-dimensional.

    >>> checked_waveform([0.5, -0.5])
    array([ 0.5, -0.5], dtype=float32)
    """
    array = np.asarray(waveform)
    if array.ndim != 1 or array.size == 0:
        raise InvalidArgument(
            "waveform must be one-dimensional with at least one sample, "
            f"not of shape {array.shape}; mix the channels to mono first"
        )
    if array.dtype.kind != "f":
        raise InvalidArgument(
            f"waveform must be floats in [-1, 1], not {array.dtype}; "
            "divide integer samples by their full scale first"
        )
    with np.errstate(over="ignore"):  # too large for float32 is reported below, as not finite
        samples = array.astype(np.float32, copy=False)
    bad = np.count_nonzero(~np.isfinite(samples))
    if bad:
        raise InvalidArgument(
            "waveform must be finite, "
            f"not with NaN or infinity in {bad} of {samples.size} samples; "
            "repair or drop the recording"
        )
    return samples


def windows_of(waveform: npt.ArrayLike, *, config: SpeechConfig) -> Doubles:
    """Give the windows that features are of: centred, zeros outside.

    Args:
        waveform: amplitudes, floats in shape (samples,).
        config: window and hop length.

    Returns:
        Shape (1 + samples // hop_length, frame_length); a view.

    >>> windows_of(np.zeros(1024), config=SpeechConfig()).shape
    (3, 2048)
    """
    return _windows(checked_waveform(waveform), config)


def _windows(samples: Floats, config: SpeechConfig) -> Doubles:
    """Give a view of the centred windows, zeros outside, in shape (windows, frame_length).

    Doubles, because squares of loud float32 samples overflow float32; the FFT is as fast in both.
    """
    padded = np.pad(samples.astype(np.float64), config.frame_length // 2)
    return np.lib.stride_tricks.sliding_window_view(padded, config.frame_length)[
        :: config.hop_length
    ]


def _zero_crossing_rate(samples: Floats, config: SpeechConfig) -> Floats:
    # Unlike the other features, librosa's rate repeats the edge samples: silence stays at 0.
    padded = np.pad(samples, config.frame_length // 2, mode="edge")
    negative = padded < -ZERO_AMPLITUDE
    crossings = np.flatnonzero(negative[1:] != negative[:-1])
    # A crossing lies between two samples: a window holds one fewer of those gaps than samples.
    start = np.arange(0, len(padded) - config.frame_length + 1, config.hop_length)
    stop = start + config.frame_length - 1
    count = np.searchsorted(crossings, stop) - np.searchsorted(crossings, start)
    rate: Floats = (count / config.frame_length).astype(np.float32)
    return rate


def _rms(windows: Doubles) -> Floats:
    energy: Doubles = np.einsum("ij,ij->i", windows, windows)
    loudness: Floats = np.sqrt(energy / windows.shape[1]).astype(np.float32)
    return loudness


def _mfcc(windows: Doubles, config: SpeechConfig) -> Floats:
    power = power_spectrum(windows, taper=_hann(config))
    decibels = 10 * np.log10(np.maximum(_mel_bands(config).of(power), POWER_FLOOR))
    np.maximum(decibels, decibels.max() - DYNAMIC_RANGE, out=decibels)
    cepstra: Doubles = np.einsum("ij,jk->ik", decibels, _cosines(config))
    return cepstra.astype(np.float32)


@functools.lru_cache(maxsize=8)
def _hann(config: SpeechConfig) -> Doubles:
    """Give the periodic Hann window, shape (frame_length,): ``scipy.signal.get_window``'s."""
    turns = np.arange(config.frame_length) / config.frame_length
    return _constant(0.5 - 0.5 * np.cos(2 * np.pi * turns))


class _MelBands(NamedTuple):
    """Triangular filters of equal area: each frequency rises in one and falls in the one before."""

    rising: Doubles
    """Weight of each frequency in the first."""
    falling: Doubles
    """Weight in the second."""
    starts: npt.NDArray[np.intp]
    """Place of the first frequency at or above each corner but the last."""
    empty: npt.NDArray[np.intp]
    """Corners above which there is no frequency before the next one."""

    def of(self, power: Doubles) -> Doubles:
        """Sum power, shape (windows, frequencies), to bands, shape (windows, mel_bands).

        As a product with a table, nearly all of which is zeros, this wakes the threads of a linear
        algebra library, which then stand in the way of the network's.
        """
        rising, falling = (
            np.add.reduceat(power * weights, self.starts, axis=1)
            for weights in (self.rising, self.falling)
        )
        for sums in (rising, falling):
            # reduceat gives the next place where there is nothing to sum.
            sums[:, self.empty] = 0.0
        bands: Doubles = rising[:, :-1] + falling[:, 1:]
        return bands


@functools.lru_cache(maxsize=8)
def _mel_bands(config: SpeechConfig) -> _MelBands:
    """Give the filters of ``librosa.filters.mel`` with ``norm="slaney"``."""
    frequencies = np.fft.rfftfreq(config.frame_length, 1 / config.sample_rate)
    highest = _hertz_to_mel(config.sample_rate / 2)
    corners = _mel_to_hertz(np.linspace(0, highest, config.mel_bands + 2))
    area = (corners[2:] - corners[:-2]) / 2
    between = np.searchsorted(corners, frequencies, side="right") - 1
    inside = between <= config.mel_bands
    below = np.minimum(between, config.mel_bands)
    share = inside * (frequencies - corners[below]) / np.diff(corners)[below]
    starts = np.searchsorted(frequencies, corners[:-1])
    return _MelBands(
        rising=_constant(share * np.append(1 / area, 0.0)[below]),
        falling=_constant((inside - share) * np.append(0.0, 1 / area)[below]),
        starts=starts,
        empty=np.flatnonzero(np.diff(starts, append=len(frequencies)) == 0),
    )


@functools.lru_cache(maxsize=8)
def _cosines(config: SpeechConfig) -> Doubles:
    """Give the orthonormal DCT-II as a matrix, shape (mel_bands, mfcc)."""
    middle = np.arange(config.mel_bands)[:, np.newaxis] + 0.5
    order = np.arange(config.mfcc)
    cosines = np.cos(np.pi / config.mel_bands * middle * order) * np.sqrt(2 / config.mel_bands)
    cosines[:, 0] /= np.sqrt(2)
    return _constant(cosines)


def _hertz_to_mel(hertz: float) -> float:
    if hertz < MEL_BREAK:
        return hertz / MEL_LINEAR_STEP
    return float(MEL_BREAK_MELS + np.log(hertz / MEL_BREAK) / MEL_LOG_STEP)


def _mel_to_hertz(mels: Doubles) -> Doubles:
    logarithmic = MEL_BREAK * np.exp(MEL_LOG_STEP * (mels - MEL_BREAK_MELS))
    return np.where(mels < MEL_BREAK_MELS, MEL_LINEAR_STEP * mels, logarithmic)


def _constant(table: Doubles) -> Doubles:
    """Make a table read-only: it is shared by all calls and threads."""
    table.flags.writeable = False
    return table
