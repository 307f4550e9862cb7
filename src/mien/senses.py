"""What is seen and heard in one window → who expresses what: the one way for timelines and live."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mien.acquaintance import Acquaintance
from mien.answering import Answer, Answering, Floats, Said
from mien.detectors import Box
from mien.media import Frame
from mien.media.sound import SILENCE_DBFS, silent
from mien.people import Follower, Seen
from mien.speaking import Mouths, speech_share
from mien.windows import Sighting


@dataclass(frozen=True, eq=False)
class Look:
    """What was seen in one frame; the frame itself is not kept."""

    time: float
    """Seconds from the clip's start."""
    faces: dict[int, tuple[Seen, Floats]]
    """By person: the face, and its embedding."""
    before: Acquaintance
    """Who was known before."""


def look(frames: Iterable[Frame], *, follower: Follower, answering: Answering) -> list[Look]:
    """Search frames for faces, and embed all that are found in one go.

    Args:
        frames: the next ones of their clip; taken one by one.
        follower: knows whose faces were in the frames before.
        answering: has the embedder.
    """
    found = [(frame.time, follower.known, follower.look(frame)) for frame in frames]
    crops = [face.crop for _, _, faces in found for face in faces]
    embeddings = iter(answering.embed(np.stack(crops)) if crops else ())
    return [
        Look(time, {face.person: (face, next(embeddings)) for face in faces}, before)
        for time, before, faces in found
    ]


@dataclass(frozen=True, eq=False)
class View:
    """What is seen in one window."""

    looks: Sequence[Look]
    """One a slice; empty where there is no picture."""
    reason: str | None
    """Why there is none."""

    def found(self, person: int) -> list[Look]:
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


@dataclass(frozen=True, eq=False)
class Heard:
    """What is heard in one window."""

    said: Said
    speech: float | None
    """Share of the window in which somebody speaks; ``None`` without sound."""
    waveform: Floats
    start: float
    """Seconds from the clip's start to the first sample."""
    rate: int

    def loudness(self, time: float) -> float | None:
        """Give the root mean square of the tenth of a second around a time."""
        middle, reach = round((time - self.start) * self.rate), self.rate // 20
        around = self.waveform[max(0, middle - reach) : max(0, middle + reach)]
        return float(np.sqrt(np.mean(np.square(around)))) if around.size else None


def hear(waveform: Floats, *, answering: Answering, reason: str | None) -> tuple[Said, float]:
    """Ask what a window sounds like, and in what share of it somebody speaks.

    Args:
        waveform: of the window, at the rate of the bundle's configuration, shape (samples,).
        answering: has the audio network.
        reason: why that is not asked, if it is not.
    """
    config = answering.bundle.config.speech
    if not waveform.size:
        return Said(None, reason or "no sound at that time"), 0.0
    features = answering.features(waveform)
    share = speech_share(waveform, config=config, features=features)
    if reason:
        return Said(None, reason), share
    if silent(waveform[: config.samples]):
        return Said(None, f"silent: below {SILENCE_DBFS} dBFS all through"), share
    return answering.hear(features), share


def compare(view: View, heard: Heard, mouths: Mouths) -> None:
    """Lay mouths and sound side by side, at each look that is new."""
    for each in view.looks:
        loudness = heard.loudness(each.time)
        if each.time > mouths.until and loudness is not None:
            crops = {person: seen.crop for person, (seen, _) in each.faces.items()}
            mouths.take(each.time, crops, loudness=loudness)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one person expresses in one window."""

    person: int | None
    """``None`` where no face was found."""
    answer: Answer
    faces_found: float | None
    """Share of the looks with this face; ``None`` without a picture."""
    sightings: tuple[Sighting, ...] = ()


def tell(view: View, heard: Heard, *, answering: Answering, mouths: Mouths) -> Iterator[Told]:
    """Answer for everybody in a window; for the voice alone where nobody is."""
    fewest = max(1, answering.bundle.config.faces.minimum_faces)
    people = view.people(fewest=fewest)
    if not people:
        slices = len(view.looks)
        unseen = Said(None, view.reason or f"a face in 0 of {slices} frames")
        answer = answering.answer(heard.said, unseen)
        yield Told(person=None, answer=answer, faces_found=0.0 if slices else None)
        return
    speaker = people[0] if len(people) == 1 else mouths.speaker(among=people)
    for person in people:
        found = view.found(person)
        video = Said(None, f"a face in {len(found)} of {len(view.looks)} frames")
        if len(found) >= fewest:
            video = answering.see(view.embeddings(person))
        yield Told(
            person=person,
            answer=answering.answer(_voice_of(person, speaker, heard.said), video),
            faces_found=round(len(found) / len(view.looks), 3),
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
    boxes: dict[float, Box] = {each.time: each.faces[person][0].box for each in found}
    return tuple(Sighting(time, box) for time, box in sorted(boxes.items()))
