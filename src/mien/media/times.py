"""Packets of a video stream → its presentation times, and which of them are wanted."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import closing
from fractions import Fraction
from typing import Any, NamedTuple

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from mien.media.container import Packet, decoded_pictures, open_container, prepare_decoder
from mien.media.reader import Reader

_DEFAULT_RATE = Fraction(25)
"""Frames a second of a stream that tells neither times nor rate; also FFmpeg's choice."""


def shown_at_middles(times: Sequence[int], end: int, slices: int) -> list[int]:
    """Find the frame that is shown at the middle of each of equal slices.

    Args:
        times: presentation times, increasing, at least one; the first is the span's start.
        end: the span's end, in the same unit.
        slices: how many equal parts the span is cut into.

    Returns:
        For each slice the index of the latest time that is not after its middle.

    >>> shown_at_middles([0, 10, 20, 30], 40, 2)
    [1, 3]
    >>> shown_at_middles([0, 35], 40, 4)
    [0, 0, 0, 1]
    """
    start, span = times[0], end - times[0]
    # Whole numbers keep a frame that starts exactly at a middle on the right side of it.
    middles = (start + (2 * k + 1) * span // (2 * slices) for k in range(slices))
    return [max(0, bisect_right(times, middle) - 1) for middle in middles]


class Track(NamedTuple):
    """What the packets tell of a video stream, in units of its time base."""

    stream: int
    base: Fraction
    times: array[int]
    """Presentation times, increasing."""
    keys: array[int]
    """Those of key frames."""
    lead: int
    """The longest time from decoding a key frame to showing it."""
    end: int
    counted: bool
    """Frames carry no times of their own: the first one decoded has the first time, and so on."""


class Sight:
    """Gathers the presentation times of a video stream."""

    def __init__(self, stream: VideoStream, *, still: bool) -> None:
        self._index = stream.index
        self._base = stream.time_base or Fraction(1, av.time_base)
        self._step = max(1, round(1 / ((stream.average_rate or _DEFAULT_RATE) * self._base)))
        self._still = still
        self._shown_at = array("q")
        self._decoded_at = array("q")
        self._keys = array("q")
        self._lead = 0
        self._packets = 0
        self._duration: int | None = None
        self._until = 0
        """When the last packet ends, as it tells itself: a last picture may be shown for long."""
        rate = stream.average_rate
        self.promised = stream.frames / Fraction(rate) if stream.frames and rate else None
        """Seconds of all frames that the header tells of."""

    def see(self, packet: Packet) -> None:
        """Take the next packet; it is not decoded."""
        if packet.is_discard or packet.is_corrupt:
            return
        self._packets += 1
        self._duration = packet.duration
        if packet.dts is not None:
            self._decoded_at.append(packet.dts)
            self._until = max(self._until, packet.dts + (packet.duration or 0))
        if packet.pts is None:
            return
        self._shown_at.append(packet.pts)
        self._until = max(self._until, packet.pts + (packet.duration or 0))
        if packet.is_keyframe:
            self._keys.append(packet.pts)
            decoded_at = packet.pts if packet.dts is None else packet.dts
            self._lead = max(self._lead, packet.pts - decoded_at)

    @property
    def until(self) -> Fraction:
        """Seconds of the last packet's end, in the clip's own time."""
        return self._until * self._base

    def track(self, reader: Reader) -> Track | None:
        """Give what was seen, or nothing when there were no frames."""
        counted = len(self._shown_at) < self._packets
        seen = self._count(reader) if counted else self._shown_at
        if not seen:
            return None
        times = np.unique(np.asarray(seen))
        return Track(
            stream=self._index,
            base=self._base,
            times=array("q", times.tobytes()),
            keys=array("q", () if counted else sorted(self._keys)),
            lead=self._lead,
            end=int(times[-1]) + self._last_duration(times),
            counted=counted,
        )

    def _last_duration(self, times: NDArray[np.int64]) -> int:
        if times.size > 1:
            return max(0, round(float(np.median(np.diff(times)))))
        return 0 if self._still else self._duration or self._step

    def _count(self, reader: Reader) -> Sequence[int]:
        """Decode the stream to count its frames, and give them times."""
        with closing(open_container(reader)) as container:
            stream: Any = container.streams[self._index]
            prepare_decoder(stream.codec_context)
            frames = sum(1 for _ in decoded_pictures(container, stream, None))
        # Frames come out in the order of presentation, a packet each, at the pace of decoding.
        paced = sorted(self._decoded_at)
        return paced if len(paced) == frames else [n * self._step for n in range(frames)]
