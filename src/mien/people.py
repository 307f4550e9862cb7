"""Frames to the people in them: each face is followed, and known again after a cut."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

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
"""Likeness from which a face that was away is known again. In nine clips faces of one person in one
light had at least 0.95 and faces of different people at most 0.95. (What the expression network
makes of a face does not tell people apart: 0.27 to 1 within a person, up to 0.98 between two.)"""
CUT = 30.0
"""Mean change of grey, of 255, from one looked-at frame to the next, that is a cut."""

Appearance = npt.NDArray[np.float32]


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

    def look(self, frame: Frame) -> list[Seen]:
        """Find the people in the next frame."""


def make_follower(people: str, *, config: FacesConfig, detector: Detector) -> Follower:
    """Make a follower of ``"largest"``, one face, or of ``"all"``.

    Raises:
        InvalidArgument: another word.

    >>> from mien.detectors import HaarDetector
    >>> make_follower("everyone", config=FacesConfig(), detector=HaarDetector())
    Traceback (most recent call last):
        ...
    mien.errors.InvalidArgument: people must be largest or all, not 'everyone'
    """
    if people == "largest":
        return Largest(config, detector)
    if people == "all":
        return Everybody(config, detector)
    raise InvalidArgument(f"people must be {' or '.join(PEOPLE)}, not {people!r}")


class Largest:
    """Follows one face, as :func:`mien.faces.follow_faces` does in a clip."""

    def __init__(self, config: FacesConfig, detector: Detector) -> None:
        self._config, self._detector = config, detector
        self._last: Box | None = None

    def look(self, frame: Frame) -> list[Seen]:
        """Find the face, near where it was if it can be, else the largest."""
        config = self._config
        box = find_face(
            frame.image,
            near=self._last,
            short_side=config.search_short_side,
            detector=self._detector,
        )
        if box is None:
            return []
        self._last = box
        return [Seen(1, box, cut_face(frame.image, box, size=config.crop_size))]


@dataclass
class _Person:
    """What is known of a person so far."""

    number: int
    box: Box
    time: float
    """When the face was last found."""
    appearance: Appearance


class Everybody:
    """Follows all faces."""

    def __init__(self, config: FacesConfig, detector: Detector) -> None:
        self._config, self._detector = config, detector
        self._people: list[_Person] = []
        self._scene: npt.NDArray[np.int16] | None = None
        self._present: list[_Person] = []

    def look(self, frame: Frame) -> list[Seen]:
        """Find all faces, and say whose they are: the largest first."""
        config = self._config
        small, scale = shrunk(frame.image, config.search_short_side)
        if self._is_cut(small):
            self._present = []
        self._present = [who for who in self._present if frame.time - who.time <= PRESENT_S]
        found = self._followed(frame.image, small, scale)
        taken = [box for _, box in found]
        for box in self._detector.detect(small):
            full = box.scaled(1 / scale)
            if all(full.overlap(other) < SAME_PLACE for other in taken):
                taken.append(full)
        crops = [cut_face(frame.image, box, size=config.crop_size) for box in taken]
        people = [who for who, _ in found]
        people += self._recognised(crops[len(found) :], taken[len(found) :], frame.time, people)
        for who, box, crop in zip(people, taken, crops, strict=True):
            who.box, who.time = box, frame.time
            who.appearance = 0.95 * who.appearance + 0.05 * appearance(crop)
        self._present = [*people, *(who for who in self._present if who not in people)]
        rows = zip(people, taken, crops, strict=True)
        return sorted(
            (Seen(who.number, box, crop) for who, box, crop in rows), key=lambda s: -s.box.area
        )

    def _is_cut(self, small: Pixels) -> bool:
        grey = cv2.cvtColor(
            cv2.resize(small, (32, 18), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY
        )
        scene = grey.astype(np.int16)
        last, self._scene = self._scene, scene
        return last is not None and bool(np.abs(scene - last).mean() > CUT)

    def _followed(self, image: Pixels, small: Pixels, scale: float) -> list[tuple[_Person, Box]]:
        """Find those who were there a moment ago near where they were."""
        claims: list[tuple[float, _Person, Box]] = []
        for who in self._present:
            box = find_nearby(small, who.box.scaled(scale), self._detector)
            if box is not None:
                full = box.scaled(1 / scale)
                looks = appearance(cut_face(image, full, size=self._config.crop_size))
                claims.append((float(looks @ who.appearance), who, full))
        found: list[tuple[_Person, Box]] = []
        # Where one is hidden by another both find the same face: it is whose it looks like.
        for _, who, full in sorted(claims, key=lambda claim: -claim[0]):
            if all(full.overlap(other) < SAME_PLACE for _, other in found):
                found.append((who, full))
        return found

    def _recognised(
        self, crops: Sequence[Pixels], boxes: Sequence[Box], time: float, there: list[_Person]
    ) -> Iterator[_Person]:
        """Say whose faces they are that came up: of somebody who is away, or of somebody new."""
        away = [who for who in self._people if who not in there]
        for crop, box in zip(crops, boxes, strict=True):
            looks = appearance(crop)
            alike = [float(looks @ who.appearance) for who in away]
            if alike and max(alike) >= ALIKE:
                yield away.pop(int(np.argmax(alike)))
                continue
            new = _Person(len(self._people) + 1, box, time, looks)
            self._people.append(new)
            yield new


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
