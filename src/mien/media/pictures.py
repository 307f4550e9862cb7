"""Decoded pictures → frames: upright RGB with square pixels, and when each is shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from mien.errors import InvalidArgument
from mien.media.reader import Reader
from mien.media.times import Track, shown_at_middles
from mien.media.walk import Shown, Walk

_ASPECT_LIMIT = 4
"""Pixels more elongated than this are a damaged header."""
_QUARTER_TURNS = ((1, 0, 0, 1), (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0))
"""Display matrices of 0, 90, 180 and 270 degrees counterclockwise."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture and when it is shown."""

    time: float
    """Seconds from the clip's start."""
    image: Pixels
    """RGB, upright, with square pixels; shape = (height, width, 3)."""


class Pictures:
    """The frames at the slices' middles, decoded as they are asked for."""

    def __init__(self, reader: Reader, track: Track, *, slices: int, aspect: Fraction) -> None:
        middles = shown_at_middles(track.times, track.end, slices)
        self._wanted = [track.times[index] for index in middles]
        self._walk = Walk(reader, track, frozenset(self._wanted))
        self._base = track.base
        self.span = (track.times[0] * track.base, track.end * track.base)
        """Seconds of the first picture and of the last one's end, in the clip's own time."""
        self._upright = Upright(aspect)
        self._open = True

    def close(self) -> None:
        """Let go of the clip; frames that are asked for later are refused."""
        self._open = False
        self._walk.close()

    def decodable(self) -> bool:
        """Say whether there is a picture for the first slice, and so one for every slice."""
        return self._walk.at(self._wanted[0]) is not None

    def frames(self, origin: Fraction) -> Iterator[Frame]:
        """Decode the frames; their times count from ``origin``, in the clip's own time."""
        last: Shown | None = None
        for pts in self._wanted:
            if not self._open:
                raise InvalidArgument("frames() needs an open clip; use it inside the with block")
            shown = self._walk.at(pts) or last
            if shown is None:
                continue
            if last is None or shown.pts != last.pts:
                image = self._upright(shown.picture)
                frame = Frame(float(shown.pts * self._base - origin), image)
            last = shown
            yield frame


def pixel_aspect(video: VideoStream | None) -> Fraction:
    """Give width / height of the stream's pixels, or 1 where that is missing or absurd."""
    aspect = (video.sample_aspect_ratio if video else None) or Fraction(1)
    sane = Fraction(1, _ASPECT_LIMIT) <= aspect <= _ASPECT_LIMIT
    return aspect if sane else Fraction(1)


class Upright:
    """Turns decoded pictures into RGB, upright, with square pixels.

    Args:
        aspect: width / height of their pixels.
    """

    def __init__(self, aspect: Fraction) -> None:
        self._aspect = aspect
        self._reformatter = VideoReformatter()

    def __call__(self, picture: av.VideoFrame) -> Pixels:
        """Give the pixels, shape = (height, width, 3)."""
        rgb: Any = self._reformatter.reformat(
            picture,
            width=round(picture.width * max(self._aspect, Fraction(1))),
            height=round(picture.height / min(self._aspect, Fraction(1))),
            format="rgb24",
        )
        turned = _turn(rgb.to_ndarray(), _display_matrix(picture))
        # Where nothing had to be converted, the decoder may still refer to these pixels.
        return np.array(turned, order="C", copy=True if rgb is picture else None)


def _display_matrix(picture: av.VideoFrame) -> tuple[int, int, int, int]:
    """Give (a, b, c, d) of FFmpeg's display matrix: x' = a·x + c·y, y' = b·x + d·y."""
    # What picture.side_data gives is kept by the picture and keeps it too: only the cyclic garbage
    # collector would free them, and it does not see that pictures are large. This refers one way.
    side_data: Any = SideDataContainer
    try:
        side = side_data(picture).get("DISPLAYMATRIX")
    except ValueError:
        # PyAV lists no side data where it meets a newer kind, such as EXIF; only the angle is left.
        return _QUARTER_TURNS[round(picture.rotation / 90) % 4]
    if side is None:
        return _QUARTER_TURNS[0]
    a, b, _, c, d = np.frombuffer(side, np.int32)[:5].tolist()
    return a, b, c, d


def _turn(image: Pixels, matrix: tuple[int, int, int, int]) -> Pixels:
    """Turn and mirror an image by the right angle that is nearest to a display matrix."""
    a, b, c, d = matrix
    lies = abs(b) + abs(c) > abs(a) + abs(d)
    image = image.transpose(1, 0, 2) if lies else image
    down, right = (b, c) if lies else (d, a)
    return image[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1]
