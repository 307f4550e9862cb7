"""Fourier transforms of many rows by OpenCV, a few at once: faster than NumPy's."""

import cv2
import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

ROWS = 16
"""Rows that are transformed at once: what they take stays in the processor's cache."""


def power_spectrum(rows: Doubles, *, taper: Doubles) -> Doubles:
    """Give squared magnitudes of each row's transform: ``abs(np.fft.rfft(rows * taper)) ** 2``.

    Args:
        rows: shape (rows, samples).
        taper: what each row is multiplied by, shape (samples,).

    Returns:
        Shape (rows, 1 + samples // 2): of the frequencies from 0 to half the rate.

    >>> power_spectrum(np.array([[1.0, 0.0, -1.0, 0.0]]), taper=np.ones(4)).tolist()
    [[0.0, 4.0, 0.0]]
    """
    half = 1 + rows.shape[1] // 2
    power = np.empty((len(rows), half))
    for first in range(0, len(rows), ROWS):
        some = slice(first, first + ROWS)
        power[some] = _power(rows[some] * taper)[:, :half]
    return power


def autocorrelation(rows: Doubles, *, lags: int) -> Doubles:
    """Give the sum of each row's products with itself, later by each lag.

    Args:
        rows: shape (rows, samples).
        lags: the longest lag.

    Returns:
        Shape (rows, lags + 1), from lag 0 on.

    >>> autocorrelation(np.array([[1.0, 2.0, 3.0]]), lags=1).round(6).tolist()
    [[14.0, 8.0]]
    """
    samples = rows.shape[1]
    # As long as that, the lags that are looked at do not wrap around.
    length = cv2.getOptimalDFTSize(samples + lags + 1)
    correlation = np.empty((len(rows), lags + 1))
    for first in range(0, len(rows), ROWS):
        some = rows[first : first + ROWS]
        padded = np.zeros((len(some), length))
        padded[:, :samples] = some
        # Power is the same at a frequency and its negative: there, both directions are one.
        turned = _transform(_power(padded))[:, : lags + 1, 0]
        correlation[first : first + ROWS] = turned / length
    return correlation


def _power(rows: Doubles) -> Doubles:
    spectrum = np.square(_transform(rows))
    power: Doubles = spectrum[..., 0] + spectrum[..., 1]
    return power


def _transform(rows: Doubles) -> Doubles:
    """Give real and imaginary parts at all frequencies, shape (rows, samples, 2)."""
    parts = np.asarray(cv2.dft(rows, flags=cv2.DFT_ROWS | cv2.DFT_COMPLEX_OUTPUT), np.float64)
    # Of a single row OpenCV's result has another shape.
    return parts.reshape(*rows.shape, 2)
