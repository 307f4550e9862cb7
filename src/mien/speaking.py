"""Whether somebody speaks, and whose mouth moves with the voice."""

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from mien.config import SpeechConfig
from mien.detectors import Pixels
from mien.pitch import pitch
from mien.speech import rms, windows_of

Floats = npt.NDArray[np.float32]

VOICED = 0.3
"""Aperiodicity below which a stretch of sound may be a vowel."""
AUDIBLE = 10 ** (-50 / 20)
"""Root mean square below which nobody is taken to speak: 50 dB below full scale."""
LOUD = 10 ** (-35 / 20)
"""Share of the window's loudest below which a sound is an echo, or far away."""
AROUND_S = 0.25
"""Seconds on both sides of a vowel that count as speech: its consonants."""
AT_ONCE = 512
"""Windows of the waveform whose pitch is sought in one go."""

MEMORY_S = 8.0
"""Seconds of movement and sound that are compared."""
FEWEST = 20
"""Looked-at frames with a face before a mouth is compared with the voice."""
MOVES_WITH = 0.2
"""Least correlation between the mouth that has the voice and the loudness."""
STEP_S = 0.5
"""Seconds between two looks beyond which a mouth may have moved unseen."""
AHEAD = 0.1
"""By so much it must exceed everybody else's."""


def speech_share(
    waveform: Floats, *, config: SpeechConfig, features: Floats | None = None
) -> float:
    """Give the share of a waveform in which somebody speaks.

    Speech is what lies within a quarter of a second of a loud sound with a pitch. Music with a
    melody counts too.

    Args:
        waveform: shape (samples,).
        config: its rate, and the windows that are looked at.
        features: of the waveform, by :func:`mien.speech.speech_features`, if they are at hand:
            they may tell already what is asked.

    Returns:
        0 to 1.

    >>> speech_share(np.zeros(22_050, np.float32), config=SpeechConfig())
    0.0
    """
    if not waveform.size:
        return 0.0
    count, frames = 1 + waveform.size // config.hop_length, config.frames
    if features is not None and config.pitch and count <= frames:
        loudness, aperiodicity = features[frames:][:count], features[-frames:][:count]
    else:
        loudness, aperiodicity = np.concatenate(list(_pieces(waveform, config)), axis=1)
    loud = loudness > max(AUDIBLE, LOUD * float(loudness.max()))
    voiced = loud & (aperiodicity < VOICED)
    reach = round(AROUND_S * config.sample_rate / config.hop_length)
    spoken = np.convolve(voiced, np.ones(2 * reach + 1))[reach:][: len(voiced)] > 0.5
    return float(spoken.mean())


def _pieces(waveform: Floats, config: SpeechConfig) -> Iterator[npt.NDArray[np.float64]]:
    """Give loudness and aperiodicity of the windows, some at once: pitch takes much memory."""
    count = 1 + waveform.size // config.hop_length
    beside = -(-config.frame_length // (2 * config.hop_length))
    for first in range(0, count, AT_ONCE):
        last = min(first + AT_ONCE, count)
        # What lies beside the piece is in its windows too.
        begin = max(0, first - beside)
        part = waveform[begin * config.hop_length : (last + beside) * config.hop_length]
        inside = slice(first - begin, last - begin)
        found = pitch(windows_of(part, config=config)[inside], sample_rate=config.sample_rate)
        yield np.stack([rms(part, config=config)[inside], found.aperiodicity])


def mouth_movement(before: Pixels, now: Pixels) -> float:
    """Measure how much a mouth moves from one crop of a face to the next, beyond its whole face.

    Args:
        before: RGB, shape (size, size, 3).
        now: likewise.

    Returns:
        Mean change of grey in the lower third, less that of the upper half, after the crops were
        laid upon each other as well as a shift can.

    >>> still = np.zeros((48, 48, 3), np.uint8)
    >>> mouth_movement(still, still)
    0.0
    """
    first, second = (
        cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32) for crop in (before, now)
    )
    size = len(first)
    edge = max(2, size // 12)
    shifts = [(right, down) for right in (-2, -1, 0, 1, 2) for down in (-2, -1, 0, 1, 2)]
    inner = slice(edge, size - edge)
    template = first[inner, inner]

    def change(right: int, down: int) -> Floats:
        moved = second[edge + down : size - edge + down, edge + right : size - edge + right]
        difference: Floats = np.abs(moved - template)
        return difference

    half = len(template) // 2
    best = min(
        (change(*shift) for shift in shifts), key=lambda difference: difference[:half].mean()
    )
    third, sides = 2 * len(template) // 3, len(template) // 5
    return float(best[third:, sides:-sides].mean() - best[:half].mean())


@dataclass
class Mouths:
    """Remembers how mouths moved and how loud it was, to say whose voice it is."""

    until: float = -1.0
    """Seconds from the clip's start to the last frame that was taken."""
    _rows: dict[int, deque[tuple[float, float, float]]] = field(default_factory=dict)
    """By person: time, movement, loudness."""
    _last: dict[int, tuple[float, Pixels]] = field(default_factory=dict)

    def take(self, time: float, crops: Mapping[int, Pixels], *, loudness: float) -> None:
        """Take the next frame that was looked at.

        Args:
            time: seconds from the clip's start.
            crops: of the faces in it, by person.
            loudness: root mean square of the sound around it.
        """
        self.until = time
        for person, crop in crops.items():
            before = self._last.get(person)
            self._last[person] = (time, crop)
            if before is not None and time - before[0] < STEP_S:
                moved = mouth_movement(before[1], crop)
                self._rows.setdefault(person, deque()).append((time, moved, loudness))
        for person, rows in list(self._rows.items()):
            while rows and rows[0][0] < time - MEMORY_S:
                rows.popleft()
            if not rows:
                del self._rows[person]
        self._last = {who: last for who, last in self._last.items() if time - last[0] < STEP_S}

    def speaker(self, *, among: Collection[int]) -> int | None:
        """Say whose of some people's the voice is; ``None`` if that cannot be told."""
        fits = {
            person: _correlation(np.array(rows)[:, 1:])
            for person, rows in self._rows.items()
            if person in among and len(rows) >= FEWEST
        }
        ranked = [*sorted(fits.values(), reverse=True), 0.0]
        if len(fits) < 1 or ranked[0] < MOVES_WITH or ranked[0] - ranked[1] < AHEAD:
            return None
        return max(fits, key=lambda person: fits[person])


def _correlation(pairs: npt.NDArray[np.float64]) -> float:
    """Correlate movement with the loudness around it."""
    deviations = pairs - pairs.mean(axis=0)
    spread = np.sqrt((deviations**2).sum(axis=0))
    if not spread.all():
        return 0.0
    return float((deviations[:, 0] * deviations[:, 1]).sum() / spread.prod())
