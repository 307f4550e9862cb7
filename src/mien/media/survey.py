"""A first pass over all packets: when each stream starts and ends, whatever headers say."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

import av
from av.container import InputContainer

from mien.media.container import Packet, open_container, packets, sound_stream, video_stream
from mien.media.pictures import pixel_aspect
from mien.media.reader import Reader
from mien.media.sound import Sound
from mien.media.times import Sight, Track


class Survey(NamedTuple):
    """What the first pass found."""

    track: Track | None
    """``None`` without a picture."""
    aspect: Fraction
    """Width / height of the picture's pixels."""
    video_reason: str | None
    audio_reason: str | None
    origin: Fraction
    """Seconds, in the clip's own time, of the earliest start of its streams."""
    promised_video: Fraction | None
    """Seconds that the header promises; ``None`` where it does not, or only guesses."""
    promised_audio: Fraction | None


def survey(reader: Reader, sound: Sound) -> Survey:
    """Take the times of all packets, and the sound that is asked for.

    Args:
        reader: of the clip.
        sound: gathers the beginning of the sound.
    """
    listeners: dict[int, Callable[[Packet], None]] = {}
    with closing(open_container(reader)) as container:
        video, video_reason = video_stream(container)
        audio = sound_stream(container)
        sight = None
        if video:
            sight = Sight(video, still=container.format.name.endswith("_pipe"))
            listeners[video.index] = sight.see
        if audio:
            listeners[audio.index] = partial(sound.hear, audio.codec_context)
        for packet in packets(container, [container.streams[index] for index in listeners]):
            listeners[packet.stream_index](packet)
        if audio:
            sound.finish(audio.codec_context)
        aspect = pixel_aspect(video)
        promised = [_promised(container, stream) for stream in (video, audio)]
    track = sight.track(reader) if sight else None
    starts = [track.times[0] * track.base] if track else []
    starts += [sound.span[0]] if sound.span else []
    return Survey(
        track,
        aspect,
        video_reason,
        sound.reason if audio else "no audio stream",
        min(starts, default=Fraction(0)),
        *promised,
    )


def _promised(container: InputContainer, stream: Any) -> Fraction | None:
    """Give a stream's duration where its container writes it down, and no decoder guesses it."""
    if stream is None:
        return None
    if container.format.name.startswith("mov,") and stream.duration is not None:
        return Fraction(stream.duration * stream.time_base)
    only = len(container.streams) == 1 or stream.type == "video"
    if container.format.name.startswith("matroska") and container.duration is not None and only:
        return Fraction(container.duration, av.time_base)
    return None
