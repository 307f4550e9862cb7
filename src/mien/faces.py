"""Frames to face crops: a face is found in each frame, followed from frame to frame, and cut out.

A picture without a face is never scored: where too few frames show one there are no crops, but the
reason.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from mien.config import FacesConfig
from mien.detectors import Box, Detector, Pixels, require_rgb
from mien.errors import InvalidArgument

NEIGHBOURHOOD = 0.5
"""Sides of the last box by which it is grown on each side to look for the next one."""


class Frame(Protocol):
    """A picture of a clip and when it is shown."""

    @property
    def image(self) -> Pixels:
        """RGB, shape (height, width, 3)."""

    @property
    def time(self) -> float:
        """Seconds since the clip's start."""


@dataclass(frozen=True, eq=False)
class Faces:
    """The faces of a clip, frame by frame."""

    crops: Pixels | None
    """RGB, shape (frames, crop_size, crop_size, 3); none when too few frames have a face."""
    boxes: tuple[Box | None, ...]
    """Where the face is in the full-size frame; none in frames without."""
    found: int
    """Frames with a face."""
    frames: int
    """Frames looked at."""
    reason: str | None
    """Why there are no crops."""


def follow_faces(frames: Iterable[Frame], *, config: FacesConfig, detector: Detector) -> Faces:
    """Find the face in each frame, near the last one if it can be, and cut it out.

    A frame without a face takes the crop of the nearest frame in time that has one.

    Args:
        frames: ``config.frames`` frames in the order of time, read one by one; a frame that is the
            same object as the one before is not searched again.
        config: how many frames, how large crops, and how many faces there must be.
        detector: finds faces in a shrunk frame.

    Returns:
        The crops, or why there are none.

    Raises:
        InvalidArgument: there are more or fewer frames than ``config.frames``, or a frame's image
            is not RGB of 8 bits.

    >>> from types import SimpleNamespace
    >>> from mien.detectors import HaarDetector
    >>> grey = SimpleNamespace(image=np.full((90, 160, 3), 128, dtype=np.uint8), time=0.0)
    >>> follow_faces([grey] * 22, config=FacesConfig(), detector=HaarDetector()).reason
    'a face in 0 of 22 frames'
    """
    sights = list(_sights(frames, config, detector))
    if len(sights) != config.frames:
        raise InvalidArgument(
            f"frames must be {config.frames}, not {len(sights)}; "
            "repeat frames of a clip that has fewer"
        )
    found = [sight for sight in sights if sight.crop is not None]
    enough = len(found) >= max(config.minimum_faces, 1)
    return Faces(
        crops=_nearest_crops(sights, found) if enough else None,
        boxes=tuple(sight.box for sight in sights),
        found=len(found),
        frames=len(sights),
        reason=None if enough else f"a face in {len(found)} of {len(sights)} frames",
    )


def find_face(
    image: Pixels, *, near: Box | None, short_side: int, detector: Detector
) -> Box | None:
    """Find one face: the one most like the last box around there, else the picture's largest.

    Args:
        image: RGB, shape (height, width, 3).
        near: where the face was a moment ago, if it was.
        short_side: pixels to which the picture's short side is shrunk to look for faces.
        detector: finds faces in the shrunk picture.

    Returns:
        The box in the picture as given; it may reach over the edge.

    Raises:
        InvalidArgument: the image is not RGB of 8 bits.

    >>> from mien.detectors import HaarDetector
    >>> empty = np.zeros((90, 160, 3), dtype=np.uint8)
    >>> find_face(empty, near=None, short_side=360, detector=HaarDetector())
    """
    require_rgb(image)
    small, scale = shrunk(image, short_side)
    box = None if near is None else find_nearby(small, near.scaled(scale), detector)
    if box is None:
        box = next(iter(detector.detect(small)), None)
    return None if box is None else box.scaled(1 / scale)


def cut_face(image: Pixels, box: Box, *, size: int) -> Pixels:
    """Cut out the square around a box's centre and bring it to a size.

    Args:
        image: RGB, shape (height, width, 3); its edge is repeated where the square leaves it.
        box: where the face is; the longer side gives the square.
        size: pixels a side of the crop.

    Returns:
        RGB, shape (size, size, 3); shrunk by area, enlarged by bicubic interpolation.

    Raises:
        InvalidArgument: the box lies outside the image.

    >>> picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    >>> cut_face(picture, Box(-1, 0, 2, 2), size=2)[0]
    array([[0, 1, 2],
           [0, 1, 2]], dtype=uint8)
    """
    height, width = image.shape[:2]
    if not Box(0, 0, width, height).overlap(box):
        raise InvalidArgument(f"box must overlap the image of {width}x{height} pixels, not {box}")
    top = box.y + (box.height - box.side) // 2
    left = box.x + (box.width - box.side) // 2
    bottom, right = top + box.side, left + box.side
    inside = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    outside = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    square = cv2.copyMakeBorder(inside, *outside, cv2.BORDER_REPLICATE)
    interpolation = cv2.INTER_AREA if box.side >= size else cv2.INTER_CUBIC
    return cv2.resize(square, (size, size), interpolation=interpolation).astype(
        np.uint8, copy=False
    )


@dataclass(frozen=True, eq=False)
class _Sight:
    """What was seen in one frame; the frame itself is not kept."""

    time: float
    box: Box | None
    crop: Pixels | None


def _sights(frames: Iterable[Frame], config: FacesConfig, detector: Detector) -> Iterator[_Sight]:
    last: Box | None = None
    seen: Frame | None = None
    for frame in frames:
        if frame is not seen:
            sight = _look(frame, last, config, detector)
            last = sight.box or last
            seen = frame
        yield sight


def _look(frame: Frame, last: Box | None, config: FacesConfig, detector: Detector) -> _Sight:
    image = frame.image
    box = find_face(image, near=last, short_side=config.search_short_side, detector=detector)
    crop = None if box is None else cut_face(image, box, size=config.crop_size)
    return _Sight(frame.time, box, crop)


def _nearest_crops(sights: list[_Sight], found: list[_Sight]) -> Pixels:
    nearest = (min(found, key=lambda other: abs(other.time - sight.time)) for sight in sights)
    return np.stack([sight.crop for sight in nearest if sight.crop is not None])


def find_nearby(image: Pixels, last: Box, detector: Detector) -> Box | None:
    """Find the face most like the last box, around there.

    Args:
        image: RGB, shape (height, width, 3), as small as faces are looked for in.
        last: where the face was a moment ago, in that picture.
        detector: finds faces.
    """
    margin = round(last.side * NEIGHBOURHOOD)
    left, top = max(last.x - margin, 0), max(last.y - margin, 0)
    right, bottom = last.x + last.width + margin, last.y + last.height + margin
    region = np.ascontiguousarray(image[top : max(bottom, 0), left : max(right, 0)])
    if region.size == 0:  # the last face lay outside this picture, which is another's size
        return None
    boxes = [box.moved(left, top) for box in detector.detect(region, expected=last.side)]
    return max(boxes, key=last.overlap, default=None)


def shrunk(image: Pixels, short_side: int) -> tuple[Pixels, float]:
    """Give the picture with at most that short side, and its size as a share of the original's.

    >>> small, scale = shrunk(np.zeros((720, 1280, 3), np.uint8), 360)
    >>> small.shape, scale
    ((360, 640, 3), 0.5)
    """
    height, width = image.shape[:2]
    scale = min(1.0, short_side / min(height, width))
    if scale == 1:
        return image, scale
    size = (round(width * scale), round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return small.astype(np.uint8, copy=False), scale
