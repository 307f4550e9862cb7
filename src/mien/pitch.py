"""Windows of a waveform to pitch, by YIN: how high the voice is, and how far it has a pitch at all.

The numbers are those of ``librosa.yin`` 0.11.

Source: de Cheveigné & Kawahara 2002, "YIN, a fundamental frequency estimator for speech and music".
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mien.spectrum import autocorrelation

Doubles = npt.NDArray[np.float64]

LOWEST, HIGHEST = 65.0, 800.0
"""Hz between which the pitch of a voice is looked for: from a low man's to a scream."""
PERIODIC = 0.1
"""Aperiodicity below which the shortest such period is taken; librosa's default."""


class Pitch(NamedTuple):
    """The pitch of windows."""

    hertz: Doubles
    """65 to 800, also where there is no pitch: then it says nothing. Shape (windows,)."""
    aperiodicity: Doubles
    """About 0 where the sound repeats itself exactly, about 1 where it does not; 1 in silence."""


def pitch(windows: Doubles, *, sample_rate: int) -> Pitch:
    """Find the pitch of each window.

    Args:
        windows: amplitudes, shape (windows, samples); longer than two of the longest periods.
        sample_rate: Hz.

    Returns:
        Of each window; the frequencies are those of ``librosa.yin`` to 0.1 % wherever the
        window has a pitch.

    >>> time = np.arange(2048) / 22_050
    >>> found = pitch(np.sin(2 * np.pi * 220 * time)[None], sample_rate=22_050)
    >>> round(float(found.hertz[0])), round(float(found.aperiodicity[0]), 1)
    (220, 0.0)
    """
    shortest = int(sample_rate / HIGHEST)
    longest = min(int(np.ceil(sample_rate / LOWEST)), windows.shape[1] - 1)
    difference = _difference(windows, longest)
    # Each lag's difference, over the mean of all that are not longer.
    sums = np.cumsum(difference[:, 1:], axis=1)
    mean = sums / np.arange(1, longest + 1)
    silent = mean[:, -1] <= 0
    tiny = np.finfo(np.float64).tiny
    normal = difference[:, shortest:] / (mean[:, shortest - 1 :] + tiny)
    place = _shortest_period(normal)
    rows = np.arange(len(windows))
    period = shortest + place + _parabolic_shift(normal, place)
    return Pitch(sample_rate / period, np.where(silent, 1.0, normal[rows, place]))


def _difference(windows: Doubles, longest: int) -> Doubles:
    """Give the squared difference of each window to itself, later by each lag from 0 on."""
    correlation = autocorrelation(windows, lags=longest)
    energy = np.cumsum(np.square(windows[:, :longest]), axis=1)
    difference: Doubles = 2 * (correlation[:, :1] - correlation)
    difference[:, 1:] -= energy
    return difference


def _shortest_period(normal: Doubles) -> npt.NDArray[np.intp]:
    """Find the first trough that is deep enough, else the deepest place."""
    trough = np.zeros(normal.shape, bool)
    trough[:, 1:-1] = (normal[:, 1:-1] < normal[:, :-2]) & (normal[:, 1:-1] <= normal[:, 2:])
    trough[:, 0] = normal[:, 0] < normal[:, 1]
    trough[:, -1] = normal[:, -1] < normal[:, -2]
    deep = trough & (normal < PERIODIC)
    first: npt.NDArray[np.intp] = deep.argmax(axis=1)
    return np.where(deep.any(axis=1), first, normal.argmin(axis=1)).astype(np.intp)


def _parabolic_shift(normal: Doubles, place: npt.NDArray[np.intp]) -> Doubles:
    """Say how far from a place the lowest point of the parabola through it and its sides is."""
    rows = np.arange(len(normal))
    inside = np.clip(place, 1, normal.shape[1] - 2)
    left, here, right = (normal[rows, inside + step] for step in (-1, 0, 1))
    curve = left + right - 2 * here
    slope = (right - left) / 2
    near = (np.abs(slope) < np.abs(curve)) & (inside == place)
    shift: Doubles = np.where(near, -slope / np.where(near, curve, 1.0), 0.0)
    return shift
