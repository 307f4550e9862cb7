"""A clip of any length → windows, each answered as the piece of it would be."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import dropwhile

import numpy as np

from mien.acquaintance import Acquaintance
from mien.answering import Answering, Floats, Said
from mien.detectors import Box, Detector
from mien.errors import InvalidArgument
from mien.looking import Look, Looks, View
from mien.media import ClipSource, clip_name
from mien.media.reader import unreadable
from mien.media.sound import SILENCE_DBFS, silent
from mien.media.stream import Listening, Span, Stream, open_stream
from mien.people import PEOPLE, Follower, make_follower
from mien.speaking import MEMORY_S, STEP_S, Mouths, speech_share
from mien.windows import Checkpoint, Sighting, Window

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
        looks = _looks(stream, start_s, answering=answering, follower=follower, options=options)
        sounds = _Sounds(stream, listening, answering)
        mouths = Mouths()
        saved_s = start_s
        for span in spans:
            seen = looks.of(span)
            heard = sounds.of(span)
            if options.people == "all":
                _compare(seen, heard, mouths)
            rows = _rows(span, seen, heard, answering=answering, mouths=mouths)
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
    # Whose voice it is hangs on what mouths did until then, from the end of the first window on:
    # before that, frames come in another order.
    warm_s = 0.0 if options.people == "largest" else options.window_s + MEMORY_S + STEP_S
    return Checkpoint(start_s=start_s, same_from_s=start_s + warm_s, known=known.to_dict())


@dataclass(frozen=True, eq=False)
class _Heard:
    """What is heard in one window."""

    said: Said
    speech: float | None
    waveform: Floats
    start: float
    """Seconds from the clip's start to the first sample."""
    rate: int

    def loudness(self, time: float) -> float | None:
        """Give the root mean square of the tenth of a second around a time."""
        middle, reach = round((time - self.start) * self.rate), self.rate // 20
        around = self.waveform[max(0, middle - reach) : max(0, middle + reach)]
        return float(np.sqrt(np.mean(np.square(around)))) if around.size else None


class _Sounds:
    """Listens to each window."""

    def __init__(self, stream: Stream, listening: Listening, answering: Answering) -> None:
        self._stream, self._listening, self._answering = stream, listening, answering

    def of(self, span: Span) -> _Heard:
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
        return _Heard(said, share, waveform, start, config.sample_rate)

    def _waveform(self, inside: Span) -> Floats:
        # The last packet's end is not the last sample's to the dot; none is to be lost.
        last = self._stream.sound is not None and inside.end == self._stream.sound.end
        return self._listening.between(inside.start, inside.end + (1 if last else 0))

    def _said(self, waveform: Floats) -> Said:
        if reason := self._answering.lacks("audio") or self._stream.audio_reason:
            return Said(None, reason)
        if not waveform.size:
            return Said(None, "no sound at that time")
        if silent(waveform):
            return Said(None, f"silent: below {SILENCE_DBFS} dBFS all through")
        return self._answering.hear(waveform)


def _compare(view: View, heard: _Heard, mouths: Mouths) -> None:
    """Lay mouths and sound side by side, at each look that is new."""
    for look in view.looks:
        loudness = heard.loudness(look.time)
        if look.time > mouths.until and loudness is not None:
            crops = {person: seen.crop for person, (seen, _) in look.faces.items()}
            mouths.take(look.time, crops, loudness=loudness)


def _rows(
    span: Span, view: View, heard: _Heard, *, answering: Answering, mouths: Mouths
) -> Iterator[Window]:
    """Answer for everybody in a window; for the voice alone where nobody is."""
    fewest = max(1, answering.bundle.config.faces.minimum_faces)
    people = view.people(fewest=fewest)
    if not people:
        slices = len(view.looks)
        reason = view.reason or f"a face in 0 of {slices} frames"
        share = 0.0 if slices else None
        yield _row(span, heard, heard.said, Said(None, reason), answering, found=share)
        return
    speaker = people[0] if len(people) == 1 else mouths.speaker()
    for person in people:
        found = view.found(person)
        video = Said(None, f"a face in {len(found)} of {len(view.looks)} frames")
        if len(found) >= fewest:
            video = answering.see(view.embeddings(person))
        yield _row(
            span,
            heard,
            _voice_of(person, speaker, heard.said),
            video,
            answering,
            found=round(len(found) / len(view.looks), 3),
            person=person,
            sightings=_sightings(found, person),
        )


def _voice_of(person: int, speaker: int | None, said: Said) -> Said:
    """Give the voice to whom it belongs."""
    if person == speaker or said.probabilities is None:
        return said
    if speaker is None:
        return Said(None, "whose voice it is cannot be told")
    return Said(None, f"the voice is person {speaker}'s")


def _sightings(found: Sequence[Look], person: int) -> tuple[Sighting, ...]:
    boxes: dict[float, Box] = {look.time: look.faces[person][0].box for look in found}
    return tuple(Sighting(time, box) for time, box in sorted(boxes.items()))


def _row(  # noqa: PLR0913 - each is one thing that a row says
    span: Span,
    heard: _Heard,
    audio: Said,
    video: Said,
    answering: Answering,
    *,
    found: float | None,
    person: int | None = None,
    sightings: tuple[Sighting, ...] = (),
) -> Window:
    answer = answering.answer(audio, video)
    reasons = {"voice": answer.audio.reason, "face": answer.video.reason}
    told = [f"{name}: {reason}" for name, reason in reasons.items() if reason]
    return Window(
        start_s=_seconds(span.start),
        end_s=_seconds(span.end),
        person=person,
        emotion=answer.emotion,
        confidence=answer.confidence,
        probabilities=answer.probabilities,
        audio=answer.audio,
        video=answer.video,
        faces_found=found,
        speech=None if heard.speech is None else round(heard.speech, 3),
        reason="; ".join(told) or None,
        sightings=sightings,
    )


def _seconds(time: Fraction) -> float:
    return round(float(time), 6)
