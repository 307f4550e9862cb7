"""Bytes → packets → what a decoder makes of them, within limits and whatever is damaged."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from typing import Any, TypeAlias

import av
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from mien.media.reader import Reader, unreadable

MAX_PIXELS = 2**26
"""Pixels of the largest picture that is decoded, so that a small hostile file cannot take
gigabytes; twice 7680x4320."""
_WAVE_PROBE = 2**15
"""Bytes of a WAV file that are searched for what else its samples may be (S/PDIF, DTS): FFmpeg's
own 5 MB take it four times as long to open one as all that comes after."""
_THREADS = 4
"""More decoding threads gain little and each holds a picture."""
_THREADED_PIXELS = 2**25
"""Pixels that the threads may hold together: 7680x4320 is decoded by one."""
_SKIPPING_DECODERS = {"h264", "hevc", "mjpeg", "mpeg2video", "mpeg4"}
"""Decoders that look at each packet's own wish whether to skip it; dav1d looks at the first."""

Packet: TypeAlias = "av.Packet[Any]"


def open_container(reader: Reader) -> InputContainer:
    """Let FFmpeg look at the source, and at nothing else: no other file and no network."""
    options = {
        # No protocol has this name: a playlist inside the clip opens nothing.
        "protocol_whitelist": "none",
        # PyAV asks FFmpeg to make up missing times, and B-frames in AVI get wrong ones.
        "fflags": "-genpts",
    }
    reader.seek(0)
    if _is_wave(reader.read(12)):
        options["probesize"] = str(_WAVE_PROBE)
    reader.seek(0)
    try:
        return av.open(
            reader,
            mode="r",
            container_options=options,
            metadata_errors="replace",
            buffer_size=2**16,
        )
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        what = f"expected audio or video, got something else or a damaged file ({reason})"
        raise unreadable(reader.title, what) from error


def _is_wave(start: bytes) -> bool:
    return start[:4] == b"RIFF" and start[8:] == b"WAVE"


def claimed_seconds(reader: Reader) -> float | None:
    """Give the seconds that a clip's header claims; ``None`` where it does not."""
    with closing(open_container(reader)) as container:
        return None if container.duration is None else container.duration / av.time_base


def video_stream(container: InputContainer) -> tuple[VideoStream | None, str | None]:
    """Choose the stream to decode, or say why there is none."""
    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not moving:
        cover = "no video stream, only cover art"
        return None, cover if container.streams.video else "no video stream"
    video = next((stream for stream in moving if stream.codec_context), None)
    if video is None:
        return None, "no decoder for the video stream"
    width, height = video.codec_context.width, video.codec_context.height
    if width * height > MAX_PIXELS:
        return None, f"pictures of {width}x{height} are larger than {MAX_PIXELS} pixels"
    return video, None


def sound_stream(container: InputContainer) -> Any:
    """Choose the sound that is listened to, or ``None``."""
    return next((stream for stream in container.streams.audio if stream.codec_context), None)


def packets(container: InputContainer, streams: Sequence[Stream]) -> Iterator[Packet]:
    """Give the packets up to the end of the file, or to where it is cut off."""
    # Asked for no stream, PyAV gives the packets of all.
    found = container.demux(*streams) if streams else iter(())
    with suppress(av.FFmpegError):
        # An empty packet would make the decoder believe that the stream ends.
        yield from (packet for packet in found if packet.size)


def decode(context: Any, packet: Any) -> list[Any]:
    """Decode a packet, or flush the decoder when it is ``None``; nothing when it is damaged."""
    try:
        frames: list[Any] = context.decode(packet)
    except (av.FFmpegError, ValueError):
        return []
    return frames


def decoded_pictures(
    container: InputContainer, stream: VideoStream, wanted: Callable[[int], bool] | None
) -> Iterator[av.VideoFrame]:
    """Decode from where the container stands to its end.

    Args:
        container: where packets come from.
        stream: its video stream.
        wanted: says whether a presentation time matters; ``None`` when all do.
    """
    context = stream.codec_context
    for packet in packets(container, [stream]):
        if wanted is not None and context.name in _SKIPPING_DECODERS:
            # A frame to which no other refers can be left out, and the others stay the same.
            needed = packet.pts is None or wanted(packet.pts)
            context.skip_frame = "DEFAULT" if needed else "NONREF"
        yield from decode(context, packet)
    yield from decode(context, None)


def prepare_decoder(context: VideoCodecContext) -> None:
    """Bound the memory that decoding takes; before the first picture."""
    pixels = max(1, context.width * context.height)
    context.options = {"max_pixels": str(MAX_PIXELS)}
    context.thread_type = "AUTO"
    context.thread_count = max(1, min(_THREADS, os.cpu_count() or 1, _THREADED_PIXELS // pixels))
