"""One frame and what is expressed in it → the frame with boxes, labels and bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from mien.detectors import Box, Pixels
from mien.emotions import EMOTIONS
from mien.palette import EMOTION_COLOURS, rgb
from mien.wording import per_cent

Colour = tuple[int, int, int]
Shares = npt.NDArray[np.float32]

LINE_SHARE = 1 / 30
"""Height of a line of text, as a share of the picture's short side."""
SMALLEST_LINE = 11
"""Pixels, below which letters cannot be read."""
PANEL_STRENGTH = 0.74
"""How much of the picture the ground of a panel hides; letters and bars hide all."""
STAYS = 0.25
"""Share of itself by which a panel may hide more where it was than elsewhere, before it moves."""
WHITE: Colour = (255, 255, 255)
INK: Colour = (18, 20, 24)
TROUGH: Colour = (72, 77, 84)
"""Where a bar could be."""
_FINE = 4
"""Panels are drawn so many times as large, and shrunk: OpenCV's letters are rough when small."""
_WIDTH, _HEIGHT = 11.6, 11.2
"""Of a panel, in lines: two of label, eight of bars, margins."""
_BARLESS_HEIGHT = 2.9
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CAPITAL = 21
"""Units of the font's height at scale 1."""


@dataclass(frozen=True)
class Shown:
    """One person in one frame."""

    name: str
    box: Box | None
    """In the frame; ``None`` where no face was found."""
    probabilities: dict[str, float] | None
    emotion: str | None
    """``None`` without an answer, or with too unsure a one."""


@dataclass
class Sides:
    """On which side of each face its panel stands: it stays there while it hides little."""

    _of: dict[str, int] = field(default_factory=dict)

    def place(
        self, person: Shown, size: tuple[int, int], image: Pixels, *, taken: Sequence[Box]
    ) -> Box:
        """Find a panel's place in the next frame.

        Args:
            person: whose it is.
            size: its width and height.
            image: the frame.
            taken: faces, and other panels, that it should not hide.
        """
        places = _places(person.box, size, image)
        hidden = [sum(_common(place, other) for other in taken) for place in places]
        best, last = hidden.index(min(hidden)), self._of.get(person.name, 0)
        stays = hidden[last] - hidden[best] <= STAYS * size[0] * size[1]
        self._of[person.name] = last if person.name in self._of and stays else best
        return places[self._of[person.name]]


def draw(image: Pixels, people: Sequence[Shown], *, sides: Sides) -> None:
    """Draw what people express into a frame.

    Args:
        image: RGB, shape (height, width, 3); it is changed.
        people: who is in the frame.
        sides: where panels stood in the frame before.

    >>> frame = np.zeros((360, 640, 3), np.uint8)
    >>> draw(frame, [Shown("person 1", Box(40, 60, 120, 120), None, None)], sides=Sides())
    >>> bool(frame[60, 100].any())
    True
    """
    line = max(SMALLEST_LINE, round(min(image.shape[:2]) * LINE_SHARE))
    for person in people:
        if person.box:
            _frame_face(image, person.box, _colour(person.emotion), line=line)
    taken = [person.box for person in people if person.box]
    for person in people:
        panel, strength = _panel(_content(person), line)
        height, width = panel.shape[:2]
        place = sides.place(person, (width, height), image, taken=taken)
        taken.append(place)
        _lay(image, panel, strength, place)


def _colour(emotion: str | None) -> Colour:
    return WHITE if emotion is None else rgb(EMOTION_COLOURS[emotion])


def _frame_face(image: Pixels, box: Box, colour: Colour, *, line: int) -> None:
    """Draw a box with a dark rim, which shows on any ground."""
    corners = (box.x, box.y), (box.x + box.width, box.y + box.height)
    thickness = max(1, line // 8)
    cv2.rectangle(image, *corners, INK, thickness + 2, cv2.LINE_AA)
    cv2.rectangle(image, *corners, colour, thickness, cv2.LINE_AA)


def _places(box: Box | None, size: tuple[int, int], image: Pixels) -> list[Box]:
    """Give the places where a panel may be: beside its face, if there is one; in the corners."""
    width, height = size
    space = max(4, height // 30)
    right, bottom = image.shape[1] - width - space, image.shape[0] - height - space
    places = [(space, bottom), (space, space), (right, bottom), (right, space)]
    if box is not None:
        top = box.y + (box.height - height) // 2
        left = box.x + (box.width - width) // 2
        beside = [
            (box.x + box.width + space, top),
            (box.x - width - space, top),
            (left, box.y + box.height + space),
            (left, box.y - height - space),
        ]
        # A face that fills the picture leaves room only in the corners.
        places = [*beside, *places]
    return [_inside(Box(x, y, width, height), image) for x, y in places]


def _inside(box: Box, image: Pixels) -> Box:
    height, width = image.shape[:2]
    x = min(max(box.x, 0), max(width - box.width, 0))
    y = min(max(box.y, 0), max(height - box.height, 0))
    return Box(x, y, box.width, box.height)


def _common(one: Box, other: Box) -> int:
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    return max(width, 0) * max(height, 0)


def _lay(image: Pixels, panel: Pixels, strength: Shares, place: Box) -> None:
    """Lay a panel over a frame, which may be smaller."""
    ground = image[place.y : place.y + place.height, place.x : place.x + place.width]
    height, width = ground.shape[:2]
    strength, panel = strength[:height, :width], panel[:height, :width]
    ground[:] = ground + (panel - ground.astype(np.float32)) * strength


_Content = tuple[str, str | None, tuple[float, ...]]
"""Name, emotion and probabilities, if any: all on which the look of a panel depends."""


def _content(person: Shown) -> _Content:
    found = person.probabilities or {}
    # What a bar of that length cannot show need not be drawn anew.
    return person.name, person.emotion, tuple(round(share, 2) for share in found.values())


@lru_cache(maxsize=64)
def _panel(content: _Content, line: int) -> tuple[Pixels, Shares]:
    """Draw a panel once for the many frames that it is in; give it and how much it hides."""
    name, emotion, shares = content
    fine = line * _FINE
    width, height = round(_WIDTH * fine), round((_HEIGHT if shares else _BARLESS_HEIGHT) * fine)
    panel = np.full((height, width, 3), INK, np.uint8)
    edge, left = round(0.22 * fine), round(0.75 * fine)
    panel[:, :edge] = _colour(emotion)
    _write(panel, name, (left, 1.2), fine=fine, size=0.8)
    _write(panel, _answer(emotion, shares), (left, 2.3), fine=fine, size=0.95, weight=2)
    for number, (named, share) in enumerate(zip(EMOTIONS, shares, strict=False)):
        first = share == max(shares)
        _write(panel, named, (left, 3.5 + number * 0.95), fine=fine, size=0.72, weight=1 + first)
        _bar(panel, share, (left + 4.4 * fine, 3.5 + number * 0.95), rgb(EMOTION_COLOURS[named]))
    strength = np.where(panel.max(axis=2) > max(INK) + 8, 1, PANEL_STRENGTH).astype(np.float32)
    size = width // _FINE, height // _FINE
    small = [cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in (panel, strength)]
    return small[0].astype(np.uint8), small[1].astype(np.float32)[:, :, None]


def _answer(emotion: str | None, shares: tuple[float, ...]) -> str:
    if not shares:
        return "no answer"
    return "not sure" if emotion is None else f"{emotion} {per_cent(max(shares))}%"


def _bar(panel: Pixels, share: float, place: tuple[float, float], colour: Colour) -> None:
    """Draw a bar; ``place`` is its left end in pixels, its text's foot in lines."""
    fine = panel.shape[0] / _HEIGHT
    left, right = round(place[0]), panel.shape[1] - round(0.5 * fine)
    top, bottom = round((place[1] - 0.6) * fine), round((place[1] + 0.08) * fine)
    panel[top:bottom, left:right] = TROUGH
    panel[top:bottom, left : left + round((right - left) * share)] = colour


def _write(  # noqa: PLR0913 - a text has as many sides
    panel: Pixels,
    text: str,
    place: tuple[int, float],
    *,
    fine: int,
    size: float,
    weight: int = 1,
) -> None:
    """Write a line of text; ``place`` is its left end in pixels, its foot in lines."""
    scale = 0.72 * size * fine / _CAPITAL
    thickness = max(1, round(weight * fine / 22))
    foot = place[0], round(place[1] * fine)
    cv2.putText(panel, text, foot, _FONT, scale, WHITE, thickness, cv2.LINE_AA)
