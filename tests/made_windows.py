"""Windows of a timeline, made up: who, when, what, known to the tests."""

import math
from collections.abc import Iterator

from mien.detectors import Box
from mien.emotions import EMOTIONS
from mien.windows import Branch, Sighting, Window

BUNDLE = {"name": "made", "sha256": "ab" * 32}


def shares(emotion: str, share: float = 0.65) -> dict[str, float]:
    """Give probabilities of which one is the likeliest."""
    rest = (1 - share) / (len(EMOTIONS) - 1)
    return dict.fromkeys(EMOTIONS, rest) | {emotion: share}


def window(
    start: float,
    *,
    person: int | None = 1,
    emotion: str | None = "happy",
    probabilities: dict[str, float] | None = None,
    length: float = 4.0,
    speech: float | None = 0.75,
    sightings: tuple[Sighting, ...] = (),
) -> Window:
    """Make a row."""
    fused = probabilities or (None if emotion is None else shares(emotion))
    silent = "silent: below -60 dBFS all through"
    return Window(
        start_s=start,
        end_s=start + length,
        person=person,
        emotion=emotion,
        confidence=None if fused is None else max(fused.values()),
        probabilities=fused,
        audio=Branch(False, silent, None),
        video=Branch(True, None, fused) if fused else Branch(False, "no face", None),
        faces_found=1.0 if person else 0.0,
        speech=speech,
        reason=f"audio: {silent}",
        sightings=sightings,
    )


def moving(time: float, person: int, *, size: tuple[int, int]) -> Box:
    """Give where a made-up person's face is."""
    width, height = size
    side = height // 3
    middle = width * (2 * person - 1) // 4
    return Box(round(middle - side / 2 + 0.03 * width * math.sin(time)), height // 4, side, side)


def scene(
    seconds: float,
    *,
    people: tuple[int, ...] = (1, 2),
    size: tuple[int, int] = (640, 360),
    length: float = 4.0,
    hop: float = 1.0,
) -> Iterator[Window]:
    """Make a scene whose people go through the emotions; the second is away at times."""
    start = 0.0
    while start == 0 or start + length <= seconds + 1e-9:
        for person in people:
            if person == 2 and (start // 10) % 3 == 2:
                continue
            yield window(
                start,
                person=person,
                emotion=max(mix := _going_round(start, person), key=mix.__getitem__),
                probabilities=mix,
                length=min(length, seconds - start),
                speech=abs(math.sin(start / 7)),
                sightings=tuple(
                    Sighting(start + step / 5, moving(start + step / 5, person, size=size))
                    for step in range(round(5 * min(length, seconds - start)))
                ),
            )
        start += hop


def _going_round(time: float, person: int) -> dict[str, float]:
    weights = [
        math.exp(3 * math.cos(time / 9 + person - 2 * math.pi * number / len(EMOTIONS)))
        for number in range(len(EMOTIONS))
    ]
    return {name: each / sum(weights) for name, each in zip(EMOTIONS, weights, strict=True)}
