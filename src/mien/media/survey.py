"""A first pass over all packets: when each stream starts and ends, whatever headers say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from fractions import Fraction
from functools import partial
from typing import NamedTuple

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
    video_reason: str | None
    audio_reason: str | None
    origin: Fraction
    """Seconds, in the clip's own time, of the earliest start of its streams."""
    broken: str | None
    """What its header promises and its packets do not hold; ``None`` where they agree."""


class Promise(NamedTuple):
    """How long the header says that something lasts, and how long it does, in seconds."""

    what: str
    says: Fraction
    lasts: Fraction

    @property
    def broken(self) -> str | None:
        """Tell what is missing; ``None`` where it is no more than headers are wrong by."""
        if self.says - self.lasts <= max(Fraction(1), self.says / 50):
            return None
        return (
            f"expected {float(self.says):.1f} s of {self.what}, as its header says, "
            f"got {float(self.lasts):.1f} s: it breaks off there"
        )


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
        promises = list(_promises(container, sight, sound if audio else None))
    track = sight.track(reader) if sight else None
    starts = [track.times[0] * track.base] if track else []
    starts += [sound.span[0]] if sound.span else []
    return Survey(
        track,
        aspect,
        video_reason,
        sound.reason if audio else "no audio stream",
        min(starts, default=Fraction(0)),
        next((promise.broken for promise in promises if promise.broken), None),
    )


def _promises(
    container: InputContainer, sight: Sight | None, sound: Sound | None
) -> Iterator[Promise]:
    """Give what the container writes down and no decoder guesses."""
    start, end = sound.span if sound and sound.span else (Fraction(0), Fraction(0))
    if container.format.name.startswith("mov,"):
        # Fragments tell of themselves only, and what is missing at the end tells nothing.
        if sight and sight.promised is not None:
            yield Promise("picture", sight.promised, sight.lasts)
        stream = sound_stream(container)
        if sound and stream.duration is not None:
            yield Promise("sound", stream.duration * stream.time_base, end - start)
    # Matroska tells when the last of all streams ends; subtitles are not looked at.
    known = {stream.type for stream in container.streams} <= _LOOKED_AT
    if container.format.name.startswith("matroska") and known and container.duration is not None:
        ends = [sight.until if sight else Fraction(0), end]
        yield Promise("the clip", Fraction(container.duration, av.time_base), max(ends))
