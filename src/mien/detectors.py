"""A picture to boxes around its faces: by the Haar cascade, as in the paper, or by YuNet.

How the thresholds below were chosen is stated at each; all were measured on frames shrunk to 360
pixels on the short side.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import cv2
import numpy as np
import numpy.typing as npt

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


class Detector(Protocol):
    """Finds faces in a picture."""

    def detect(self, image: Pixels, *, expected: int | None = None) -> list[Box]:
        """Give a square box around each face, largest first.

        Args:
            image: RGB, shape (height, width, 3).
            expected: pixels a side of the face that was here a moment ago: only boxes of about
                that size are given then, and less evidence is asked for.
        """


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
        require_rgb(image)
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
        require_rgb(image)
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
    <mien.detectors.HaarDetector object at ...>
    """
    if name == "haar":
        return HaarDetector()
    if name != "yunet":
        choices = ", ".join(DETECTORS)
        raise InvalidArgument(f"detector must be one of {choices}, not {name!r}")
    if model is None:
        raise InvalidArgument(f"model must be YuNet's ONNX file for 'yunet', not None; {_CURE}")
    return YuNetDetector(model)


def require_rgb(image: Pixels) -> None:
    """Refuse what is no picture.

    Raises:
        InvalidArgument: the image is not RGB of 8 bits, or has no pixels.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise InvalidArgument(
            "image must be RGB of 8 bits in shape (height, width, 3), "
            f"not {image.dtype} in shape {image.shape}; convert it first"
        )


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
