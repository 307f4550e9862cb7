"""Pictures with and without faces, and the detectors that look at them."""

import functools
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import skimage.data

from mien.detectors import Detector, make_detector

Pixels = npt.NDArray[np.uint8]

# All of scikit-image's own pictures that show no person; the cat and the coins have faces of a
# kind.
WITHOUT_FACE = [
    "binary_blobs",
    "brick",
    "cat",
    "cell",
    "checkerboard",
    "chelsea",
    "clock",
    "coffee",
    "coins",
    "colorwheel",
    "grass",
    "gravel",
    "horse",
    "hubble_deep_field",
    "immunohistochemistry",
    "logo",
    "microaneurysms",
    "moon",
    "page",
    "retina",
    "rocket",
    "shepp_logan_phantom",
    "text",
]


def data() -> Path:
    """Give the folder of pictures and clips that are not ours to publish."""
    folder = os.environ.get("MIEN_DATA")
    if not folder:
        pytest.skip("MIEN_DATA is not set: no pictures of faces")
    return Path(folder)


@functools.cache
def yunet() -> Detector:
    """Load YuNet once for all tests."""
    return make_detector("yunet", model=data().parent / "models" / "yunet_n_640_640.onnx")


def detector_named(name: str) -> Detector:
    """Give the detector of that name."""
    return yunet() if name == "yunet" else make_detector(name)


def plain(height: int = 90, width: int = 160, value: int = 128) -> Pixels:
    """Make a picture of one grey level."""
    return np.full((height, width, 3), value, dtype=np.uint8)


def sample_picture(name: str) -> Pixels:
    """Give a picture of scikit-image as RGB of 8 bits."""
    picture = np.asarray(getattr(skimage.data, name)())
    if picture.dtype != np.uint8:
        span = float(np.ptp(picture.astype(np.float64)))
        picture = (255 * (picture - picture.min().astype(np.float64)) / span).astype(np.uint8)
    if picture.ndim == 2:
        picture = np.repeat(picture[..., np.newaxis], 3, axis=2)
    return np.ascontiguousarray(picture[..., :3])
