"""A clip of any length, opened: its frames and its sound in the order of time, a little at once."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple, Protocol

import numpy as np
from av.audio.codeccontext import AudioCodecContext
from numpy.typing import NDArray

from mien.errors import InvalidArgument
from mien.media.container import open_container, packets, sound_stream
from mien.media.pictures import Frame, Upright
from mien.media.reader import ClipSource, Reader, reading, unreadable
from mien.media.sound import Samples, Sound
from mien.media.survey import Survey, survey
from mien.media.walk import Walk

ENDLESS = 2**62
"""More samples than any clip has."""
LONGEST_S = 7 * 24 * 3600
"""Seconds of the longest clip: a damaged time may tell of years, with windows for all."""
GAP = Fraction(1, 10)
"""Seconds by which sound may be too early or too late before it is put right."""


class Span(NamedTuple):
    """From when to when a stream lasts, in seconds from the clip's start."""

    start: Fraction
    end: Fraction

    def within(self, start: Fraction, end: Fraction) -> Span | None:
        """Give what of it lies between two times; ``None`` where nothing does."""
        inside = Span(max(self.start, start), min(self.end, end))
        # A picture lasts no time, and is there.
        still = self.start == self.end == inside.start == inside.end
        return inside if inside.start < inside.end or still else None


class Wanted(Protocol):
    """Presentation times of frames: a set of them, or a plan that goes on while it is asked."""

    def __iter__(self) -> Iterator[int]:
        """Give them, rising."""

    def __contains__(self, pts: object, /) -> bool:
        """Say whether a frame is wanted that has not been given yet."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Stream:
    """An open clip of any length. :func:`open_stream` makes it."""

    name: str
    duration: Fraction
    """Seconds from the earliest start of its streams to the latest end."""
    pixels: int
    """Of the picture, as its header says; 0 without one."""
    picture: Span | None
    """``None`` where :attr:`video_reason` says why."""
    sound: Span | None
    video_reason: str | None
    audio_reason: str | None
    broken: str | None
    """What its header promises and its packets do not hold; ``None`` where they agree."""
    _reader: Reader
    _survey: Survey
    _rate: int

    def shown(self, span: Span, slices: int) -> NDArray[np.int64]:
        """Tell the frames shown at the middles of equal slices of a span of the picture.

        Args:
            span: within the picture's own.
            slices: how many.

        Returns:
            For each slice the frame's presentation time, in units of the stream's time base.
        """
        track, origin = self._survey.track, self._survey.origin
        assert track is not None  # noqa: S101 - there is a span of it
        start, end = ((time + origin) / track.base for time in span)
        # Whole numbers keep a frame that starts exactly at a middle on the right side of it.
        unit = start.denominator * end.denominator
        first, last = (time.numerator * (unit // time.denominator) for time in (start, end))
        middles = [
            (2 * slices * first + (2 * k + 1) * (last - first)) // (2 * slices * unit)
            for k in range(slices)
        ]
        times = np.frombuffer(track.times, np.int64)
        places = np.searchsorted(times, middles, side="right")
        return times[np.maximum(places - 1, 0)]

    def frames(self, wanted: Wanted) -> Generator[tuple[int, Frame]]:
        """Decode frames, one after the other; may be asked by another thread than listens.

        Args:
            wanted: presentation times, rising, as :meth:`shown` gives them.

        Yields:
            Each time with its frame; where decoding fails, with the nearest one before.
        """
        track = self._survey.track
        assert track is not None  # noqa: S101 - there are times of it
        upright = Upright(self._survey.aspect)
        with closing(Walk(self._reader.twin(), track, wanted)) as walk:
            for pts in wanted:
                shown = walk.at(pts)
                if shown is not None:
                    time = float(shown.pts * track.base - self._survey.origin)
                    yield pts, Frame(time, upright(shown.picture))

    @contextmanager
    def listening(self) -> Iterator[Listening]:
        """Open the sound, to be heard from its start to its end."""
        sound, origin = self.sound or Span(Fraction(0), Fraction(0)), self._survey.origin
        with closing(open_container(self._reader.twin())) as container:
            yield Listening(container, rate=self._rate, sound=sound, origin=origin)


class Listening:
    """The sound of a clip, decoded as far as it is asked for; what is past is forgotten."""

    def __init__(self, container: Any, *, rate: int, sound: Span, origin: Fraction) -> None:
        stream = sound_stream(container)
        self._context: AudioCodecContext | None = stream and stream.codec_context
        self._packets = packets(container, [stream]) if stream else iter(())
        self._sound = Sound(rate, ENDLESS)
        self._rate, self._origin = rate, origin
        self._start, self._stop = sound
        self._first = self._end = 0
        """Places of the first sample that is kept and after the last, from the sound's start."""
        self._asked = 0
        """Place that was asked for last."""
        self._parts: list[Samples] = []
        self._waits: Any = None
        """The packet that comes after silence."""
        self._lag: int | None = None
        """Samples that the decoder and the resampler hold back."""

    def between(self, start: Fraction, end: Fraction) -> Samples:
        """Give what is heard between two times, in seconds from the clip's start.

        Times must not go back further than the start that was asked for before.
        """
        first, last = (max(0, round((time - self._start) * self._rate)) for time in (start, end))
        if first < self._asked:
            raise InvalidArgument(f"start must not lie before {self._asked / self._rate} s")
        self._asked = first
        while self._end < last and self._hear():
            self._forget(first - self._rate)
        kept = np.concatenate([np.empty(0, np.float32), *self._parts])[first - self._first :]
        self._first, self._parts = self._end - len(kept), [kept]
        return kept[: last - first]

    def _hear(self) -> bool:
        """Decode the next packet, or be silent before it; say whether there was one."""
        packet = self._waits or next(self._packets, None)
        if packet is None:
            if self._context is not None:
                self._sound.finish(self._context)
                self._context = None
                self._keep(self._sound.drain())
            return False
        missing = self._missing(packet)
        self._waits = packet if missing > 0 else None
        if missing > 0:
            # A long silence comes second by second: nobody may ask for all of it.
            self._keep(np.zeros(min(missing, self._rate), np.float32))
            return True
        if missing < 0:
            self._drop(-missing)
        if self._context is not None:
            self._sound.hear(self._context, packet)
        self._keep(self._sound.drain())
        return True

    def _missing(self, packet: Any) -> int:
        """Say how many samples too few came before a packet, which would be heard too early.

        Returns:
            0 where it is little; below 0 where there were too many: clocks of cameras and of
            microphones run apart.
        """
        if packet.pts is None or not self._end:
            return 0
        start = packet.pts * packet.time_base - self._origin
        late = round((start - self._start) * self._rate) - self._end
        little = round(GAP * self._rate)
        if self._lag is None and abs(late) <= little:
            self._lag = late
        late -= self._lag or 0
        if late < -self._rate:
            # Times start anew, as where recordings are joined: there is no telling what is missing.
            self._lag = late + (self._lag or 0)
            return 0
        waits = packet is self._waits
        return late if start < self._stop and (waits or abs(late) > little) else 0

    def _forget(self, place: int) -> None:
        """Let go of the parts that end before a place: whoever begins late asks for none of it."""
        while self._parts and self._first + len(self._parts[0]) < place:
            self._first += len(self._parts.pop(0))

    def _drop(self, samples: int) -> None:
        """Forget the last samples."""
        kept = np.concatenate(self._parts)
        left = kept[: max(0, len(kept) - samples)]
        self._end -= len(kept) - len(left)
        self._parts = [left]

    def _keep(self, samples: Samples) -> None:
        if samples.size:
            self._parts.append(samples)
            self._end += len(samples)


@contextmanager
def open_stream(source: ClipSource, *, sample_rate: int) -> Iterator[Stream]:
    """Open a clip of any length: read its times, and make ready to decode it.

    Args:
        source: a path, the bytes of a file, or a binary file, which may be used by one thread.
        sample_rate: Hz of the waveform.

    Raises:
        UnreadableClip: the source is missing, is no media, or holds neither picture nor sound.

    >>> from mien.verify import GOLDEN_CLIP
    >>> with open_stream(GOLDEN_CLIP, sample_rate=8_000) as stream:
    ...     float(stream.duration), stream.sound.start == stream.picture.start
    (3.8, True)
    """
    with ExitStack() as stack:
        reader = stack.enter_context(reading(source))
        sound = Sound(sample_rate, 1)
        found = survey(reader, sound)
        track, origin = found.track, found.origin
        picture = heard = None
        if track:
            picture = Span(track.times[0] * track.base - origin, track.end * track.base - origin)
        # Whether it is silent, a single sample does not tell.
        if sound.span:
            heard = Span(*(time - origin for time in sound.span))
        if not (picture or heard):
            what = f"({found.video_reason or 'no frames'}; {found.audio_reason or 'no samples'})"
            raise unreadable(reader.title, f"expected picture or sound, got neither {what}")
        duration = max(span.end for span in (picture, heard) if span)
        if duration > LONGEST_S:
            what = f"expected times up to {LONGEST_S} s, got {float(duration):.0f} s"
            raise unreadable(reader.title, what)
        yield Stream(
            name=reader.title,
            duration=duration,
            pixels=found.pixels,
            picture=picture,
            sound=heard,
            video_reason=None if picture else found.video_reason or "no frames",
            audio_reason=None if heard else found.audio_reason or "no sound could be decoded",
            broken=found.broken,
            _reader=reader,
            _survey=found,
            _rate=sample_rate,
        )
