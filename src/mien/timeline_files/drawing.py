"""One frame and what is expressed in it → the frame with boxes, labels and bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mien.detectors import Box
from mien.emotions import EMOTIONS
from mien.palette import EMOTION_COLOURS, rgb

Pixels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

LINE_SHARE = 1 / 34
"""Height of a line of text, as a share of the picture's short side."""
SMALLEST_LINE = 11
"""Pixels, below which the letters cannot be read."""
WHITE: Colour = (255, 255, 255)
INK: Colour = (18, 20, 24)
PANEL_STRENGTH = 0.72
"""How much of the picture a panel hides."""
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_LETTERS_WIDE = 6.4
"""Width of a panel in heights of a line: names, bars and numbers."""


@dataclass(frozen=True)
class Shown:
    """One person in one frame."""

    name: str
    box: Box | None
    """In the frame; ``None`` where no face was found."""
    probabilities: dict[str, float] | None
    emotion: str | None
    """``None`` without an answer, or with too unsure a one."""


def draw(image: Pixels, people: Sequence[Shown]) -> None:
    """Draw what people express into a frame.

    Args:
        image: RGB, shape (height, width, 3); it is changed.
        people: who is in the frame.
    """
    line = _line(image)
    taken = [person.box for person in people if person.box]
    for person in people:
        if person.box:
            _frame_face(image, person.box, _colour(person), line=line)
    for person in people:
        panel = _place(person.box, _panel_size(line), image, taken=taken)
        taken.append(panel)
        _draw_panel(image, panel, person, line=line)


def _line(image: Pixels) -> int:
    return max(SMALLEST_LINE, round(min(image.shape[:2]) * LINE_SHARE))


def _colour(person: Shown) -> Colour:
    return WHITE if person.emotion is None else rgb(EMOTION_COLOURS[person.emotion])


def _panel_size(line: int) -> tuple[int, int]:
    """Give the width and the height of a panel: two lines of label, eight bars, a margin."""
    return round(_LETTERS_WIDE * 1.9 * line), round((len(EMOTIONS) + 2.9) * line)


def _place(box: Box | None, size: tuple[int, int], image: Pixels, *, taken: Iterable[Box]) -> Box:
    """Find a place beside a face that hides no face and no other panel, or the least of them."""
    width, height = size
    space = max(4, height // 40)
    if box is None:
        corners = [(space, image.shape[0] - height - space), (space, space)]
        places = [_inside(Box(x, y, width, height), image) for x, y in corners]
    else:
        top = box.y + (box.height - height) // 2
        sides = (box.x + box.width + space, top), (box.x - width - space, top)
        left = box.x + (box.width - width) // 2
        ends = (left, box.y + box.height + space), (left, box.y - height - space)
        places = [_inside(Box(x, y, width, height), image) for x, y in (*sides, *ends)]
    others = list(taken)
    return min(places, key=lambda place: sum(_common(place, other) for other in others))


def _inside(box: Box, image: Pixels) -> Box:
    height, width = image.shape[:2]
    x = min(max(box.x, 0), max(width - box.width, 0))
    y = min(max(box.y, 0), max(height - box.height, 0))
    return Box(x, y, box.width, box.height)


def _common(one: Box, other: Box) -> int:
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    return max(width, 0) * max(height, 0)


def _frame_face(image: Pixels, box: Box, colour: Colour, *, line: int) -> None:
    """Draw a box with a dark rim, which shows on any ground."""
    corners = (box.x, box.y), (box.x + box.width, box.y + box.height)
    thickness = max(1, line // 9)
    cv2.rectangle(image, *corners, INK, thickness + 2, cv2.LINE_AA)
    cv2.rectangle(image, *corners, colour, thickness, cv2.LINE_AA)


def _draw_panel(image: Pixels, panel: Box, person: Shown, *, line: int) -> None:
    ground = image[panel.y : panel.y + panel.height, panel.x : panel.x + panel.width]
    ground[:] = cv2.addWeighted(
        ground, 1 - PANEL_STRENGTH, np.full_like(ground, INK), PANEL_STRENGTH, 0
    )
    margin = round(0.45 * line)
    height, width = ground.shape[:2]
    ground[:, : max(2, line // 6)] = _colour(person)
    left, right = margin + line // 6, width - margin
    base = margin + round(0.8 * line)
    _write(ground, person.name, (left, base), line=line)
    _write(ground, _headline(person), (left, base + line), line=line, bold=True)
    if person.probabilities is not None:
        top = base + round(1.35 * line)
        _draw_bars(ground, person.probabilities, (left, top, right), line=line)


def _headline(person: Shown) -> str:
    if person.probabilities is None:
        return "no answer"
    if person.emotion is None:
        return "not sure"
    return f"{person.emotion} {person.probabilities[person.emotion]:.0%}"


def _draw_bars(
    ground: Pixels, probabilities: dict[str, float], place: tuple[int, int, int], *, line: int
) -> None:
    left, top, right = place
    start = left + round(4.6 * line)
    for number, emotion in enumerate(EMOTIONS):
        base = top + round((number + 0.75) * line)
        _write(ground, emotion, (left, base), line=line, scale=0.8)
        upper, lower = base - round(0.58 * line), base + round(0.06 * line)
        end = start + round((right - start) * probabilities[emotion])
        cv2.rectangle(ground, (start, upper), (right, lower), (70, 74, 80), cv2.FILLED)
        if end > start:
            colour = rgb(EMOTION_COLOURS[emotion])
            cv2.rectangle(ground, (start, upper), (end, lower), colour, cv2.FILLED)


def _write(
    ground: Pixels,
    text: str,
    base: tuple[int, int],
    *,
    line: int,
    scale: float = 0.9,
    bold: bool = False,
) -> None:
    """Write a line of text; ``base`` is the left end of its letters' foot."""
    # The letters of this font are 21 units high at scale 1.
    size = scale * 0.72 * line / 21
    thickness = max(1, round(line / (13 if bold else 22)))
    cv2.putText(ground, text, base, _FONT, size, WHITE, thickness, cv2.LINE_AA)
