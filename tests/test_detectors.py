"""mien.detectors: where the detectors see a face, and where none."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from face_pictures import WITHOUT_FACE, Pixels, data, detector_named, plain, sample_picture, yunet
from mien.detectors import Box, HaarDetector, YuNetDetector, make_detector
from mien.errors import InvalidArgument, MissingDependency
from mien.faces import find_face

HAAR = HaarDetector()

# Centre and side of the face of each actor's still, looked at on a contact sheet.
STILLS = {
    1: (198, 105, 118), 2: (195, 121, 140), 3: (204, 116, 133), 4: (200, 106, 125),
    5: (202, 110, 143), 6: (193, 115, 128), 7: (196, 108, 127), 8: (198, 114, 127),
    9: (201, 99, 138), 10: (210, 117, 138), 11: (210, 102, 141), 12: (198, 114, 127),
    13: (199, 100, 122), 14: (196, 108, 141), 15: (196, 110, 134), 16: (195, 105, 128),
    17: (195, 123, 134), 18: (201, 116, 142), 19: (202, 112, 137), 20: (202, 110, 114),
    21: (203, 114, 122), 22: (200, 121, 136), 23: (195, 100, 128), 24: (194, 116, 133),
}  # fmt: skip


def still(actor: int) -> Pixels:
    path = data() / "faces" / f"actor_{actor:02}.png"
    picture = cv2.imread(str(path))
    assert picture is not None
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((50, 50), dtype=np.uint8),
        np.zeros((50, 50, 4), dtype=np.uint8),
        np.zeros((50, 50, 3), dtype=np.float32),
        np.zeros((0, 50, 3), dtype=np.uint8),
    ],
)
def test_images_other_than_rgb_are_refused(image: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"image must be RGB of 8 bits.*, not .*convert"):
        HAAR.detect(image)


@pytest.mark.parametrize("name", ["haar", "yunet"])
def test_the_astronaut_has_one_face(name: str) -> None:
    boxes = detector_named(name).detect(sample_picture("astronaut"))
    assert len(boxes) == 1
    (box,) = boxes
    assert box.width == box.height
    assert box.x + box.width / 2 == pytest.approx(225, abs=8)
    assert box.y + box.height / 2 == pytest.approx(116, abs=8)
    assert 85 <= box.side <= 110


@pytest.mark.parametrize("name", WITHOUT_FACE)
def test_yunet_sees_no_face_where_there_is_none(name: str) -> None:
    image = sample_picture(name)
    assert find_face(image, near=None, short_side=360, detector=yunet()) is None


def test_the_largest_face_comes_first() -> None:
    astronaut = sample_picture("astronaut")[20:220, 130:330]
    small = cv2.resize(astronaut, (120, 120), interpolation=cv2.INTER_AREA)
    both = plain(200, 400)
    both[40:160, 20:140] = small
    both[:, 200:] = astronaut
    boxes = HAAR.detect(both)
    assert len(boxes) == 2
    assert boxes[0].side > boxes[1].side
    assert boxes[0].x > 200 > boxes[1].x


def test_a_face_is_found_nearby_at_about_the_expected_size_only() -> None:
    astronaut = sample_picture("astronaut")
    side = HAAR.detect(astronaut)[0].side
    assert HAAR.detect(astronaut, expected=side)
    assert not HAAR.detect(astronaut, expected=side * 2)
    assert not HAAR.detect(astronaut, expected=side // 2)


@pytest.mark.parametrize("name", ["haar", "yunet"])
@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (23, 300), (928, 23), (24, 24), (1, 500)])
def test_tiny_pictures_have_no_face(name: str, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    detector = detector_named(name)
    assert find_face(image, near=None, short_side=360, detector=detector) is None
    assert find_face(image, near=Box(0, 0, 16, 16), short_side=360, detector=detector) is None


@pytest.mark.parametrize("name", ["haar", "yunet"])
def test_boxes_do_not_depend_on_threads(name: str) -> None:
    detector = detector_named(name)
    picture = sample_picture("astronaut")
    threads = cv2.getNumThreads()
    try:
        seen = []
        for count in (1, 2, 4):
            cv2.setNumThreads(count)
            seen += [detector.detect(picture) for _ in range(3)]
    finally:
        cv2.setNumThreads(threads)
    with ThreadPoolExecutor(4) as pool:
        seen += pool.map(detector.detect, [picture] * 8)
    assert seen == [seen[0]] * len(seen)


def test_detectors_are_made_by_name() -> None:
    assert isinstance(make_detector("haar"), HaarDetector)
    assert isinstance(yunet(), YuNetDetector)


def test_unknown_detectors_are_refused_with_the_choices() -> None:
    with pytest.raises(InvalidArgument, match="detector must be one of haar, yunet, not 'mtcnn'"):
        make_detector("mtcnn")


def test_yunet_needs_a_model_that_is_there_and_is_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"model must be .*not None; download"):
        make_detector("yunet")
    missing = tmp_path / "none.onnx"
    with pytest.raises(InvalidArgument, match=r"there is none at .*none\.onnx; download"):
        make_detector("yunet", model=missing)
    wrong = tmp_path / "wrong.onnx"
    wrong.write_bytes(b"not a network")
    with pytest.raises(InvalidArgument, match=r"which .*wrong\.onnx is not; download"):
        make_detector("yunet", model=wrong)


def test_an_opencv_without_cascades_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.detectors.HAAR_CASCADE", "absent.xml")
    with pytest.raises(MissingDependency, match=r"ships no absent\.xml; install opencv"):
        HaarDetector().detect(plain())


@pytest.mark.parametrize("name", ["haar", "yunet"])
@pytest.mark.parametrize("actor", STILLS)
def test_every_actors_face_is_found_where_it_is(name: str, actor: int) -> None:
    image = still(actor)
    box = find_face(image, near=None, short_side=360, detector=detector_named(name))
    assert box is not None
    x, y, side = STILLS[actor]
    assert box.x + box.width / 2 == pytest.approx(x, abs=8)
    assert box.y + box.height / 2 == pytest.approx(y, abs=8)
    assert box.side == pytest.approx(side, rel=0.16)
