"""mien.faces: finding, following and cutting, on made pictures and on real ones."""

import itertools
import weakref
from collections.abc import Iterator
from dataclasses import dataclass

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from face_pictures import WITHOUT_FACE, Pixels, data, plain, sample_picture, yunet
from mien.config import FacesConfig
from mien.detectors import Box, HaarDetector
from mien.errors import InvalidArgument
from mien.faces import cut_face, find_face, follow_faces

CONFIG = FacesConfig()
HAAR = HaarDetector()

CLIPS = (
    "01-01-01-01-01-01-01",
    "01-01-08-02-01-01-19",
    "2d3mf_video02",
    "2d3mf_video04",
    "hdtf_WDA_AlexandriaOcasioCortez_000",
    "hdtf_WDA_KatieHill_000",
    "liveportrait_d3",
    "liveportrait_d13",
    "liveportrait_d14",
)


@dataclass(frozen=True, eq=False)
class Shot:
    image: Pixels
    time: float


class Scripted:
    """Gives prepared answers and remembers what it was asked."""

    def __init__(self, *answers: list[Box]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[tuple[int, ...], int | None]] = []

    def detect(self, image: Pixels, *, expected: int | None = None) -> list[Box]:
        self.asked.append((image.shape[:2], expected))
        return self.answers.pop(0)


def numbered(count: int, **shape: int) -> list[Shot]:
    return [Shot(plain(value=number, **shape), float(number)) for number in range(count)]


def decoded(clip: str) -> Iterator[Shot]:
    with av.open(data() / "clips" / f"{clip}.mp4") as container:
        frames = [(frame.time, frame) for frame in container.decode(container.streams.video[0])]
        duration = frames[-1][0] or 0.0
        for number in range(CONFIG.frames):
            middle = (number + 0.5) * duration / CONFIG.frames
            shown = [frame for time, frame in frames if time is not None and time <= middle][-1]
            yield Shot(shown.to_ndarray(format="rgb24").astype(np.uint8, copy=False), middle)


def repeated(image: Pixels) -> list[Shot]:
    return [Shot(image, 0.0)] * CONFIG.frames


# Crops


def test_a_crop_of_the_boxs_size_is_the_pixels_themselves() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    crop = cut_face(picture, Box(20, 10, 48, 48), size=48)
    np.testing.assert_array_equal(crop, picture[10:58, 20:68])


def test_a_large_box_is_shrunk_by_area() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    crop = cut_face(picture, Box(2, 3, 96, 96), size=48)
    mean = picture[3:99, 2:98].reshape(48, 2, 48, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(crop, mean, atol=0.51)


def test_a_small_box_is_enlarged_smoothly() -> None:
    ramp = np.broadcast_to(np.arange(0, 240, 10, dtype=np.uint8)[:, np.newaxis], (24, 24, 3))
    crop = cut_face(ramp, Box(4, 0, 12, 12), size=48)
    expected = cv2.resize(ramp[:12, 4:16], (48, 48), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(crop, expected)
    assert len(np.unique(crop)) > 12


def test_the_longer_side_makes_the_square_around_the_same_centre() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    tall = cut_face(picture, Box(25, 10, 10, 30), size=30)
    wide = cut_face(picture, Box(10, 25, 30, 10), size=30)
    np.testing.assert_array_equal(tall, picture[10:40, 15:45])
    np.testing.assert_array_equal(wide, picture[15:45, 10:40])


@settings(deadline=None)
@given(st.integers(-30, 39), st.integers(-30, 29), st.integers(1, 60), st.integers(1, 60))
def test_the_edge_is_repeated_outside(x: int, y: int, width: int, height: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    box = Box(x, y, width, height)
    if not Box(0, 0, 40, 30).overlap(box):
        return
    padded = np.pad(picture, ((120, 120), (120, 120), (0, 0)), mode="edge")
    left = 120 + x + (width - box.side) // 2
    top = 120 + y + (height - box.side) // 2
    np.testing.assert_array_equal(
        cut_face(picture, box, size=box.side), padded[top : top + box.side, left : left + box.side]
    )


@pytest.mark.parametrize("box", [Box(-30, 0, 20, 20), Box(0, 90, 5, 5), Box(1, 1, 0, 4)])
def test_a_box_outside_cannot_be_cut(box: Box) -> None:
    with pytest.raises(InvalidArgument, match="box must overlap the image of 160x90 pixels"):
        cut_face(plain(), box, size=48)


# One frame


def test_the_search_is_on_a_shrunk_picture_and_the_box_on_the_full_one() -> None:
    detector = Scripted([Box(30, 60, 90, 90)])
    box = find_face(plain(1440, 2560), near=None, short_side=360, detector=detector)
    assert detector.asked == [((360, 640), None)]
    assert box == Box(120, 240, 360, 360)


@pytest.mark.parametrize("shape", [(1280, 720), (720, 1280)])
def test_the_short_side_is_shrunk_whichever_it_is(shape: tuple[int, int]) -> None:
    detector = Scripted([])
    assert find_face(plain(*shape), near=None, short_side=360, detector=detector) is None
    assert detector.asked == [((shape[0] // 2, shape[1] // 2), None)]


def test_small_pictures_are_not_enlarged() -> None:
    detector = Scripted([Box(1, 2, 30, 30)])
    box = find_face(plain(90, 160), near=None, short_side=360, detector=detector)
    assert detector.asked == [((90, 160), None)]
    assert box == Box(1, 2, 30, 30)


def test_the_whole_picture_gives_its_largest_face() -> None:
    detector = Scripted([Box(5, 5, 40, 40), Box(60, 60, 30, 30)])
    box = find_face(plain(), near=None, short_side=360, detector=detector)
    assert box == Box(5, 5, 40, 40)


def test_the_neighbourhood_is_half_a_side_wider_and_gives_the_best_overlap() -> None:
    # In the neighbourhood's own coordinates, which start at (100 - 20, 50 - 20).
    detector = Scripted([Box(0, 0, 50, 50), Box(22, 18, 40, 40)])
    near = Box(100, 50, 40, 40)
    box = find_face(plain(300, 300), near=near, short_side=360, detector=detector)
    assert detector.asked == [((80, 80), 40)]
    assert box == Box(102, 48, 40, 40)


def test_the_neighbourhood_is_searched_in_the_shrunk_picture() -> None:
    detector = Scripted([Box(20, 20, 40, 40)])
    near = Box(200, 100, 80, 80)
    box = find_face(plain(720, 1280), near=near, short_side=360, detector=detector)
    assert detector.asked == [((80, 80), 40)]
    assert box == near


def test_the_neighbourhood_ends_at_the_pictures_edge() -> None:
    detector = Scripted([Box(3, 4, 40, 40)])
    near = Box(-5, 60, 40, 40)
    box = find_face(plain(90, 160), near=near, short_side=360, detector=detector)
    assert detector.asked == [((50, 55), 40)]
    assert box == Box(3, 44, 40, 40)


def test_the_whole_picture_is_searched_when_the_neighbourhood_has_no_face() -> None:
    detector = Scripted([], [Box(3, 4, 50, 50)])
    box = find_face(plain(), near=Box(100, 40, 30, 30), short_side=360, detector=detector)
    assert detector.asked == [((60, 60), 30), ((90, 160), None)]
    assert box == Box(3, 4, 50, 50)


def test_a_last_box_outside_a_smaller_picture_is_forgotten() -> None:
    detector = Scripted([])
    near = Box(1000, 600, 100, 100)
    assert find_face(plain(), near=near, short_side=360, detector=detector) is None
    assert detector.asked == [((90, 160), None)]


# A clip


def test_every_frame_has_its_crop_and_its_box() -> None:
    boxes = [Box(number, 0, 48, 48) for number in range(22)]
    detector = Scripted(*([box] if box.x == 0 else [Box(box.x, 0, 48, 48)] for box in boxes))
    faces = follow_faces(numbered(22), config=CONFIG, detector=detector)
    assert (faces.found, faces.frames, faces.reason) == (22, 22, None)
    assert faces.crops is not None
    assert faces.crops.shape == (22, 48, 48, 3)
    assert faces.crops.dtype == np.uint8
    np.testing.assert_array_equal(faces.crops[:, 0, 0, 0], np.arange(22))
    assert faces.boxes[0] == Box(0, 0, 48, 48)
    assert all(asked[1] == 48 for asked in detector.asked[1:])


def searched(*with_face: int, count: int = 22) -> Scripted:
    """Answer as a detector that sees the face in these frames only, always anew."""
    answers: list[list[Box]] = []
    for number in range(count):
        is_near_searched = any(earlier < number for earlier in with_face)
        # Where the neighbourhood is searched first, it stays empty.
        answers += [[]] if is_near_searched else []
        answers += [[Box(10, 10, 48, 48)] if number in with_face else []]
    return Scripted(*answers)


def test_frames_without_a_face_take_the_nearest_crop_in_time() -> None:
    with_face = (0, 1, 2, 3, 4, 5, 6, 12)
    frames = numbered(22)
    frames[8] = Shot(frames[8].image, 9.5)
    faces = follow_faces(frames, config=CONFIG, detector=searched(*with_face))
    assert faces.found == 8
    assert faces.crops is not None
    taken = faces.crops[:, 0, 0, 0].tolist()
    # Frame 9 is as near to 6 as to 12 and takes the earlier; frame 8 is shown at 9.5.
    assert taken == [0, 1, 2, 3, 4, 5, 6, 6, 12, 6, 12, 12] + [12] * 10
    assert [box is not None for box in faces.boxes] == [n in with_face for n in range(22)]


def test_a_third_of_the_frames_must_have_a_face() -> None:
    few = follow_faces(numbered(22), config=CONFIG, detector=searched(*range(0, 14, 2)))
    assert (few.crops, few.found, few.frames) == (None, 7, 22)
    assert few.reason == "a face in 7 of 22 frames"
    enough = follow_faces(numbered(22), config=CONFIG, detector=searched(*range(0, 16, 2)))
    assert enough.crops is not None
    assert enough.reason is None


def test_without_any_face_there_are_no_crops_even_when_none_is_asked_for() -> None:
    config = FacesConfig(minimum_share=0.0)
    faces = follow_faces(numbered(22), config=config, detector=Scripted(*[[]] * 22))
    assert faces.crops is None
    assert faces.reason == "a face in 0 of 22 frames"


def test_the_same_frame_is_searched_once() -> None:
    first, second = numbered(2)
    frames = [first] * 10 + [second] * 12
    detector = Scripted([Box(10, 10, 48, 48)], [Box(24, 24, 48, 48)])
    faces = follow_faces(frames, config=CONFIG, detector=detector)
    assert len(detector.asked) == 2
    assert faces.found == 22
    assert faces.crops is not None
    np.testing.assert_array_equal(faces.crops[:, 0, 0, 0], [0] * 10 + [1] * 12)


def test_equal_frames_that_are_different_objects_are_searched_each() -> None:
    detector = Scripted(*[[]] * 22)
    follow_faces([Shot(plain(), 0.0) for _ in range(22)], config=CONFIG, detector=detector)
    assert len(detector.asked) == 22


def test_frames_are_read_one_by_one_and_not_kept() -> None:
    alive: list[weakref.ref[Pixels]] = []
    most = 0

    def frames() -> Iterator[Shot]:
        nonlocal most
        for number in range(22):
            image = plain()
            alive.append(weakref.ref(image))
            shot = Shot(image, float(number))
            most = max(most, sum(reference() is not None for reference in alive))
            del image
            yield shot
            del shot

    faces = follow_faces(frames(), config=CONFIG, detector=Scripted(*[[Box(10, 10, 40, 40)]] * 22))
    assert faces.found == 22
    assert most <= 2  # the one before, and the one that is being read
    assert sum(reference() is not None for reference in alive) == 0


@pytest.mark.parametrize("count", [0, 21, 23])
def test_another_number_of_frames_is_refused(count: int) -> None:
    message = rf"frames must be 22, not {count}; repeat"
    with pytest.raises(InvalidArgument, match=message):
        follow_faces(numbered(count), config=CONFIG, detector=Scripted(*[[]] * count))


def test_a_frame_that_is_no_rgb_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="image must be RGB of 8 bits"):
        find_face(plain()[..., 0], near=None, short_side=360, detector=HAAR)


# With a detector


@pytest.mark.parametrize("name", WITHOUT_FACE)
def test_a_picture_without_a_face_is_never_scored(name: str) -> None:
    faces = follow_faces(repeated(sample_picture(name)), config=CONFIG, detector=HAAR)
    assert (faces.found, faces.crops) == (0, None)


def test_a_face_is_not_seen_any_more_after_the_picture_has_changed() -> None:
    pictures = [sample_picture(name) for name in ("astronaut", *WITHOUT_FACE)][:22]
    frames = [Shot(image, float(number)) for number, image in enumerate(pictures)]
    faces = follow_faces(frames, config=CONFIG, detector=HAAR)
    assert [box is not None for box in faces.boxes] == [True] + [False] * 21


@pytest.mark.slow
@pytest.mark.parametrize("clip", CLIPS)
def test_faces_are_found_in_all_frames_and_stay_in_place(clip: str) -> None:
    faces = follow_faces(decoded(clip), config=CONFIG, detector=HAAR)
    assert (faces.found, faces.reason) == (22, None)
    boxes = [box for box in faces.boxes if box is not None]
    jumps = [1 - first.overlap(second) for first, second in itertools.pairwise(boxes)]
    assert max(jumps) < 0.6


@pytest.mark.slow
@pytest.mark.parametrize("clip", CLIPS[:2])
def test_yunet_cuts_what_haar_cuts(clip: str) -> None:
    frames = list(decoded(clip))
    haar = follow_faces(frames, config=CONFIG, detector=HAAR)
    other = follow_faces(frames, config=CONFIG, detector=yunet())
    assert other.found == 22
    pairs = zip(haar.boxes, other.boxes, strict=True)
    overlaps = [first.overlap(second) for first, second in pairs if first and second]
    assert min(overlaps) > 0.6
