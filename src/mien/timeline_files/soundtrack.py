"""The source's sound → the drawn video's: copied where that plays, else encoded anew."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
from av.container import OutputContainer

from mien.media.container import Packet, decode

COPIED = {"aac", "mp3", "opus", "flac"}
"""What an mp4 may hold and browsers play; other sound becomes AAC."""
_AAC_RATES = {8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000}
_USUAL_RATE = 48_000


class Soundtrack:
    """Puts sound into a file while its pictures come.

    Args:
        target: the file, before its first packet.
        stream: the source's sound.
        packets: of that stream.
        origin: seconds of the source that become the file's beginning.
    """

    def __init__(
        self,
        target: OutputContainer,
        stream: Any,
        packets: Iterator[Packet],
        *,
        origin: Fraction,
    ) -> None:
        self._target, self._packets, self._origin = target, packets, origin
        self._context = stream.codec_context
        self._encoder: _Encoder | None = None
        if self._context.name.removesuffix("float") in COPIED:
            self._stream: Any = target.add_stream_from_template(stream)
        else:
            self._encoder = _Encoder(target, self._context)
        self._next: Packet | None = next(packets, None)

    def play_to(self, time_s: Fraction) -> None:
        """Put in all sound that begins until then, in seconds of the file."""
        while self._next is not None and _seconds(self._next, self._origin) <= time_s:
            self._put(self._next)
            self._next = next(self._packets, None)

    def finish(self) -> None:
        """Put in what an encoder still holds."""
        if self._encoder:
            self._encoder.finish(decode(self._context, None))

    def _put(self, packet: Packet) -> None:
        if self._encoder:
            self._encoder.encode(decode(self._context, packet), origin=self._origin)
            return
        shift = round(self._origin / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts - shift
        packet.dts = None if packet.dts is None else packet.dts - shift
        packet.stream = self._stream
        self._target.mux(packet)


class _Encoder:
    """Encodes sound as AAC at its own rate, where AAC has it, in mono or stereo."""

    def __init__(self, target: OutputContainer, context: Any) -> None:
        rate = context.sample_rate if context.sample_rate in _AAC_RATES else _USUAL_RATE
        layout = "mono" if len(context.layout.channels) == 1 else "stereo"
        self._target = target
        self._stream: Any = target.add_stream("aac", rate=rate, layout=layout)
        self._resampler = av.AudioResampler(
            format="fltp", layout=layout, rate=rate, frame_size=1024
        )

    def encode(self, frames: list[Any], *, origin: Fraction) -> None:
        for frame in frames:
            if frame.pts is not None:
                frame.pts -= round(origin / frame.time_base)
            self._mux(self._resampler.resample(frame))

    def finish(self, frames: list[Any]) -> None:
        for frame in (*frames, None):
            self._mux(self._resampler.resample(frame))
        self._target.mux(self._stream.encode(None))

    def _mux(self, frames: list[Any]) -> None:
        for frame in frames:
            self._target.mux(self._stream.encode(frame))


def _seconds(packet: Packet, origin: Fraction) -> Fraction:
    time = packet.dts if packet.pts is None else packet.pts
    return Fraction(0) if time is None else time * packet.time_base - origin
