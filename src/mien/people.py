"""Frames to the people in them: each face is followed, and known again after a cut."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from mien.acquaintance import Acquaintance, Appearance, Person
from mien.config import FacesConfig
from mien.detectors import Box, Detector, Pixels
from mien.errors import InvalidArgument
from mien.faces import Frame, cut_face, find_face, find_nearby, shrunk

PEOPLE = ("largest", "all")

SAME_PLACE = 0.3
"""Overlap from which two boxes in successive frames are one face."""
PRESENT_S = 1.0
"""Seconds after which a face that was not found is looked for elsewhere too."""
ALIKE = 0.955
"""Likeness from which a face is known again, where it was or elsewhere. In nine clips a face had at
least 0.968 with its own average and 0.985 with itself a fifth of a second before; faces of two
people had at most 0.953. (What the expression network makes of a face does not tell people apart:
0.27 to 1 within a person, up to 0.98 between two.)"""
CUT = 30.0
"""Mean change of grey, of 255, from one looked-at frame to the next, that is a cut."""

NOBODY = Acquaintance()
_UNASKED: Appearance = np.empty(0, np.float32)
"""How one looks whom nobody has to know again."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A person in a frame."""

    person: int
    """Counted from 1."""
    box: Box
    crop: Pixels
    """RGB, shape (crop_size, crop_size, 3)."""


class Follower(Protocol):
    """Tells who is in each frame of a clip, frame by frame."""

    @property
    def known(self) -> Acquaintance:
        """What it knows so far; another follower that is given it goes on as this one would."""

    def look(self, frame: Frame) -> list[Seen]:
        """Find the people in the next frame."""


def make_follower(
    people: str, *, config: FacesConfig, detector: Detector, known: Acquaintance = NOBODY
) -> Follower:
    """Make a follower of ``"largest"``, one face, or of ``"all"``.

    Args:
        people: whom.
        config: in how small a picture faces are looked for, and how large they are cut out.
        detector: finds them.
        known: what an earlier follower of the same people and clip knew.

    Raises:
        InvalidArgument: another word.

    >>> from mien.detectors import HaarDetector
    >>> make_follower("everyone", config=FacesConfig(), detector=HaarDetector())
    Traceback (most recent call last):
        ...
    mien.errors.InvalidArgument: people must be largest or all, not 'everyone'
    """
    if people == "largest":
        return Largest(config, detector, known)
    if people == "all":
        return Everybody(config, detector, known)
    raise InvalidArgument(f"people must be {' or '.join(PEOPLE)}, not {people!r}")


class Largest:
    """Follows one face, as :func:`mien.faces.follow_faces` does in a clip."""

    def __init__(
        self, config: FacesConfig, detector: Detector, known: Acquaintance = NOBODY
    ) -> None:
        self._config, self._detector = config, detector
        self.known = known

    def look(self, frame: Frame) -> list[Seen]:
        """Find the face, near where it was if it can be, else the largest."""
        config = self._config
        last = next((who.box for who in self.known.people), None)
        box = find_face(
            frame.image,
            near=last,
            short_side=config.search_short_side,
            detector=self._detector,
        )
        if box is None:
            return []
        self.known = Acquaintance((Person(1, box, frame.time, _UNASKED, _UNASKED),))
        return [Seen(1, box, cut_face(frame.image, box, size=config.crop_size))]


class Everybody:
    """Follows all faces."""

    def __init__(
        self, config: FacesConfig, detector: Detector, known: Acquaintance = NOBODY
    ) -> None:
        self._config, self._detector = config, detector
        self.known = known

    def look(self, frame: Frame) -> list[Seen]:
        """Find all faces, and say whose they are: the largest first."""
        config, known = self._config, self.known
        small, scale = shrunk(frame.image, config.search_short_side)
        scene = _scene(small)
        present = [known.numbered(number) for number in known.present]
        present = [who for who in present if frame.time - who.time <= PRESENT_S]
        if known.scene is not None and np.abs(scene - known.scene).mean() > CUT:
            present = []
        found = self._followed(present, frame.image, small, scale)
        taken = [box for _, box in found]
        for box in self._detector.detect(small):
            full = box.scaled(1 / scale)
            if all(full.overlap(other) < SAME_PLACE for other in taken):
                taken.append(full)
        crops = [cut_face(frame.image, box, size=config.crop_size) for box in taken]
        looks = [appearance(crop) for crop in crops]
        people = [who for who, _ in found]
        people += self._recognised(looks[len(found) :], people)
        rows = zip(people, taken, looks, strict=True)
        seen = [seen_again(who, box, frame.time, look) for who, box, look in rows]
        self._remember(seen, present, scene)
        faces = zip(seen, taken, crops, strict=True)
        return sorted(
            (Seen(who.number, box, crop) for who, box, crop in faces), key=lambda s: -s.box.area
        )

    def _remember(
        self, seen: Sequence[Person], present: Sequence[Person], scene: npt.NDArray[np.int16]
    ) -> None:
        people = {who.number: who for who in (*self.known.people, *seen)}
        # Those who were seen come first: where two claim a face, they are likelier whose it is.
        there = dict.fromkeys(who.number for who in (*seen, *present))
        self.known = Acquaintance(tuple(people.values()), tuple(there), scene)

    def _followed(
        self, present: Sequence[Person], image: Pixels, small: Pixels, scale: float
    ) -> list[tuple[Person, Box]]:
        """Find those who were there a moment ago near where they were."""
        claims: list[tuple[float, Person, Box]] = []
        for who in present:
            box = find_nearby(small, who.box.scaled(scale), self._detector)
            if box is not None:
                full = box.scaled(1 / scale)
                looks = appearance(cut_face(image, full, size=self._config.crop_size))
                if is_alike(who, looks):
                    claims.append((float(looks @ who.appearance), who, full))
        found: list[tuple[Person, Box]] = []
        # Where one is hidden by another both find the same face: it is whose it looks like.
        for _, who, full in sorted(claims, key=lambda claim: -claim[0]):
            if all(full.overlap(other) < SAME_PLACE for _, other in found):
                found.append((who, full))
        return found

    def _recognised(self, looks: Sequence[Appearance], there: list[Person]) -> Iterator[Person]:
        """Say whose faces they are that came up: of somebody who is away, or of somebody new."""
        known = {who.number for who in there}
        away = [who for who in self.known.people if who.number not in known]
        newest = len(self.known.people)
        for look in looks:
            alike = [float(look @ who.appearance) for who in away]
            if alike and max(alike) >= ALIKE:
                yield away.pop(int(np.argmax(alike)))
                continue
            newest += 1
            yield Person(newest, Box(0, 0, 0, 0), 0.0, look, look)


def is_alike(who: Person, look: Appearance) -> bool:
    """Say whether a face that is where a person was looks as they did, or as they do by now.

    A light that fades changes a face as much as a cut to another does, but not at once.
    """
    return max(float(look @ who.appearance), float(look @ who.latest)) >= ALIKE


def seen_again(who: Person, box: Box, time: float, look: Appearance) -> Person:
    """Give what is known of a person who was found again: how they look becomes an average."""
    mixed = 0.95 * who.appearance + 0.05 * look
    average: Appearance = (mixed / np.linalg.norm(mixed)).astype(np.float32)
    return Person(who.number, box, time, average, look)


def _scene(small: Pixels) -> npt.NDArray[np.int16]:
    """Make a frame so small that only a cut changes much of it."""
    tiny = cv2.resize(small, (32, 18), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(tiny, cv2.COLOR_RGB2GRAY).astype(np.int16)


def appearance(crop: Pixels) -> Appearance:
    """Describe whose face a crop shows: how often each shade and hue of it comes.

    The likeness of two is their product: 1 when they are the same.

    Args:
        crop: RGB, shape (size, size, 3).

    Returns:
        Of length 1, shape (96,).

    Source: the Bhattacharyya coefficient of histograms in CIE L*a*b*.

    >>> grey = np.full((48, 48, 3), 90, np.uint8)
    >>> round(float(appearance(grey) @ appearance(grey)), 3)
    1.0
    """
    size = crop.shape[0]
    inner = crop[size // 8 : -(size // 8), size // 6 : -(size // 6)]
    shades = cv2.cvtColor(inner, cv2.COLOR_RGB2Lab)
    counts = [cv2.calcHist([shades], [place], None, [32], [0, 256]).ravel() for place in range(3)]
    joined = np.concatenate(counts)
    found: Appearance = np.sqrt(joined / joined.sum()).astype(np.float32)
    return found
