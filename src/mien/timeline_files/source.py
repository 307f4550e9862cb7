"""The clip once more, frame by frame, and its sound as it is: what drawn videos are made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.detectors import Pixels
from mien.media.container import (
    Packet,
    claimed_seconds,
    decoded_pictures,
    open_container,
    packets,
    prepare_decoder,
    sound_stream,
    video_stream,
)
from mien.media.pictures import Upright, pixel_aspect
from mien.media.reader import Reader, reading
from mien.media.sound import Sound
from mien.media.survey import Survey, survey
from mien.media.times import Track
from mien.media.walk import timed

_ANY_RATE = 8_000
"""Hz: of the sound only the start is looked for."""


@dataclass(frozen=True)
class Picture:
    """A frame, and when it is shown, in units of its track's time base."""

    pts: int
    image: Pixels
    """RGB, upright, with square pixels; shape = (height, width, 3)."""


def has_pictures(clip: Path) -> bool:
    """Say whether a clip has a moving picture that can be decoded, as its header tells.

    Raises:
        UnreadableClip: the clip is missing or no media.
    """
    with reading(clip) as reader, closing(open_container(reader)) as container:
        video, _ = video_stream(container)
        return video is not None


def claimed_duration(clip: Path) -> float | None:
    """Give the seconds that a clip's header claims; ``None`` where it does not.

    Raises:
        UnreadableClip: the clip is missing or no media.
    """
    with reading(clip) as reader:
        return claimed_seconds(reader)


def surveyed(reader: Reader) -> Survey:
    """Take the times of all packets."""
    return survey(reader, Sound(_ANY_RATE, 1))


def pictures(reader: Reader, track: Track) -> Iterator[Picture]:
    """Decode every frame, in the order of showing; a time that comes twice is shown once."""
    with closing(open_container(reader)) as container:
        stream: Any = container.streams[track.stream]
        prepare_decoder(stream.codec_context)
        upright = Upright(pixel_aspect(stream))
        last = None
        for shown in timed(decoded_pictures(container, stream, None), track):
            if last is None or shown.pts > last:
                yield Picture(shown.pts, upright(shown.picture))
                last = shown.pts


@contextmanager
def open_sound(reader: Reader) -> Iterator[tuple[Any, Iterator[Packet]] | None]:
    """Open the sound: its stream and its packets; ``None`` where there is none."""
    with closing(open_container(reader)) as container:
        stream = sound_stream(container)
        yield stream and (stream, packets(container, [stream]))
