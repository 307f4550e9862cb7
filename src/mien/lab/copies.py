"""Recordings that are one but for noise, pitch or gain, found by their speech features.

Two prints are compared, both blind to gain. Noise hardly changes the fine course of the loudness.
Another pitch does, but hardly which bands of frequency sound when: those move up or down together,
so the bands are compared at several shifts. Two takes of a sentence by one actor can be alike, but
then at no shift, so likeness at a shift counts for more.

The limits were chosen and measured on the 1,440 recordings of RAVDESS: all pairs of them, and the
three augmented :func:`mien.lab.augment.variants` of 400 of them against all. No false alarm; found
were all 400 with noise, 374 at another pitch (94 %) and 355 with both (89 %). The others differ
from their original by more than one actor's takes of a sentence differ. One pair is no false alarm:
the takes ``01-03-01-02-01-07`` and ``01-03-01-02-02-07`` are one recording, equal in every sample.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mien.config import SpeechConfig
from mien.errors import InvalidArgument

Floats = npt.NDArray[np.float32]

COMPARED = SpeechConfig()
"""How recordings are heard to be compared, whatever a preset hears: so the limits were measured."""

SHORTEST = 43
"""Frames (1 s) under which recordings are not compared: too little to tell them apart."""

SMOOTHING = 9
"""Frames (0.2 s) whose mean is taken off the loudness; what is left is its fine course."""
ALIKE_LOUDNESS = 0.96
"""Least correlation of the fine course: different recordings of one length reached 0.934, and
0.984 was the least with noise."""
ALIKE_SOUND = 0.85
"""Least correlation of the bands beside it, lest beeps that start and end together pass for one:
0.92 was the least with noise."""

BANDS = np.arange(2, 20)
"""Of 40 equal bands of the mel scale, 210 Hz to 3 kHz: above, noise hides the voice."""
BANDS_IN_ALL = 40
ALIKE_BANDS = {0: 0.94, 1: 0.93, 2: 0.9, 3: 0.9, 4: 0.88}
"""Shift of the bands, up or down, in 128ths of the mel scale → least correlation. Different
recordings reached 0.934, 0.923, 0.892, 0.891 and 0.871."""


class Copy(NamedTuple):
    """Two recordings that are one."""

    tested: int
    """Row among the tested."""
    trained: int
    """Row among those trained on."""
    likeness: float
    """Correlation of the print that told, up to 1."""


def find_copies(tested: npt.ArrayLike, trained: npt.ArrayLike) -> list[Copy]:
    """Find recordings that are trained on and tested, though one has noise or another pitch.

    Args:
        tested: rows of :func:`mien.speech.speech_features` by :data:`COMPARED`, shape
            ``(recordings, frames * columns)``.
        trained: likewise.

    Returns:
        One entry a pair, sorted by rows.

    Raises:
        InvalidArgument: the rows are not of this configuration.

    >>> rng = np.random.default_rng(0)
    >>> rows = rng.normal(size=(3, 5984)).astype(np.float32)
    >>> [(copy.tested, copy.trained) for copy in find_copies(rows[:2], rows[1:])]
    [(1, 0)]
    """
    columns = COMPARED.frames * COMPARED.columns
    for name, rows in (("tested", tested), ("trained", trained)):
        if np.ndim(rows) != 2 or np.shape(rows)[1] != columns:
            raise InvalidArgument(
                f"{name} must be of shape (recordings, {columns}), not {np.shape(rows)}; "
                "compute them with mien.speech.speech_features and this configuration"
            )
    these, those = _Prints(np.asarray(tested)), _Prints(np.asarray(trained))
    found: dict[tuple[int, int], float] = {}
    for row, other, likeness in (*_noisy(these, those), *_shifted(these, those)):
        found[row, other] = max(likeness, found.get((row, other), likeness))
    return [Copy(*pair, likeness) for pair, likeness in sorted(found.items())]


class _Prints:
    """What of some recordings is compared."""

    def __init__(self, rows: Floats) -> None:
        frames = COMPARED.frames
        self.loudness = _fine_course(rows[:, frames : 2 * frames])
        self.cepstra = rows[:, 2 * frames :].reshape(len(rows), frames, COMPARED.mfcc)
        # Of a silent frame the cepstrum is far from zero, after the end it is zero. Without any
        # sound there is nothing to compare.
        self.lengths = self.cepstra.any(axis=2).sum(axis=1) * self.loudness.any(axis=1)

    def bands(self, places: np.ndarray, *, shift: int) -> Floats:
        """Give amplitude over time in each band, unit vectors of shape (places, …)."""
        cepstra = self.cepstra[places]
        decibels = cepstra @ _band_cosines(shift).T
        # Amplitude and not decibels, so that noise in the pauses counts little.
        loudest = decibels.max(axis=(1, 2), keepdims=True, initial=-np.inf)
        amplitude = 10 ** ((decibels - loudest) / 20) * cepstra.any(axis=2)[:, :, None]
        return _unit(amplitude - amplitude.mean(axis=1, keepdims=True))


def _noisy(these: _Prints, those: _Prints) -> Iterator[tuple[int, int, float]]:
    near = np.abs(these.lengths[:, None] - those.lengths) <= 1
    near &= (these.lengths >= SHORTEST)[:, None]
    likeness = these.loudness @ those.loudness.T
    rows, others = np.nonzero(near & (likeness >= ALIKE_LOUDNESS))
    for row, other in zip(rows.tolist(), others.tolist(), strict=True):
        sound = these.bands(np.array([row]), shift=0) @ those.bands(np.array([other]), shift=0).T
        if sound.item() >= ALIKE_SOUND:
            yield row, other, float(likeness[row, other])


def _shifted(these: _Prints, those: _Prints) -> Iterator[tuple[int, int, float]]:
    for length in np.intersect1d(these.lengths, those.lengths):
        if length < SHORTEST:
            continue
        here, there = (
            np.flatnonzero(these.lengths == length),
            np.flatnonzero(those.lengths == length),
        )
        plain = those.bands(there, shift=0)
        for shift in range(-max(ALIKE_BANDS), max(ALIKE_BANDS) + 1):
            likeness = these.bands(here, shift=shift) @ plain.T
            for row, other in np.argwhere(likeness >= ALIKE_BANDS[abs(shift)]).tolist():
                yield int(here[row]), int(there[other]), float(likeness[row, other])


def _fine_course(loudness: Floats) -> Floats:
    half = SMOOTHING // 2
    padded = np.pad(loudness.astype(np.float64), ((0, 0), (half, half)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, SMOOTHING, axis=1)
    return _unit(loudness - windows.mean(axis=2))


def _unit(values: np.ndarray) -> Floats:
    """Scale each row to length one; rows of zeros stay."""
    flat = values.reshape(len(values), int(np.prod(values.shape[1:])))
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    units: Floats = np.divide(
        flat, length, out=np.zeros(flat.shape, np.float32), where=length > 0, casting="same_kind"
    )
    return units


def _band_cosines(shift: int) -> Floats:
    """Give the inverse of the orthonormal DCT-II at the middles of the bands, (bands, mfcc)."""
    middle = (BANDS[:, None] + 0.5) / BANDS_IN_ALL + shift / 128
    cosines = np.cos(np.pi * middle * np.arange(COMPARED.mfcc)) * np.sqrt(2 / COMPARED.mel_bands)
    cosines[:, 0] /= np.sqrt(2)
    single: Floats = cosines.astype(np.float32)
    return single
