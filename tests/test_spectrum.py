import numpy as np
import pytest

from mien.spectrum import ROWS, autocorrelation, power_spectrum

COUNTS = (0, 1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS)


def noise(rows: int, samples: int) -> np.ndarray:
    return np.random.default_rng(rows).normal(size=(rows, samples))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("samples", [1, 7, 64])
def test_power_is_that_of_numpy(count: int, samples: int) -> None:
    rows, taper = noise(count, samples), np.hanning(samples)
    expected = np.abs(np.fft.rfft(rows * taper)) ** 2 if count else rows[:, : 1 + samples // 2]
    np.testing.assert_allclose(power_spectrum(rows, taper=taper), expected, atol=1e-12)


@pytest.mark.parametrize("count", COUNTS)
def test_autocorrelation_is_the_sum_of_products(count: int) -> None:
    rows = noise(count, 50)
    expected = np.array([[row[: 50 - lag] @ row[lag:] for lag in range(31)] for row in rows])
    found = autocorrelation(rows, lags=30)
    np.testing.assert_allclose(found, expected.reshape(count, 31), atol=1e-12)


def test_views_that_overlap_are_read_as_they_are() -> None:
    windows = np.lib.stride_tricks.sliding_window_view(noise(1, 300)[0], 64)[::16]
    copied = windows.copy()
    np.testing.assert_array_equal(
        power_spectrum(windows, taper=np.ones(64)), power_spectrum(copied, taper=np.ones(64))
    )
    np.testing.assert_array_equal(autocorrelation(windows, lags=9), autocorrelation(copied, lags=9))
