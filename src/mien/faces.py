"""Frames to face crops: a face is found in each frame, followed from frame to frame, and cut out.

A picture without a face is never scored: where too few frames show one there are no crops, but the
reason. How the thresholds below were chosen is stated at each; all were measured on frames shrunk
to 360 pixels on the short side.
"""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import cv2
import numpy as np
import numpy.typing as npt

from mien.config import FacesConfig
from mien.errors import InvalidArgument, MissingDependency

Pixels = npt.NDArray[np.uint8]

DETECTORS = ("haar", "yunet")

SMALLEST_SHARE = 1 / 8
"""Side of the smallest face looked for, as a share of the picture's short side: a person speaking
to the camera is seldom smaller, and smaller boxes are mostly mistakes."""
SMALLEST_SIDE = 24
"""Pixels a side of the picture that the cascade was trained on: nothing smaller can be found."""
SIDE_RANGE = (0.7, 1.4)
"""Shares of the last face's side between which the next one's is expected."""
NEIGHBOURHOOD = 0.5
"""Sides of the last box by which it is grown on each side to look for the next one."""

HAAR_CASCADE = "haarcascade_frontalface_default.xml"
HAAR_STEP = 1.2
"""Growth of the window from one pass to the next."""
HAAR_NEIGHBOURS = 9
"""Overlapping windows that a face must exceed. In 492 pictures with a face (RAVDESS, HDTF and
others, also darkened, blurred and mirrored) the face had at least 11; in 24 pictures without
(scikit-image's) nothing had more than 8. Equalising the grey levels brought the two closer."""
HAAR_NEIGHBOURS_NEARBY = 4
"""The same where a face was a moment ago; few window sizes are passed there."""

YUNET_SCORE = 0.7
"""Faces of the same pictures scored at least 0.93, pictures without at most 0.54."""
YUNET_OVERLAP = 0.3
"""Overlap above which two boxes are one face; OpenCV's default."""
YUNET_SMALLEST_INPUT = 64
"""Pixels a side to which smaller pictures are padded: at 32 pixels or fewer, high or wide, OpenCV
4.14 gives boxes at infinity, and others with each call."""
YUNET_SIDE = 0.9
"""Side of Haar's box as a share of the longer side of YuNet's: the median over 96 pictures, with
the centres in the same place (0.00 and -0.01 of a side apart)."""


@dataclass(frozen=True)
class Box:
    """A rectangle in a picture, in whole pixels; ``x`` and ``y`` are its left and its top."""

    x: int
    y: int
    width: int
    height: int

    @property
    def area(self) -> int:
        """Pixels in the box."""
        return self.width * self.height

    @property
    def side(self) -> int:
        """Pixels of the longer side."""
        return max(self.width, self.height)

    def scaled(self, factor: float) -> Self:
        """Give the same box in a picture that many times as large.

        >>> Box(10, 20, 30, 30).scaled(0.5)
        Box(x=5, y=10, width=15, height=15)
        """
        return type(self)(
            *(round(value * factor) for value in (self.x, self.y, self.width, self.height))
        )

    def moved(self, right: int, down: int) -> Self:
        """Give the same box further right and down.

        >>> Box(10, 20, 30, 30).moved(1, -2)
        Box(x=11, y=18, width=30, height=30)
        """
        return type(self)(self.x + right, self.y + down, self.width, self.height)

    def overlap(self, other: "Box") -> float:
        """Give the share of both boxes' pixels that they have in common, 0 to 1.

        >>> Box(0, 0, 10, 10).overlap(Box(5, 0, 10, 10))
        0.3333333333333333
        """
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        common = max(width, 0) * max(height, 0)
        return common / max(self.area + other.area - common, 1)


class Frame(Protocol):
    """A picture of a clip and when it is shown."""

    @property
    def image(self) -> Pixels:
        """RGB, shape (height, width, 3)."""

    @property
    def time(self) -> float:
        """Seconds since the clip's start."""


class Detector(Protocol):
    """Finds faces in a picture."""

    def detect(self, image: Pixels, *, expected: int | None = None) -> list[Box]:
        """Give a square box around each face, largest first.

        Args:
            image: RGB, shape (height, width, 3).
            expected: pixels a side of the face that was here a moment ago: only boxes of about
                that size are given then, and less evidence is asked for.
        """


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


class HaarDetector:
    """OpenCV's cascade of Haar features for frontal faces (Viola & Jones, 2001): the paper's.

    May be shared by threads: the cascade is loaded once for each, as OpenCV's is not safe to share.

    >>> HaarDetector().detect(np.zeros((120, 160, 3), dtype=np.uint8))
    []
    """

    def __init__(self) -> None:
        self._own = threading.local()

    def detect(self, image: Pixels, *, expected: int | None = None) -> list[Box]:
        """Give a square box around each face, largest first.

        Args:
            image: RGB, shape (height, width, 3).
            expected: pixels a side of the face that was here a moment ago: only boxes of about
                that size are given then, and less evidence is asked for.

        Raises:
            InvalidArgument: the image has another shape or type.
            MissingDependency: the installed OpenCV ships no cascades.
        """
        _check_image(image)
        smallest, largest = _sides(image, expected)
        found = self._cascade().detectMultiScale(
            cv2.cvtColor(image, cv2.COLOR_RGB2GRAY),
            scaleFactor=HAAR_STEP,
            minNeighbors=HAAR_NEIGHBOURS if expected is None else HAAR_NEIGHBOURS_NEARBY,
            minSize=(smallest, smallest),
            maxSize=(largest, largest),
        )
        return _largest_first(Box(*map(int, box)) for box in found)

    def _cascade(self) -> cv2.CascadeClassifier:
        if not hasattr(self._own, "cascade"):
            self._own.cascade = _load_cascade()
        cascade: cv2.CascadeClassifier = self._own.cascade
        return cascade


class YuNetDetector:
    """YuNet (Wu et al., 2023), a small network that also finds turned and partly hidden faces.

    May be shared by threads: the network is loaded once for each. Its boxes are made square and
    cover what the Haar cascade's cover, so that the crops look the same to the networks after it.

    Args:
        model_path: ``face_detection_yunet_2023mar.onnx`` of OpenCV's model zoo, or another export
            of YuNet.

    Raises:
        InvalidArgument: the file is missing or holds no such network.
    """

    def __init__(self, model_path: Path) -> None:
        if not model_path.is_file():
            raise InvalidArgument(
                f"model_path must be a YuNet ONNX file, but there is none at {model_path}; {_CURE}"
            )
        self._model_path = model_path
        self._own = threading.local()
        try:
            self.detect(np.zeros((64, 64, 3), dtype=np.uint8))
        except cv2.error as error:
            raise InvalidArgument(
                f"model_path must be a YuNet ONNX file, which {model_path} is not; {_CURE}"
            ) from error

    def detect(self, image: Pixels, *, expected: int | None = None) -> list[Box]:
        """Give a square box around each face, largest first.

        Args:
            image: RGB, shape (height, width, 3).
            expected: pixels a side of the face that was here a moment ago: only boxes of about
                that size are given then.

        Raises:
            InvalidArgument: the image has another shape or type.
        """
        _check_image(image)
        smallest, largest = _sides(image, expected)
        height, width = (max(YUNET_SMALLEST_INPUT - length, 0) for length in image.shape[:2])
        picture = cv2.copyMakeBorder(image, 0, height, 0, width, cv2.BORDER_CONSTANT)
        network = self._network()
        network.setInputSize((picture.shape[1], picture.shape[0]))
        _, found = network.detect(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        rows = [] if found is None else found.tolist()
        boxes = (_square(*row[:4]) for row in rows)
        return _largest_first(box for box in boxes if smallest <= box.side <= largest)

    def _network(self) -> cv2.FaceDetectorYN:
        if not hasattr(self._own, "network"):
            self._own.network = cv2.FaceDetectorYN.create(
                str(self._model_path), "", (0, 0), YUNET_SCORE, YUNET_OVERLAP
            )
        network: cv2.FaceDetectorYN = self._own.network
        return network


_CURE = "download face_detection_yunet_2023mar.onnx from OpenCV's model zoo, or choose 'haar'"


def make_detector(name: str, *, model: Path | None = None) -> Detector:
    """Give the detector of that name.

    Args:
        name: one of ``DETECTORS``.
        model: YuNet's ONNX file; ``"haar"`` needs none.

    Raises:
        InvalidArgument: the name is unknown, or YuNet's file is not given, missing or another's.

    >>> make_detector("haar")  # doctest: +ELLIPSIS
    <mien.faces.HaarDetector object at ...>
    """
    if name == "haar":
        return HaarDetector()
    if name != "yunet":
        choices = ", ".join(DETECTORS)
        raise InvalidArgument(f"detector must be one of {choices}, not {name!r}")
    if model is None:
        raise InvalidArgument(f"model must be YuNet's ONNX file for 'yunet', not None; {_CURE}")
    return YuNetDetector(model)


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

    >>> empty = np.zeros((90, 160, 3), dtype=np.uint8)
    >>> find_face(empty, near=None, short_side=360, detector=HaarDetector())
    """
    _check_image(image)
    small, scale = _shrunk(image, short_side)
    box = None if near is None else _find_nearby(small, near.scaled(scale), detector)
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


def _find_nearby(image: Pixels, last: Box, detector: Detector) -> Box | None:
    margin = round(last.side * NEIGHBOURHOOD)
    left, top = max(last.x - margin, 0), max(last.y - margin, 0)
    right, bottom = last.x + last.width + margin, last.y + last.height + margin
    region = np.ascontiguousarray(image[top : max(bottom, 0), left : max(right, 0)])
    if region.size == 0:  # the last face lay outside this picture, which is another's size
        return None
    boxes = [box.moved(left, top) for box in detector.detect(region, expected=last.side)]
    return max(boxes, key=last.overlap, default=None)


def _shrunk(image: Pixels, short_side: int) -> tuple[Pixels, float]:
    """Give the picture with at most that short side, and its size as a share of the original's."""
    height, width = image.shape[:2]
    scale = min(1.0, short_side / min(height, width))
    if scale == 1:
        return image, scale
    size = (round(width * scale), round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return small.astype(np.uint8, copy=False), scale


def _sides(image: Pixels, expected: int | None) -> tuple[int, int]:
    """Give the sides of the smallest and the largest face to look for, in pixels."""
    if expected is None:
        short_side, long_side = sorted(image.shape[:2])
        return max(SMALLEST_SIDE, round(short_side * SMALLEST_SHARE)), long_side
    smallest, largest = (round(expected * share) for share in SIDE_RANGE)
    return max(SMALLEST_SIDE, smallest), largest


def _largest_first(boxes: Iterable[Box]) -> list[Box]:
    # The place breaks ties: OpenCV's order depends on how its threads were scheduled.
    return sorted(boxes, key=lambda box: (-box.area, box.y, box.x))


def _square(x: float, y: float, width: float, height: float) -> Box:
    side = max(width, height) * YUNET_SIDE
    left, top = x + (width - side) / 2, y + (height - side) / 2
    return Box(round(left), round(top), round(side), round(side))


def _load_cascade() -> cv2.CascadeClassifier:
    path = Path(cv2.__file__).parent / "data" / HAAR_CASCADE
    cascade = cv2.CascadeClassifier(str(path))
    if cascade.empty():
        raise MissingDependency(
            f"OpenCV {cv2.__version__} ships no {HAAR_CASCADE}; "
            "install opencv-python-headless>=4.10,<5"
        )
    return cascade


def _check_image(image: Pixels) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise InvalidArgument(
            "image must be RGB of 8 bits in shape (height, width, 3), "
            f"not {image.dtype} in shape {image.shape}; convert it first"
        )
