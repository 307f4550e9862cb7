"""The clip once more, frame by frame, and its sound as it is: what drawn videos are made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
from av.video.reformatter import VideoReformatter

from mien.detectors import Pixels
from mien.media.container import (
    Packet,
    decoded_pictures,
    open_container,
    packets,
    prepare_decoder,
    video_stream,
)
from mien.media.pictures import _upright_rgb, pixel_aspect
from mien.media.reader import Reader, reading
from mien.media.sound import Sound
from mien.media.times import Sight, Track
from mien.media.walk import timed

_ANY_RATE = 8_000
"""Hz: of the sound only the start is looked for."""


@dataclass(frozen=True)
class Picture:
    """A frame, and when it is shown, in units of its track's time base."""

    pts: int
    image: Pixels
    """RGB, upright, with square pixels; shape = (height, width, 3)."""


@dataclass(frozen=True)
class Survey:
    """What a pass over the packets found."""

    track: Track | None
    """``None`` without a picture."""
    origin: Fraction
    """Seconds, in the clip's own time, of the earliest start of its streams."""


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
    with reading(clip) as reader, closing(open_container(reader)) as container:
        return None if container.duration is None else container.duration / av.time_base


def survey(reader: Reader) -> Survey:
    """Take the times of all packets."""
    listeners: dict[int, Any] = {}
    with closing(open_container(reader)) as container:
        video, _ = video_stream(container)
        sight = Sight(video, still=container.format.name.endswith("_pipe")) if video else None
        if video and sight:
            listeners[video.index] = sight.see
        sound = Sound(_ANY_RATE, 1)
        if audio := sound_stream(container):
            listeners[audio.index] = partial(sound.hear, audio.codec_context)
        for packet in packets(container, [container.streams[index] for index in listeners]):
            listeners[packet.stream_index](packet)
    track = sight.track(reader) if sight else None
    starts = [track.times[0] * track.base] if track else []
    starts += [sound.span[0]] if sound.span else []
    return Survey(track, min(starts, default=Fraction(0)))


def sound_stream(container: Any) -> Any:
    """Give the sound that is listened to, or ``None``."""
    return next((stream for stream in container.streams.audio if stream.codec_context), None)


def pictures(reader: Reader, track: Track) -> Iterator[Picture]:
    """Decode every frame, in the order of showing; a time that comes twice is shown once."""
    reformatter = VideoReformatter()
    with closing(open_container(reader)) as container:
        stream: Any = container.streams[track.stream]
        prepare_decoder(stream.codec_context)
        aspect = pixel_aspect(stream)
        last = None
        for shown in timed(decoded_pictures(container, stream, None), track):
            if last is None or shown.pts > last:
                yield Picture(shown.pts, _upright_rgb(shown.picture, aspect, reformatter))
                last = shown.pts


@contextmanager
def open_sound(reader: Reader) -> Iterator[tuple[Any, Iterator[Packet]] | None]:
    """Open the sound: its stream and its packets; ``None`` where there is none."""
    with closing(open_container(reader)) as container:
        stream = sound_stream(container)
        yield stream and (stream, packets(container, [stream]))
