"""A clip of any length → windows, each answered as the piece of it would be."""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from mien.answering import Answering, Floats, Said
from mien.detectors import Detector
from mien.errors import InvalidArgument
from mien.media import ClipSource, clip_name
from mien.media.reader import unreadable
from mien.media.stream import Listening, Span, Stream, open_stream
from mien.people import PEOPLE, Follower, make_follower
from mien.senses import Heard, Look, Told, View, compare, hear, look, tell
from mien.speaking import Mouths, speech_share
from mien.windows import Window

SHORTEST_S = 0.2
"""Seconds of the shortest window: less is no clip."""
REST = Fraction(1, 20)
"""Seconds at the end of a clip that may be left without a window."""


@dataclass(frozen=True, kw_only=True)
class TimelineOptions:
    """How a timeline is made."""

    window_s: float = 4.0
    """Seconds that an answer is about."""
    hop_s: float = 1.0
    """Seconds from one window's start to the next."""
    people: str = "largest"
    """``"largest"``: one face is followed; ``"all"``: everybody's."""

    def __post_init__(self) -> None:
        for name, value in (("window_s", self.window_s), ("hop_s", self.hop_s)):
            if not (math.isfinite(value) and value > 0):
                raise InvalidArgument(f"{name} must be seconds above 0, not {value}")
        if self.window_s < SHORTEST_S:
            raise InvalidArgument(f"window_s must be at least {SHORTEST_S}, not {self.window_s}")
        if self.hop_s > self.window_s:
            raise InvalidArgument(
                f"hop_s must be at most window_s, {self.window_s}, not {self.hop_s}: what lies "
                "between windows would be left out"
            )
        if self.people not in PEOPLE:
            raise InvalidArgument(f"people must be {' or '.join(PEOPLE)}, not {self.people!r}")


USUAL_TIMELINE = TimelineOptions()


def timeline(
    source: ClipSource, *, answering: Answering, detector: Detector, options: TimelineOptions
) -> Iterator[Window]:
    """Answer window by window; see :meth:`mien.recognise.Recogniser.timeline`."""
    clip_name(source)
    config = answering.bundle.config.faces
    follower = make_follower(options.people, config=config, detector=detector)
    return _windows(source, answering=answering, follower=follower, options=options)


def spans_of(duration: Fraction, *, options: TimelineOptions) -> list[Span]:
    """Cut a clip into windows.

    Args:
        duration: of the clip, in seconds.
        options: how long windows are, and how far apart.

    Returns:
        One a hop as long as it fits; what would be left at the end has a window that ends with
        the clip; a clip that is shorter than a window is one.

    >>> [(float(a), float(b)) for a, b in spans_of(Fraction(11, 2), options=USUAL_TIMELINE)]
    [(0.0, 4.0), (1.0, 5.0), (1.5, 5.5)]
    >>> len(spans_of(Fraction(3), options=USUAL_TIMELINE))
    1
    """
    # As they are written: 0.1 is a tenth.
    window, hop = (Fraction(str(value)) for value in (options.window_s, options.hop_s))
    if duration <= window:
        return [Span(Fraction(0), duration)]
    fitting = (duration - window) // hop + 1
    spans = [Span(number * hop, number * hop + window) for number in range(fitting)]
    if duration - spans[-1].end > REST:
        spans.append(Span(duration - window, duration))
    return spans


def _windows(
    source: ClipSource, *, answering: Answering, follower: Follower, options: TimelineOptions
) -> Iterator[Window]:
    config = answering.bundle.config
    with ExitStack() as stack:
        stream = stack.enter_context(open_stream(source, sample_rate=config.speech.sample_rate))
        listening = stack.enter_context(stream.listening())
        spans = spans_of(stream.duration, options=options)
        looks = _Looks(stream, spans, answering, follower)
        sounds = _Sounds(stream, listening, answering)
        mouths = Mouths()
        for number, span in enumerate(spans):
            seen = looks.of(number)
            heard = sounds.of(span)
            if options.people == "all":
                compare(seen, heard, mouths)
            for told in tell(seen, heard, answering=answering, mouths=mouths):
                yield _row(span, told, speech=heard.speech)
        if stream.broken:
            raise unreadable(
                stream.name, stream.broken, "what comes before is answered; copy the file again"
            )


class _Looks:
    """Looks at each wanted frame once, and keeps what later windows still need."""

    def __init__(
        self, stream: Stream, spans: Sequence[Span], answering: Answering, follower: Follower
    ) -> None:
        self._answering, self._follower = answering, follower
        self._reason = answering.lacks("video") or stream.video_reason
        self._wanted: list[npt.NDArray[np.int64] | None] = [
            self._shown(stream, span) for span in spans
        ]
        wanted = [times for times in self._wanted if times is not None]
        each = np.unique(np.concatenate(wanted)).tolist() if wanted else []
        self._frames = stream.frames(each) if each else iter(())
        self._seen: dict[int, Look] = {}
        self._last: int | None = None

    def _shown(self, stream: Stream, span: Span) -> npt.NDArray[np.int64] | None:
        inside = stream.picture and not self._reason and stream.picture.within(*span)
        slices = self._answering.bundle.config.faces.frames
        return stream.shown(inside, slices) if inside else None

    def of(self, number: int) -> View:
        """Give what is seen in a window; windows come in their order."""
        wanted = self._wanted[number]
        if wanted is None:
            return View((), self._reason or "no picture at that time")
        self._forget(int(wanted[0]))
        self._go_on(int(wanted[-1]))
        # A frame that cannot be decoded is missing; the one before it stands in.
        looks = [self._seen.get(pts) for pts in wanted.tolist()]
        known = next((each for each in looks if each), None)
        if known is None:
            return View((), "no picture could be decoded")
        filled = []
        for each in looks:
            known = each or known
            filled.append(known)
        return View(filled, None)

    def _forget(self, before: int) -> None:
        for pts in [pts for pts in self._seen if pts < before]:
            del self._seen[pts]

    def _go_on(self, until: int) -> None:
        while self._last is None or self._last < until:
            pts, frame = next(self._frames, (None, None))
            if pts is None or frame is None:
                return
            self._last = pts
            self._seen[pts] = look(frame, follower=self._follower, answering=self._answering)


class _Sounds:
    """Listens to each window."""

    def __init__(self, stream: Stream, listening: Listening, answering: Answering) -> None:
        self._stream, self._listening, self._answering = stream, listening, answering

    def of(self, span: Span) -> Heard:
        """Give what is heard in a window; windows come in their order."""
        config = self._answering.bundle.config.speech
        inside = self._stream.sound and self._stream.sound.within(*span)
        waveform = self._waveform(inside) if inside else np.empty(0, np.float32)
        start = float(inside.start) if inside else float(span.start)
        share = None
        if self._stream.sound:
            # Where the sound has not begun, or is over, nobody speaks.
            there = (inside.end - inside.start) / (span.end - span.start) if inside else 0
            share = float(there) * speech_share(waveform, config=config)
        said = self._said(waveform[: config.samples])
        return Heard(said, share, waveform, start, config.sample_rate)

    def _waveform(self, inside: Span) -> Floats:
        # The last packet's end is not the last sample's to the dot; none is to be lost.
        last = self._stream.sound is not None and inside.end == self._stream.sound.end
        return self._listening.between(inside.start, inside.end + (1 if last else 0))

    def _said(self, waveform: Floats) -> Said:
        if reason := self._answering.lacks("audio") or self._stream.audio_reason:
            return Said(None, reason)
        return hear(waveform, answering=self._answering)


def _row(span: Span, told: Told, *, speech: float | None) -> Window:
    answer = told.answer
    reasons = {"voice": answer.audio.reason, "face": answer.video.reason}
    why = [f"{name}: {reason}" for name, reason in reasons.items() if reason]
    return Window(
        start_s=round(float(span.start), 6),
        end_s=round(float(span.end), 6),
        person=told.person,
        emotion=answer.emotion,
        confidence=answer.confidence,
        probabilities=answer.probabilities,
        audio=answer.audio,
        video=answer.video,
        faces_found=told.faces_found,
        speech=None if speech is None else round(speech, 3),
        reason="; ".join(why) or None,
        sightings=told.sightings,
    )
