"""Who is in each frame: numbers that stay, by a detector that is told what to find."""

import itertools
import json
from dataclasses import dataclass, field

import numpy as np
import pytest

from mien.acquaintance import Acquaintance, Person
from mien.config import FacesConfig
from mien.detectors import Box, Pixels
from mien.errors import InvalidArgument
from mien.faces import follow_faces, shrunk
from mien.people import (
    ALIKE,
    Everybody,
    Largest,
    appearance,
    is_alike,
    make_follower,
    seen_again,
)

CONFIG = FacesConfig()
SIZE = (360, 640)
RED, BLUE = (200, 80, 60), (40, 60, 190)
NAMES = {RED: "red", BLUE: "blue"}


@dataclass(frozen=True)
class Painted:
    """A grey frame with faces: plain squares."""

    time: float
    faces: dict[Box, tuple[int, int, int]]
    ground: int = 128
    image: Pixels = field(init=False)

    def __post_init__(self) -> None:
        image = np.full((*SIZE, 3), self.ground, np.uint8)
        for box, colour in self.faces.items():
            image[box.y : box.y + box.height, box.x : box.x + box.width] = colour
        object.__setattr__(self, "image", image)


class Sees:
    """Finds what is painted, in the whole picture or in the region that it is shown."""

    def __init__(self) -> None:
        self.colours = (RED, BLUE)

    def detect(self, image: Pixels, *, expected: int | None = None) -> list[Box]:  # noqa: ARG002
        boxes = []
        for colour in self.colours:
            rows, columns = np.nonzero((image == colour).all(axis=-1))
            if rows.size > 400:
                left, top = int(columns.min()), int(rows.min())
                size = (int(columns.max()) - left + 1, int(rows.max()) - top + 1)
                # Half a face is none.
                boxes += [Box(left, top, *size)] if min(size) > 0.8 * max(size) else []
        return sorted(boxes, key=lambda box: -box.area)


def square(x: int, side: int = 80) -> Box:
    return Box(x, 120, side, side)


def numbers(follower: Everybody, frame: Painted) -> dict[str, int]:
    """Look, and name who stands where by colour."""
    seen = follower.look(frame)
    return {NAMES[tuple(face.crop[24, 24].tolist())]: face.person for face in seen}


def test_people_keep_their_numbers_while_they_move() -> None:
    follower = Everybody(CONFIG, Sees())
    for step in range(20):
        frame = Painted(step / 10, {square(60 + 10 * step): RED, square(500 - 10 * step): BLUE})
        if abs((60 + 10 * step) - (500 - 10 * step)) < 90:
            continue  # one in front of the other: no detector tells two
        assert numbers(follower, frame) == {"red": 1, "blue": 2}


def test_the_largest_comes_first() -> None:
    frame = Painted(0.0, {square(60, 60): RED, square(300, 120): BLUE})
    seen = Everybody(CONFIG, Sees()).look(frame)
    assert [face.box.side for face in seen] == [120, 60]
    assert [face.person for face in seen] == [1, 2]


def test_who_was_away_is_known_again_and_a_stranger_is_not() -> None:
    follower = Everybody(CONFIG, Sees())
    assert numbers(follower, Painted(0.0, {square(60): RED})) == {"red": 1}
    assert numbers(follower, Painted(3.0, {})) == {}
    assert numbers(follower, Painted(6.0, {square(400): BLUE})) == {"blue": 2}
    assert numbers(follower, Painted(9.0, {square(200): RED})) == {"red": 1}


def test_after_a_cut_nobody_is_taken_for_who_stood_there() -> None:
    follower = Everybody(CONFIG, Sees())
    assert numbers(follower, Painted(0.0, {square(60): RED}, ground=20)) == {"red": 1}
    assert numbers(follower, Painted(0.1, {square(60): BLUE}, ground=220)) == {"blue": 2}
    assert numbers(follower, Painted(0.2, {square(60): RED}, ground=20)) == {"red": 1}


def test_somebody_else_in_the_same_place_is_somebody_else_though_no_cut_is_seen() -> None:
    follower = Everybody(CONFIG, Sees())
    assert numbers(follower, Painted(0.0, {square(60): RED})) == {"red": 1}
    assert numbers(follower, Painted(0.2, {square(60): BLUE})) == {"blue": 2}
    assert numbers(follower, Painted(0.4, {square(60): RED})) == {"red": 1}


def test_a_light_that_fades_makes_nobody_new() -> None:
    shades = [tuple(round(value * share) for value in RED) for share in np.linspace(1, 0.5, 40)]
    image = np.random.default_rng(0).uniform(0.8, 1.2, (48, 48, 1))
    crops = [np.minimum(image * np.array(shade), 255).astype(np.uint8) for shade in shades]
    likeness = [float(appearance(crop) @ appearance(crops[0])) for crop in crops]
    assert min(likeness) < ALIKE
    who = Person(1, square(60), 0.0, appearance(crops[0]), appearance(crops[0]))
    for crop in crops:
        looks = appearance(crop)
        assert is_alike(who, looks)
        who = seen_again(who, square(60), 0.1, looks)
        assert float(np.linalg.norm(who.appearance)) == pytest.approx(1, abs=1e-6)


def test_what_is_known_of_people_can_be_stored_and_gone_on_with() -> None:
    follower, frames = Everybody(CONFIG, Sees()), []
    for step in range(12):
        faces = {square(60 + 10 * step): RED} | ({square(500): BLUE} if step % 5 else {})
        frames.append(Painted(step / 5, faces, ground=20 if step < 8 else 220))
    looks = [(follower.known, follower.look(frame)) for frame in frames]
    for start in (0, 3, 8):
        stored = json.loads(json.dumps(looks[start][0].to_dict()))
        later = Everybody(CONFIG, Sees(), Acquaintance.from_dict(stored))
        for frame, (_, asked) in zip(frames[start:], looks[start:], strict=True):
            found = later.look(frame)
            assert [(one.person, one.box) for one in found] == [(o.person, o.box) for o in asked]
        assert later.known.to_dict() == follower.known.to_dict()


def test_one_face_is_followed_though_a_larger_one_comes() -> None:
    follower = Largest(CONFIG, Sees())
    (first,) = follower.look(Painted(0.0, {square(60): RED}))
    (second,) = follower.look(Painted(0.1, {square(64): RED, square(300, 200): BLUE}))
    assert (first.person, second.person) == (1, 1)
    assert abs(second.box.x - 64) <= 1
    assert follower.look(Painted(0.2, {})) == []


def test_likeness_is_of_colours_not_of_places() -> None:
    noise = np.random.default_rng(0).integers(90, 120, (48, 48, 3)).astype(np.uint8)
    same = float(appearance(noise) @ appearance(noise[:, ::-1]))
    assert same > 0.99 > ALIKE
    assert float(appearance(noise) @ appearance(np.full_like(noise, 30))) < ALIKE


def test_frames_are_shrunk_before_faces_are_looked_for() -> None:
    small, scale = shrunk(np.zeros((720, 1280, 3), np.uint8), CONFIG.search_short_side)
    assert (small.shape, scale) == ((360, 640, 3), 0.5)


def test_other_people_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="largest or all"):
        make_follower("me", config=CONFIG, detector=Sees())


@pytest.mark.parametrize("slowly", [True, False])
@pytest.mark.parametrize(("in_front", "behind"), [(RED, BLUE), (BLUE, RED)])
def test_who_was_hidden_by_another_is_known_again(
    in_front: tuple[int, int, int], behind: tuple[int, int, int], slowly: bool
) -> None:
    """The one behind is looked for where the one in front now is, and must not become them."""
    follower = Everybody(CONFIG, Sees())
    ids = {NAMES[behind]: 1, NAMES[in_front]: 2}
    assert numbers(follower, Painted(0.0, {square(90): behind})) == {NAMES[behind]: 1}
    hidden = 0
    for step in range(1, 40):
        places = {behind: square(90 + 10 * step, 84), in_front: square(450 - 10 * step, 90)}
        share = places[behind].overlap(places[in_front])
        if 0 < share < 0.8 and not hidden and not slowly:
            continue  # nobody looked while it happened
        seen = follower.look(
            Painted(step / 10, {box: colour for colour, box in places.items()}),
        )
        boxes = [face.box for face in seen]
        assert all(one.overlap(other) < 0.3 for one, other in itertools.combinations(boxes, 2))
        found = {NAMES[tuple(face.crop[24, 24].tolist())]: face.person for face in seen}
        hidden += len(found) == 1
        assert found == (ids if len(found) == 2 else {NAMES[in_front]: 2})
    assert hidden


def test_one_face_is_followed_as_in_a_clip() -> None:
    generator = np.random.default_rng(3)
    frames, x = [], 100
    for step in range(22):
        x += int(generator.integers(-15, 25))
        faces = {square(x, 70): RED} if step % 7 != 3 else {}
        if step % 5:
            faces[square(480, 60 + 4 * step)] = BLUE
        frames.append(Painted(step / 10, faces))
    follower = Largest(CONFIG, Sees())
    looks = [follower.look(frame) for frame in frames]
    clip = follow_faces(frames, config=CONFIG, detector=Sees())
    assert [look[0].box if look else None for look in looks] == list(clip.boxes)
    assert len({box.side for box in clip.boxes if box}) > 2
    assert clip.crops is not None
    for look, box, crop in zip(looks, clip.boxes, clip.crops, strict=True):
        if box is not None:
            np.testing.assert_array_equal(look[0].crop, crop)
