"""A clip of any length → windows, each answered as the piece of it would be."""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from mien.answering import Answering, Floats, Said
from mien.detectors import Box, Detector
from mien.errors import InvalidArgument
from mien.media import ClipSource, Frame, clip_name
from mien.media.reader import unreadable
from mien.media.sound import SILENCE_DBFS, silent
from mien.media.stream import Listening, Span, Stream, open_stream
from mien.people import PEOPLE, Follower, Seen, make_follower
from mien.speaking import Mouths, speech_share
from mien.windows import Sighting, Window

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
                _compare(seen, heard, mouths)
            yield from _rows(span, seen, heard, answering=answering, mouths=mouths)
        if stream.broken:
            raise unreadable(
                stream.name, stream.broken, "what comes before is answered; copy the file again"
            )


@dataclass(frozen=True, eq=False)
class _Look:
    """What was seen in one frame; the frame itself is not kept."""

    time: float
    faces: dict[int, tuple[Seen, Floats]]
    """By person: the face, and its embedding."""


@dataclass(frozen=True, eq=False)
class _View:
    """What is seen in one window."""

    looks: Sequence[_Look]
    """One a slice; empty where there is no picture."""
    reason: str | None
    """Why there is none."""

    def found(self, person: int) -> list[_Look]:
        """Give the looks at which a person was found."""
        return [look for look in self.looks if person in look.faces]

    def people(self, *, fewest: int) -> list[int]:
        """Name who was found in so many looks; else who was found most often, if anybody was."""
        counts: dict[int, int] = {}
        for look in self.looks:
            for person in look.faces:
                counts[person] = counts.get(person, 0) + 1
        often = sorted(person for person, count in counts.items() if count >= fewest)
        return often or sorted(counts, key=lambda person: (-counts[person], person))[:1]

    def embeddings(self, person: int) -> Floats:
        """Give one embedding a slice: that of the nearest look in time that has the person."""
        found = self.found(person)
        nearest = (min(found, key=lambda other: abs(other.time - look.time)) for look in self.looks)
        return np.stack([look.faces[person][1] for look in nearest])


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
        self._seen: dict[int, _Look] = {}
        self._last: int | None = None

    def _shown(self, stream: Stream, span: Span) -> npt.NDArray[np.int64] | None:
        inside = stream.picture and not self._reason and stream.picture.within(*span)
        slices = self._answering.bundle.config.faces.frames
        return stream.shown(inside, slices) if inside else None

    def of(self, number: int) -> _View:
        """Give what is seen in a window; windows come in their order."""
        wanted = self._wanted[number]
        if wanted is None:
            return _View((), self._reason or "no picture at that time")
        self._forget(int(wanted[0]))
        self._go_on(int(wanted[-1]))
        # A frame that cannot be decoded is missing; the one before it stands in.
        looks = [self._seen.get(pts) for pts in wanted.tolist()]
        known = next((look for look in looks if look), None)
        if known is None:
            return _View((), "no picture could be decoded")
        filled = []
        for look in looks:
            known = look or known
            filled.append(known)
        return _View(filled, None)

    def _forget(self, before: int) -> None:
        for pts in [pts for pts in self._seen if pts < before]:
            del self._seen[pts]

    def _go_on(self, until: int) -> None:
        while self._last is None or self._last < until:
            pts, frame = next(self._frames, (None, None))
            if pts is None or frame is None:
                return
            self._last = pts
            self._seen[pts] = self._look(frame)

    def _look(self, frame: Frame) -> _Look:
        faces = self._follower.look(frame)
        if not faces:
            return _Look(frame.time, {})
        embeddings = self._answering.embed(np.stack([face.crop for face in faces]))
        pairs = zip(faces, embeddings, strict=True)
        return _Look(frame.time, {face.person: (face, row) for face, row in pairs})


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


def _compare(view: _View, heard: _Heard, mouths: Mouths) -> None:
    """Lay mouths and sound side by side, at each look that is new."""
    for look in view.looks:
        loudness = heard.loudness(look.time)
        if look.time > mouths.until and loudness is not None:
            crops = {person: seen.crop for person, (seen, _) in look.faces.items()}
            mouths.take(look.time, crops, loudness=loudness)


def _rows(
    span: Span, view: _View, heard: _Heard, *, answering: Answering, mouths: Mouths
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


def _sightings(found: Sequence[_Look], person: int) -> tuple[Sighting, ...]:
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
        start_s=round(float(span.start), 6),
        end_s=round(float(span.end), 6),
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
