"""Pictures and sound as they come from a camera and a microphone → who expresses what now."""

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mien.answering import Answering, Floats, Said
from mien.detectors import Box, Detector
from mien.errors import InvalidArgument
from mien.media.jpeg import jpeg_pixels
from mien.media.pictures import Frame
from mien.media.sound import resampled
from mien.people import make_follower
from mien.senses import Heard, Look, Told, View, compare, hear, look, tell
from mien.speaking import Mouths

WINDOW_S = 4.0
"""Seconds that an answer is about: the usual window of a timeline."""
RATES = (8_000, 192_000)
"""Lowest and highest samples a second of a microphone."""
TOGETHER_S = 0.1
"""Seconds by which a piece of sound may be early or late and still follow the one before it."""
MOST_LOOKS = 1000
"""Frames that are remembered, whatever times they claim: a window's at 240 a second."""
HERE_S = 1.0
"""Seconds since a face was last found after which its person is no longer in view."""


@dataclass(frozen=True, kw_only=True)
class InView:
    """A person who is in the picture now."""

    person: int
    """Counted from 1, the same all through the session."""
    box: Box
    """In the newest frame that was looked at."""
    emotion: str | None
    confidence: float | None


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What is expressed in the window that ends now."""

    told: Told
    """Of whom the largest face is."""
    start_s: float
    """On the client's clock."""
    end_s: float
    speech: float | None
    """Share of the window in which somebody speaks; ``None`` without sound."""
    in_view: tuple[InView, ...]
    """The largest face first."""
    frame_s: float | None
    """Time stamp of the newest frame used."""
    sound_s: float | None
    """Time stamp of the end of the newest sound used."""
    size: tuple[int, int] | None
    """Width and height of that frame, in which boxes are."""
    seconds: dict[str, float]
    """Time that each stage took, looking at frames since the last answer included."""


class LiveWindow:
    """The last seconds of a camera and a microphone; for one thread.

    Each frame is searched for faces and embedded once, when it comes; an answer only asks the
    networks of the branches. What is older than a window is forgotten.

    Args:
        answering: the networks.
        detector: finds faces.
        rate: samples a second of the microphone.

    Raises:
        InvalidArgument: a rate that no microphone has.
    """

    def __init__(self, *, answering: Answering, detector: Detector, rate: int) -> None:
        self._answering = answering
        config = answering.bundle.config
        self._follower = make_follower("all", config=config.faces, detector=detector)
        self._sound = _Microphone(rate)
        self._mouths = Mouths()
        self._looks: deque[Look] = deque(maxlen=MOST_LOOKS)
        self._size: tuple[int, int] | None = None
        self._seconds: dict[str, float] = {}

    def see(self, jpeg: bytes, *, time_s: float) -> None:
        """Look at the next frame.

        Args:
            jpeg: its bytes.
            time_s: when it was taken, on the client's clock; later than all before.

        Raises:
            InvalidArgument: no JPEG, or a time that is not later.
        """
        if self._looks and time_s <= self._looks[-1].time:
            raise InvalidArgument(
                f"frame must be later than {self._looks[-1].time} s, not at {time_s} s; drop it"
            )
        watch = time.perf_counter()
        image = jpeg_pixels(jpeg)
        watch = self._lap("decode", watch)
        self._size = (image.shape[1], image.shape[0])
        if not self._answering.lacks("video"):
            frame = Frame(time_s, image)
            self._looks += look([frame], follower=self._follower, answering=self._answering)
        self._lap("faces", watch)
        self._forget(time_s - WINDOW_S)

    def hear(self, samples: Floats, *, time_s: float) -> None:
        """Take the next piece of sound.

        Args:
            samples: full scale 1, shape (samples,).
            time_s: when its first sample was taken, on the client's clock.
        """
        self._sound.take(samples, time_s=time_s)

    def answer(self) -> Moment | None:
        """Say what the last seconds express; ``None`` before anything has come."""
        newest = [self._looks[-1].time] if self._looks else []
        newest += [] if self._sound.end is None else [self._sound.end]
        if not newest:
            return None
        end = max(newest)
        self._forget(end - WINDOW_S)
        watch = time.perf_counter()
        start = min(end, max(end - WINDOW_S, self._first(end)))
        heard = self._heard(start, end)
        watch = self._lap("audio", watch)
        view = self._view(start, end)
        compare(view, heard, self._mouths)
        told = list(tell(view, heard, answering=self._answering, mouths=self._mouths))
        self._lap("embed", watch)
        return self._moment(told, heard, start=start, end=end)

    def _moment(self, told: list[Told], heard: Heard, *, start: float, end: float) -> Moment:
        here = self._in_view(end)
        answers = {each.person: each for each in told}
        first = next((answers[who] for who, _ in here if who in answers), told[0])
        seconds, self._seconds = self._seconds, {}
        return Moment(
            told=first,
            start_s=start,
            end_s=end,
            speech=None if heard.speech is None else round(heard.speech, 3),
            in_view=tuple(_in_view(who, box, answers.get(who)) for who, box in here),
            frame_s=self._looks[-1].time if self._looks else None,
            sound_s=self._sound.end,
            size=self._size,
            seconds={name: round(value, 4) for name, value in seconds.items()},
        )

    def _lap(self, stage: str, since: float) -> float:
        now = time.perf_counter()
        self._seconds[stage] = self._seconds.get(stage, 0.0) + now - since
        return now

    def _first(self, end: float) -> float:
        """Tell when what is remembered begins."""
        starts = [self._looks[0].time] if self._looks else []
        starts += [] if self._sound.start is None else [self._sound.start]
        return min(starts, default=end)

    def _forget(self, before: float) -> None:
        # The one shown when the window begins is needed too.
        while len(self._looks) > 1 and self._looks[1].time <= before:
            self._looks.popleft()
        while self._looks and self._looks[0].time < before - HERE_S:
            self._looks.popleft()

    def _in_view(self, end: float) -> list[tuple[int, Box]]:
        """Give those whose faces were found in the newest frame, the largest first."""
        if not self._looks or self._looks[-1].time < end - HERE_S:
            return []
        faces = self._looks[-1].faces
        boxes = [(who, seen.box) for who, (seen, _) in faces.items()]
        return sorted(boxes, key=lambda pair: -pair[1].area)

    def _view(self, start: float, end: float) -> View:
        """Give the looks that are shown at the middles of the window's slices."""
        if reason := self._answering.lacks("video"):
            return View((), reason)
        looks = list(self._looks)
        if not looks:
            return View((), "no picture at that time")
        slices = self._answering.bundle.config.faces.frames
        middles = start + (np.arange(slices) + 0.5) * (end - start) / slices
        places = np.searchsorted([each.time for each in looks], middles, side="right") - 1
        return View([looks[max(int(place), 0)] for place in places], None)

    def _heard(self, start: float, end: float) -> Heard:
        config = self._answering.bundle.config.speech
        if self._sound.end is None:
            return Heard(Said(None, "no sound came"), None, np.empty(0, np.float32), start, 1)
        begin = max(start, self._sound.start or start)
        waveform = resampled(
            self._sound.between(begin, min(end, self._sound.end)),
            source_rate=self._sound.rate,
            rate=config.sample_rate,
        )
        lacking = self._answering.lacks("audio")
        said, share = hear(waveform, answering=self._answering, reason=lacking)
        return Heard(said, share, waveform, begin, config.sample_rate)


def _in_view(person: int, box: Box, told: Told | None) -> InView:
    return InView(
        person=person,
        box=box,
        emotion=told.answer.emotion if told else None,
        confidence=told.answer.confidence if told else None,
    )


@dataclass
class _Microphone:
    """The last seconds of sound, at the rate at which they came."""

    rate: int
    _pieces: deque[tuple[float, Floats]] = field(default_factory=deque)
    """Time of the first sample, and samples."""

    def __post_init__(self) -> None:
        if not RATES[0] <= self.rate <= RATES[1]:
            raise InvalidArgument(f"rate must be {RATES[0]} to {RATES[1]} Hz, not {self.rate}")

    @property
    def start(self) -> float | None:
        """Time of the first sample that is kept."""
        return self._pieces[0][0] if self._pieces else None

    @property
    def end(self) -> float | None:
        """Time after the last sample."""
        if not self._pieces:
            return None
        time_s, samples = self._pieces[-1]
        return time_s + len(samples) / self.rate

    def take(self, samples: Floats, *, time_s: float) -> None:
        """Take the next piece; a small jump of its time is a clock that trembles."""
        end = self.end
        if end is not None and abs(time_s - end) <= TOGETHER_S:
            time_s = end
        elif end is not None and time_s < end:
            # Its clock was set back, and no telling where what came before would lie.
            self._pieces.clear()
        if len(samples):
            self._pieces.append((time_s, samples))
            limit = time_s + len(samples) / self.rate - WINDOW_S
            while (
                self._pieces and self._pieces[0][0] + len(self._pieces[0][1]) / self.rate <= limit
            ):
                self._pieces.popleft()

    def between(self, start: float, end: float) -> Floats:
        """Give what was heard between two times; zeros where nothing came."""
        heard = np.zeros(max(0, round((end - start) * self.rate)), np.float32)
        for time_s, samples in self._pieces:
            place = round((time_s - start) * self.rate)
            first, last = max(0, place), min(len(heard), place + len(samples))
            if first < last:
                heard[first:last] = samples[first - place : last - place]
        return heard


def moment_dict(moment: Moment) -> dict[str, Any]:
    """Give what a prediction does not hold, in plain values that JSON can hold."""
    return {
        "start_s": round(moment.start_s, 3),
        "end_s": round(moment.end_s, 3),
        "speech": moment.speech,
        "person": moment.told.person,
        "in_view": [
            {
                "person": each.person,
                "box": [each.box.x, each.box.y, each.box.width, each.box.height],
                "emotion": each.emotion,
                "confidence": each.confidence,
            }
            for each in moment.in_view
        ],
        "picture_size": None if moment.size is None else list(moment.size),
        "newest": {"frame_s": moment.frame_s, "sound_s": moment.sound_s},
    }
