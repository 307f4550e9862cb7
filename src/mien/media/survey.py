"""A first pass over all packets: when each stream starts and ends, whatever headers say."""

from __future__ import annotations

import os
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

_LOOKED_AT = {"video", "audio", "attachment"}
"""Kinds of streams none of which lasts longer than picture and sound do."""


class Survey(NamedTuple):
    """What the first pass found."""

    track: Track | None
    """``None`` without a picture."""
    aspect: Fraction
    """Width / height of the picture's pixels."""
    pixels: int
    """Of the picture; 0 without one."""
    video_reason: str | None
    audio_reason: str | None
    origin: Fraction
    """Seconds, in the clip's own time, of the earliest start of its streams."""
    broken: str | None
    """What its header promises and its packets do not hold; ``None`` where they agree."""


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
        size = reader.seek(0, os.SEEK_END)
        broken = _broken(container, sight, sound if audio else None, size=size)
    track = sight.track(reader) if sight else None
    starts = [track.times[0] * track.base] if track else []
    starts += [sound.span[0]] if sound.span else []
    return Survey(
        track,
        aspect,
        video.codec_context.width * video.codec_context.height if video else 0,
        video_reason,
        sound.reason if audio else "no audio stream",
        min(starts, default=Fraction(0)),
        broken,
    )


def _broken(
    container: InputContainer, sight: Sight | None, sound: Sound | None, *, size: int
) -> str | None:
    """Tell what the container writes down, no decoder guesses, and the file does not hold."""
    ends = [sight.until] if sight else []
    ends += [sound.span[1]] if sound and sound.span else []
    until = max(ends, default=Fraction(0))
    if container.format.name.startswith("mov,"):
        # Lengths tell nothing: what an edit list leaves out is counted in some of them.
        needed = _indexed_bytes(container)
        if 0 <= size < needed:
            return (
                f"expected {needed} bytes, as its index says, got {size}: it breaks off at "
                f"{float(until):.1f} s"
            )
    if container.format.name == "avi" and sight and sight.promised is not None:
        return _missing(sight.promised, sight.until, what="picture")
    # Matroska tells when the last of all streams ends; subtitles are not looked at.
    known = {stream.type for stream in container.streams} <= _LOOKED_AT
    if container.format.name.startswith("matroska") and known and container.duration is not None:
        return _missing(Fraction(container.duration, av.time_base), until, what="the clip")
    return None


def _indexed_bytes(container: InputContainer) -> int:
    """Give the place in the file where the last packet ends that its index tells of."""
    indexes: list[Any] = [stream.index_entries for stream in container.streams]
    return max((entry.pos + entry.size for index in indexes for entry in index), default=0)


def _missing(says: Fraction, lasts: Fraction, *, what: str) -> str | None:
    """Tell what is missing, in seconds; ``None`` where it is no more than headers are wrong by."""
    if says - lasts <= max(Fraction(1), says / 50):
        return None
    return (
        f"expected {float(says):.1f} s of {what}, as its header says, got {float(lasts):.1f} s: it "
        "breaks off there"
    )
