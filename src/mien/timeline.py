"""A clip of any length → windows, each answered as the piece of it would be."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import dropwhile

import numpy as np

from mien.acquaintance import Acquaintance
from mien.answering import Answering, Floats
from mien.detectors import Detector
from mien.errors import InvalidArgument
from mien.looking import Looks
from mien.media import ClipSource, clip_name
from mien.media.reader import unreadable
from mien.media.stream import Listening, Span, Stream, open_stream
from mien.people import PEOPLE, Follower, make_follower
from mien.senses import Heard, Told, compare, hear, tell
from mien.speaking import MEMORY_S, STEP_S, Mouths
from mien.windows import Checkpoint, Window

SHORTEST_S, LONGEST_S = 0.05, 600.0
"""Seconds between which windows and hops lie: shorter is no clip, longer no window of one."""
CHECKPOINT_S = 30
"""Seconds from one checkpoint to the next: so much more is computed twice when a run is resumed."""
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
            if not SHORTEST_S <= value <= LONGEST_S:
                raise InvalidArgument(
                    f"{name} must be {SHORTEST_S:g} to {LONGEST_S:g} seconds, not {value:g}"
                )
        if self.hop_s > self.window_s:
            raise InvalidArgument(
                f"hop_s must be at most window_s, {self.window_s:g}, not {self.hop_s:g}: what lies "
                "between windows would be left out"
            )
        if self.people not in PEOPLE:
            raise InvalidArgument(f"people must be {' or '.join(PEOPLE)}, not {self.people!r}")


USUAL_TIMELINE = TimelineOptions()


def timeline(
    source: ClipSource,
    *,
    answering: Answering,
    detector: Detector,
    options: TimelineOptions,
    start: Checkpoint | None,
) -> Iterator[Window]:
    """Answer window by window; see :meth:`mien.recognise.Recogniser.timeline`."""
    clip_name(source)
    config = answering.bundle.config.faces
    follower = make_follower(options.people, config=config, detector=detector, known=_known(start))
    return _windows(
        source,
        answering=answering,
        follower=follower,
        options=options,
        start_s=start.start_s if start else 0.0,
    )


def _known(start: Checkpoint | None) -> Acquaintance:
    if start is None:
        return Acquaintance()
    try:
        return Acquaintance.from_dict(start.known)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidArgument(
            f"start must be the checkpoint of a window, not something else ({error!r}); leave it "
            "out to begin anew"
        ) from error


def spans_of(duration: Fraction, *, options: TimelineOptions) -> Iterator[Span]:
    """Cut a clip into windows.

    Args:
        duration: of the clip, in seconds.
        options: how long windows are, and how far apart.

    Yields:
        One a hop as long as it fits; what would be left at the end has a window that ends with
        the clip; a clip that is shorter than a window is one.

    >>> [(float(a), float(b)) for a, b in spans_of(Fraction(11, 2), options=USUAL_TIMELINE)]
    [(0.0, 4.0), (1.0, 5.0), (1.5, 5.5)]
    >>> len(list(spans_of(Fraction(3), options=USUAL_TIMELINE)))
    1
    """
    # As they are written: 0.1 is a tenth.
    window, hop = (Fraction(str(value)) for value in (options.window_s, options.hop_s))
    if duration <= window:
        yield Span(Fraction(0), duration)
        return
    last = (duration - window) // hop
    for number in range(last + 1):
        yield Span(number * hop, number * hop + window)
    if duration - (last * hop + window) > REST:
        yield Span(duration - window, duration)


def _windows(
    source: ClipSource,
    *,
    answering: Answering,
    follower: Follower,
    options: TimelineOptions,
    start_s: float,
) -> Iterator[Window]:
    config = answering.bundle.config
    with ExitStack() as stack:
        stream = stack.enter_context(open_stream(source, sample_rate=config.speech.sample_rate))
        listening = stack.enter_context(stream.listening())
        spans = _spans_from(start_s, stream.duration, options)
        looks = stack.enter_context(
            closing(
                _looks(stream, start_s, answering=answering, follower=follower, options=options)
            )
        )
        sounds = _Sounds(stream, listening, answering)
        mouths = Mouths()
        saved_s = start_s
        for span in spans:
            seen = looks.of(span)
            heard = sounds.of(span)
            if options.people == "all":
                compare(seen, heard, mouths)
            rows = (
                _row(span, told, speech=heard.speech)
                for told in tell(seen, heard, answering=answering, mouths=mouths)
            )
            if span.start - saved_s >= CHECKPOINT_S and (known := looks.known_before(span)):
                saved_s = _seconds(span.start)
                yield replace(next(rows), checkpoint=_checkpoint(saved_s, known, options))
            yield from rows
        if stream.broken:
            raise unreadable(
                stream.name, stream.broken, "what comes before is answered; copy the file again"
            )


def _spans_from(start_s: float, duration: Fraction, options: TimelineOptions) -> Iterator[Span]:
    spans = spans_of(duration, options=options)
    return dropwhile(lambda span: _seconds(span.start) < start_s, spans)


def _looks(
    stream: Stream,
    start_s: float,
    *,
    answering: Answering,
    follower: Follower,
    options: TimelineOptions,
) -> Looks:
    duration = stream.duration
    since = next(_spans_from(start_s, duration, options), Span(duration, duration))
    windows = spans_of(duration, options=options)
    # What begins before it and reaches into it wants some of its frames too.
    overlapping = dropwhile(
        lambda other: other.start < since.start and other.end <= since.start, windows
    )
    return Looks(stream, overlapping, since=since, answering=answering, follower=follower)


def _checkpoint(start_s: float, known: Acquaintance, options: TimelineOptions) -> Checkpoint:
    # Faces of the first window are embedded together that otherwise come in several lots, which
    # the last digits tell. Whose voice it is hangs on what mouths did from that window's end on.
    memory_s = 0.0 if options.people == "largest" else MEMORY_S + STEP_S
    warm_s = options.window_s + memory_s
    return Checkpoint(start_s=start_s, same_from_s=start_s + warm_s, known=known.to_dict())


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
        reason = self._answering.lacks("audio") or self._stream.audio_reason
        said, share = hear(waveform, answering=self._answering, reason=reason)
        # Where the sound has not begun, or is over, nobody speaks.
        there = (inside.end - inside.start) / (span.end - span.start) if inside else 0
        spoken = float(there) * share if self._stream.sound else None
        return Heard(said, spoken, waveform, start, config.sample_rate)

    def _waveform(self, inside: Span) -> Floats:
        # The last packet's end is not the last sample's to the dot; none is to be lost.
        last = self._stream.sound is not None and inside.end == self._stream.sound.end
        return self._listening.between(inside.start, inside.end + (1 if last else 0))


def _row(span: Span, told: Told, *, speech: float | None) -> Window:
    answer = told.answer
    reasons = {"voice": answer.audio.reason, "face": answer.video.reason}
    why = [f"{name}: {reason}" for name, reason in reasons.items() if reason]
    return Window(
        start_s=_seconds(span.start),
        end_s=_seconds(span.end),
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


def _seconds(time: Fraction) -> float:
    return round(float(time), 6)
