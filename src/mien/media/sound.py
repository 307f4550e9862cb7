"""Packets of sound → a mono waveform at one rate."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from numpy.typing import NDArray

from mien.media.container import Packet, decode

SILENCE_DBFS = -60
"""A waveform whose peak stays below this level is no sound."""
MAX_RATE = 1_000_000
"""Hz above which sound is not decoded: the resampler's filter grows with the rate, to gigabytes
for one that a damaged header claims; recorders stop at 768 kHz."""
_LOUDEST = 1e3
"""Where sound in floating point is cut off, 60 dB above full scale: a damaged sample would
overflow single precision, or the resampler's sums."""
_NO_NUMPY = {"s64", "s64p"}
"""Sample formats that PyAV does not turn into arrays."""

Samples = NDArray[np.float32]


class Sound:
    """Gathers the beginning of the sound as one channel at one rate."""

    def __init__(self, rate: int, samples: int) -> None:
        self._rate = rate
        self.start: Fraction | None = None
        """Seconds of the first sample, in the clip's own time."""
        self._last: Packet | None = None
        self._missing = samples
        self._cut = False
        """There was more sound than is gathered."""
        self._parts: list[Samples] = []
        self._resampler: av.AudioResampler | None = None
        self._source_rate = 0

    @property
    def span(self) -> tuple[Fraction, Fraction] | None:
        """Seconds of the first sample and of the last packet's end, in the clip's own time."""
        if self.start is None:
            return None
        end = self.start + Fraction(sum(part.size for part in self._parts), self._rate)
        if self._missing or self._last is None or self._last.pts is None:
            return self.start, end
        last_end = (self._last.pts + (self._last.duration or 0)) * self._last.time_base
        return self.start, max(end, last_end)

    @property
    def waveform(self) -> Samples:
        """What was gathered; shape = (samples,)."""
        return np.concatenate([np.empty(0, np.float32), *self._parts])

    @property
    def reason(self) -> str | None:
        """Why this is no sound; ``None`` when it is."""
        waveform = self.waveform
        if not waveform.size:
            return "no sound could be decoded"
        if silent(waveform):
            where = "all through"
            if self._cut:
                seconds = waveform.size / self._rate
                where = f"in its first {seconds:.1f} s, which is all that is listened to"
            return f"silent: below {SILENCE_DBFS} dBFS {where}"
        return None

    def drain(self) -> Samples:
        """Give what was gathered since the last time, and forget it."""
        drained = self.waveform
        self._parts.clear()
        return drained

    def hear(self, context: AudioCodecContext, packet: Packet) -> None:
        """Take the next packet; it is decoded while samples are missing."""
        self._last = packet
        if self._missing:
            self._take(decode(context, packet), _seconds(packet.pts, packet.time_base))
        else:
            self._cut = True

    def finish(self, context: AudioCodecContext) -> None:
        """Take what the decoder and the resampler still hold."""
        if self._missing:
            self._take(decode(context, None), None)
            self._flush()

    def _take(self, frames: list[av.AudioFrame], packet_start: Fraction | None) -> None:
        for frame in frames:
            if frame.sample_rate > MAX_RATE:
                continue
            if self.start is None:
                own = _seconds(frame.pts, frame.time_base)
                self.start = packet_start if own is None else own
            # A damaged frame can claim a format or a rate that nothing converts.
            with suppress(av.FFmpegError, ValueError):
                self._add(frame)

    def _add(self, frame: av.AudioFrame) -> None:
        self._change_rate(frame.sample_rate)
        # The margin outlasts the resampler's delay; the rest would be thrown away.
        enough = self._missing * frame.sample_rate // self._rate + frame.sample_rate
        self._resample(_mono(frame)[:enough])

    def _change_rate(self, source_rate: int) -> None:
        if source_rate == self._source_rate:
            return
        self._flush()
        self._source_rate = source_rate
        self._resampler = av.AudioResampler(format="fltp", layout="mono", rate=self._rate)

    def _flush(self) -> None:
        # A resampler that could not take its first frame cannot be flushed either.
        with suppress(av.FFmpegError, ValueError):
            self._resample(None)

    def _resample(self, mono: Samples | None) -> None:
        if self._resampler is None or self._source_rate == self._rate:
            self._keep(mono)
            return
        frame = None
        if mono is not None and mono.size:
            frame = av.AudioFrame.from_ndarray(mono[np.newaxis], format="fltp", layout="mono")
            frame.sample_rate = self._source_rate
        for resampled in self._resampler.resample(frame):
            self._keep(resampled.to_ndarray()[0])

    def _keep(self, part: Samples | None) -> None:
        if part is None:
            return
        self._cut = self._cut or part.size > self._missing
        if self._missing:
            self._parts.append(part[: self._missing].copy())
            self._missing -= self._parts[-1].size


def silent(waveform: Samples) -> bool:
    """Say whether a waveform stays below the level that counts as sound.

    >>> silent(np.full(9, 1e-4, np.float32)), silent(np.full(9, 0.1, np.float32))
    (True, False)
    """
    return bool(np.abs(waveform).max(initial=0.0) < 10 ** (SILENCE_DBFS / 20))


def resampled(waveform: Samples, *, source_rate: int, rate: int) -> Samples:
    """Bring a waveform to another rate, as the sound of a clip is.

    Args:
        waveform: one channel, full scale 1, shape = (samples,).
        source_rate: its samples a second.
        rate: samples a second that are wanted.

    >>> resampled(np.zeros(480, np.float32), source_rate=48_000, rate=24_000).shape
    (240,)
    """
    sound = Sound(rate, 2**62)
    if waveform.size:
        frame = av.AudioFrame.from_ndarray(waveform[np.newaxis], format="fltp", layout="mono")
        frame.sample_rate = source_rate
        sound._take([frame], Fraction(0))
        sound._flush()
    return sound.waveform


def _mono(frame: av.AudioFrame) -> Samples:
    """Average the channels, not weighted as in a stereo downmix; full scale becomes 1."""
    if frame.format.name in _NO_NUMPY:
        frame = av.AudioResampler(format="dblp").resample(frame)[0]
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, len(frame.layout.channels)).T
    if values.dtype == np.uint8:
        values = values.astype(np.int16) - 128
    scale = 2.0 ** (1 - frame.format.bits)
    if values.dtype.kind == "f":
        # One NaN would spread through the resampler.
        values = np.where(np.isfinite(values), values, 0).clip(-_LOUDEST, _LOUDEST)
        scale = 1.0
    mean = values.mean(axis=0, dtype=np.float64)
    return np.asarray(mean * scale, np.float32)


def _seconds(pts: int | None, base: Fraction | None) -> Fraction | None:
    return None if pts is None or base is None else pts * base
