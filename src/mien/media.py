"""A clip → frames with their presentation times, and a mono waveform.

A clip is read twice. The first pass takes every packet's presentation time without decoding
pictures, since headers lie about durations and frame rates, and decodes the sound that is asked
for. The second pass decodes only the pictures that are shown at the middles of equal slices,
jumping from key frame to key frame.

All sources are read through the same nameless reader, so that a path, its bytes and an open file
give the same answer, and FFmpeg may open nothing else: a playlist cannot reach other files or the
network.
"""

from __future__ import annotations

import io
import os
import stat
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from mien.errors import InvalidArgument, UnreadableClip

ClipSource = str | os.PathLike[str] | bytes | BinaryIO
"""A path, the bytes of a file, or a file open for reading in binary mode."""

SILENCE_DBFS = -60
"""A waveform whose peak stays below this level is no sound."""
MAX_PIXELS = 2**26
"""Pixels of the largest picture that is decoded, so that a small hostile file cannot take
gigabytes; twice 7680x4320."""
MAX_STREAMED_BYTES = 2**29
"""Most that is taken into memory from a file object that cannot seek."""
_ASPECT_LIMIT = 4
"""Pixels more elongated than this are a damaged header."""
_SEEK_WORTH = 8
"""Frames that a jump must save: it empties the decoder, which costs about as much as a few."""
_THREADS = 4
"""More decoding threads gain little and each holds a picture."""
_THREADED_PIXELS = 2**25
"""Pixels that the threads may hold together: 7680x4320 is decoded by one."""
_DEFAULT_RATE = Fraction(25)
"""Frames a second of a stream that tells neither times nor rate; also FFmpeg's choice."""
_CURE = "check that it plays, or convert it to mp4"

_SKIPPING_DECODERS = {"h264", "hevc", "mjpeg", "mpeg2video", "mpeg4"}
"""Decoders that look at each packet's own wish whether to skip it; dav1d looks at the first."""
_QUARTER_TURNS = ((1, 0, 0, 1), (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0))
"""Display matrices of 0, 90, 180 and 270 degrees counterclockwise."""
_NO_NUMPY = {"s64", "s64p"}
"""Sample formats that PyAV does not turn into arrays."""

Packet: TypeAlias = "av.Packet[Any]"
Pixels = NDArray[np.uint8]
Samples = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture and when it is shown."""

    time: float
    """Seconds from the clip's start."""
    image: Pixels
    """RGB, upright, with square pixels; shape = (height, width, 3)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """An open clip: what was found in it. :func:`open_clip` makes it."""

    name: str
    duration_s: float
    """Seconds from the earliest start of its streams to the latest end; 0 for a picture."""
    video_reason: str | None
    """Why there is no picture; ``None`` when there is."""
    audio_reason: str | None
    """Why there is no sound; ``None`` when there is."""
    waveform: Samples | None
    """Mean of the channels at the rate that was asked for, full scale 1; shape = (samples,)."""
    waveform_start_s: float
    """Seconds from the clip's start to the first sample."""
    _pictures: _Pictures | None = field(repr=False)

    def frames(self) -> Iterator[Frame]:
        """Decode the frame shown at the middle of each slice; only while the clip is open.

        A frame that serves several slices is the same object each time. Where decoding fails, the
        nearest earlier frame stands in.

        Yields:
            As many frames as slices, or none when :attr:`video_reason` says why.

        Raises:
            InvalidArgument: the clip is closed.
            UnreadableClip: the file can no longer be read.
        """
        return iter(()) if self._pictures is None else self._pictures.frames()


@contextmanager
def open_clip(source: ClipSource, *, frames: int, sample_rate: int, samples: int) -> Iterator[Clip]:
    """Open a clip: read its times and its sound, and make ready to decode its pictures.

    Args:
        source: a path, the bytes of a file, or a binary file, which is read from its start and
            left open. It may be used by one thread at a time.
        frames: equal slices of the video; the frame shown at the middle of each is decoded.
        sample_rate: Hz of the waveform.
        samples: most samples that are decoded, from the start of the sound.

    Yields:
        The clip; its frames can be decoded until the context ends.

    Raises:
        InvalidArgument: an argument has the wrong type or is not positive.
        UnreadableClip: the source is missing, is no media, or holds neither picture nor sound.

    >>> import io, wave
    >>> file = io.BytesIO()
    >>> with wave.open(file, "wb") as sound:
    ...     sound.setparams((1, 2, 8_000, 0, "NONE", ""))
    ...     sound.writeframes(bytes([0, 64]) * 4_000)
    >>> with open_clip(file, frames=22, sample_rate=8_000, samples=3) as clip:
    ...     clip.duration_s, clip.video_reason, clip.waveform
    (0.5, 'no video stream', array([0.5, 0.5, 0.5], dtype=float32))
    """
    for argument, value in (("frames", frames), ("sample_rate", sample_rate), ("samples", samples)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InvalidArgument(f"{argument} must be a positive whole number, not {value!r}")
    with ExitStack() as stack:
        reader = stack.enter_context(_reading(source))
        yield _clip(reader, stack, slices=frames, sound=_Sound(sample_rate, samples))


def clip_name(source: ClipSource) -> str:
    """Name a clip for people.

    Returns:
        The path; ``"<bytes>"``; a file object's name, or ``"<file>"`` when it has none.

    Raises:
        InvalidArgument: the source is none of these.

    >>> clip_name("talk.mp4"), clip_name(b"..."), clip_name(io.BytesIO())
    ('talk.mp4', '<bytes>', '<file>')
    """
    if isinstance(source, bytes):
        return "<bytes>"
    if isinstance(source, str | os.PathLike):
        return os.fsdecode(source)
    if not callable(getattr(source, "read", None)):
        raise InvalidArgument(
            f"source must be a path, bytes or a binary file, not {type(source).__name__}"
        )
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "<file>"


def shown_at_middles(times: Sequence[int], end: int, slices: int) -> list[int]:
    """Find the frame that is shown at the middle of each of equal slices.

    Args:
        times: presentation times, increasing, at least one; the first is the span's start.
        end: the span's end, in the same unit.
        slices: how many equal parts the span is cut into.

    Returns:
        For each slice the index of the latest time that is not after its middle.

    >>> shown_at_middles([0, 10, 20, 30], 40, 2)
    [1, 3]
    >>> shown_at_middles([0, 35], 40, 4)
    [0, 0, 0, 1]
    """
    start, span = times[0], end - times[0]
    # Whole numbers keep a frame that starts exactly at a middle on the right side of it.
    middles = (start + (2 * k + 1) * span // (2 * slices) for k in range(slices))
    return [max(0, bisect_right(times, middle) - 1) for middle in middles]


# --- where the bytes come from -------------------------------------------------------------------


class _Reader:
    """A source without its name, so that only its contents decide how it is read."""

    def __init__(self, file: BinaryIO, title: str) -> None:
        self._file = file
        self.title = title
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        try:
            # FFmpeg's buffer is not longer than it says, whatever the file object thinks.
            return bytes(self._file.read(size) or b"")[:size]
        except (OSError, ValueError) as error:
            raise _unreadable(self.title, f"reading failed: {error}", "check the disk") from error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError):
            # A damaged file points outside itself; a negative answer tells FFmpeg so.
            return -1


def _unreadable(title: str, what: str, cure: str = _CURE) -> UnreadableClip:
    one_line = title if title.isprintable() else ascii(title)
    return UnreadableClip(f"{one_line}: {' '.join(what.split())}; {cure}")


@contextmanager
def _reading(source: ClipSource) -> Iterator[_Reader]:
    title = clip_name(source)
    with ExitStack() as stack:
        if isinstance(source, bytes):
            file: BinaryIO = io.BytesIO(source)
        elif isinstance(source, str | os.PathLike):
            file = stack.enter_context(_open_path(Path(title)))
        else:
            file = _seekable(source, title)
        reader = _Reader(file, title)
        reader.seek(0)
        if not reader.read(1):
            raise _unreadable(title, "expected a media file, got 0 bytes", "copy it again")
        yield reader


def _open_path(path: Path) -> BinaryIO:
    try:
        mode = path.stat().st_mode
        # Opening a pipe or a device could wait for ever or read without end.
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
            raise _unreadable(str(path), f"expected a file, got {kind}", "name a media file")
        return path.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise _unreadable(str(path), "no such file", "check the path") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise _unreadable(str(path), f"cannot be opened: {reason}", "check the path") from error


def _seekable(file: BinaryIO, title: str) -> BinaryIO:
    try:
        binary = isinstance(file.read(0), bytes)
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"source must be open for reading: {title}: {error}") from error
    if not binary:
        raise InvalidArgument(f"source must be a binary file; open {title} in mode 'rb'")
    if callable(getattr(file, "seek", None)) and getattr(file, "seekable", lambda: True)():
        return file
    memory = io.BytesIO()
    while chunk := file.read(2**20):
        memory.write(chunk)
        if memory.tell() > MAX_STREAMED_BYTES:
            limit = f"{MAX_STREAMED_BYTES >> 20} MiB from a file that cannot seek"
            raise _unreadable(title, f"expected at most {limit}, got more", "save it first")
    return memory


def _open(reader: _Reader) -> InputContainer:
    reader.seek(0)
    try:
        return av.open(
            reader,
            mode="r",
            container_options={
                # No protocol has this name: a playlist inside the clip opens nothing.
                "protocol_whitelist": "none",
                # PyAV asks FFmpeg to make up missing times, and B-frames in AVI get wrong ones.
                "fflags": "-genpts",
            },
            metadata_errors="replace",
            buffer_size=2**16,
        )
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        what = f"expected audio or video, got something else or a damaged file ({reason})"
        raise _unreadable(reader.title, what) from error


# --- packets and frames --------------------------------------------------------------------------


def _packets(container: InputContainer, streams: Sequence[Stream]) -> Iterator[Packet]:
    """Give the packets up to the end of the file, or to where it is cut off."""
    packets = container.demux(*streams)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            return
        if packet is None:
            return
        # An empty packet would make the decoder believe that the stream ends.
        if packet.size:
            yield packet


def _decode(context: Any, packet: Any) -> list[Any]:
    """Decode a packet, or flush the decoder when it is ``None``; nothing when it is damaged."""
    try:
        frames: list[Any] = context.decode(packet)
    except (av.FFmpegError, ValueError):
        return []
    return frames


def _seconds(pts: int | None, base: Fraction | None) -> Fraction | None:
    return None if pts is None or base is None else pts * base


# --- sound ---------------------------------------------------------------------------------------


class _Sound:
    """Gathers the beginning of the sound as one channel at one rate."""

    def __init__(self, rate: int, samples: int) -> None:
        self.rate = rate
        self.start: Fraction | None = None
        self._last: Packet | None = None
        self._missing = samples
        self._parts: list[Samples] = []
        self._resampler: av.AudioResampler | None = None
        self._source_rate = 0

    @property
    def end(self) -> Fraction:
        """Seconds, in the clip's own time, at which the last packet's sound ends."""
        heard = Fraction(sum(part.size for part in self._parts), self.rate)
        end = (self.start or Fraction(0)) + heard
        if self._missing or self._last is None or self._last.pts is None:
            return end
        return max(end, (self._last.pts + (self._last.duration or 0)) * self._last.time_base)

    @property
    def waveform(self) -> Samples:
        return np.concatenate([np.empty(0, np.float32), *self._parts])

    def hear(self, context: AudioCodecContext, packet: Packet) -> None:
        self._last = packet
        if self._missing:
            self._take(_decode(context, packet), _seconds(packet.pts, packet.time_base))

    def finish(self, context: AudioCodecContext) -> None:
        if self._missing:
            self._take(_decode(context, None), None)
            self._resample(None)

    def _take(self, frames: list[av.AudioFrame], packet_start: Fraction | None) -> None:
        for frame in frames:
            if self.start is None:
                own = _seconds(frame.pts, frame.time_base)
                self.start = packet_start if own is None else own
            # A damaged frame can claim a format or a rate that nothing converts.
            with suppress(av.FFmpegError, ValueError):
                self._add(frame)

    def _add(self, frame: av.AudioFrame) -> None:
        self._change_rate(frame.sample_rate)
        # The margin outlasts the resampler's delay; the rest would be thrown away.
        enough = self._missing * frame.sample_rate // self.rate + frame.sample_rate
        self._resample(_mono(frame)[:enough])

    def _change_rate(self, source_rate: int) -> None:
        if source_rate == self._source_rate:
            return
        self._resample(None)
        self._source_rate = source_rate
        self._resampler = av.AudioResampler(format="fltp", layout="mono", rate=self.rate)

    def _resample(self, mono: Samples | None) -> None:
        if self._resampler is None or self._source_rate == self.rate:
            self._keep(mono)
            return
        frame = None
        if mono is not None and mono.size:
            frame = av.AudioFrame.from_ndarray(mono[np.newaxis], format="fltp", layout="mono")
            frame.sample_rate = self._source_rate
        for resampled in self._resampler.resample(frame):
            self._keep(resampled.to_ndarray()[0])

    def _keep(self, part: Samples | None) -> None:
        if part is not None and self._missing:
            self._parts.append(part[: self._missing].copy())
            self._missing -= self._parts[-1].size


def _mono(frame: av.AudioFrame) -> Samples:
    """Average the channels, not weighted as in a stereo downmix; full scale becomes 1."""
    if frame.format.name in _NO_NUMPY:
        frame = av.AudioResampler(format="dblp").resample(frame)[0]
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, len(frame.layout.channels)).T
    if values.dtype == np.uint8:
        values = values.astype(np.int16) - 128
    scale = 1.0 if values.dtype.kind == "f" else 2.0 ** (1 - frame.format.bits)
    # One NaN would spread through the resampler.
    finite = np.where(np.isfinite(values), values, 0)
    mean = finite.mean(axis=0, dtype=np.float64)
    return np.asarray(mean * scale, np.float32)


# --- pictures ------------------------------------------------------------------------------------


class _Track(NamedTuple):
    """What the packets tell of a video stream, in units of its time base."""

    stream: int
    base: Fraction
    times: array[int]
    """Presentation times, increasing."""
    keys: array[int]
    """Those of key frames."""
    lead: int
    """The longest time from decoding a key frame to showing it."""
    end: int
    counted: bool
    """Frames carry no times of their own: the first one decoded has the first time, and so on."""


class _Sight:
    """Gathers the presentation times of a video stream."""

    def __init__(self, stream: VideoStream, *, still: bool) -> None:
        self._index = stream.index
        self._base = stream.time_base or Fraction(1, av.time_base)
        self._step = max(1, round(1 / ((stream.average_rate or _DEFAULT_RATE) * self._base)))
        self._still = still
        self._shown_at = array("q")
        self._decoded_at = array("q")
        self._keys = array("q")
        self._lead = 0
        self._packets = 0
        self._duration: int | None = None

    def see(self, packet: Packet) -> None:
        if packet.is_discard or packet.is_corrupt:
            return
        self._packets += 1
        self._duration = packet.duration
        if packet.dts is not None:
            self._decoded_at.append(packet.dts)
        if packet.pts is None:
            return
        self._shown_at.append(packet.pts)
        if packet.is_keyframe:
            self._keys.append(packet.pts)
            decoded_at = packet.pts if packet.dts is None else packet.dts
            self._lead = max(self._lead, packet.pts - decoded_at)

    def track(self, reader: _Reader) -> _Track | None:
        """Give what was seen, or nothing when there were no frames."""
        counted = len(self._shown_at) < self._packets
        seen = self._count(reader) if counted else self._shown_at
        if not seen:
            return None
        times = np.unique(np.asarray(seen))
        return _Track(
            stream=self._index,
            base=self._base,
            times=array("q", times.tobytes()),
            keys=array("q", () if counted else sorted(self._keys)),
            lead=self._lead,
            end=int(times[-1]) + self._last_duration(times),
            counted=counted,
        )

    def _last_duration(self, times: NDArray[np.int64]) -> int:
        if times.size > 1:
            return max(0, round(float(np.median(np.diff(times)))))
        return 0 if self._still else self._duration or self._step

    def _count(self, reader: _Reader) -> Sequence[int]:
        """Decode the stream to count its frames, and give them times."""
        with closing(_open(reader)) as container:
            stream: Any = container.streams[self._index]
            _prepare(stream.codec_context)
            frames = sum(1 for _ in _decoded(container, stream, None))
        # Frames come out in the order of presentation, a packet each, at the pace of decoding.
        paced = sorted(self._decoded_at)
        return paced if len(paced) == frames else [n * self._step for n in range(frames)]


class _Shown(NamedTuple):
    pts: int
    picture: av.VideoFrame


def _decoded(
    container: InputContainer, stream: VideoStream, wanted: frozenset[int] | None
) -> Iterator[av.VideoFrame]:
    """Decode from where the container stands to its end.

    Args:
        container: where packets come from.
        stream: its video stream.
        wanted: the presentation times that matter; ``None`` for all.
    """
    context = stream.codec_context
    for packet in _packets(container, [stream]):
        if wanted is not None and context.name in _SKIPPING_DECODERS:
            # A frame to which no other refers can be left out, and the others stay the same.
            needed = packet.pts is None or packet.pts in wanted
            context.skip_frame = "DEFAULT" if needed else "NONREF"
        yield from _decode(context, packet)
    yield from _decode(context, None)


def _timed(pictures: Iterator[av.VideoFrame], track: _Track) -> Iterator[_Shown]:
    if track.counted:
        yield from map(_Shown, track.times, pictures)
    for picture in pictures:
        if picture.pts is not None:
            yield _Shown(picture.pts, picture)


class _Walk:
    """Goes forward through a video stream, leaping to key frames where that saves decoding."""

    def __init__(self, reader: _Reader, track: _Track, wanted: frozenset[int]) -> None:
        self._reader = reader
        self._track = track
        # Every frame must come out where frames are counted.
        self._wanted = None if track.counted else wanted
        self._trusted_keys = track.keys
        self._early = 0
        self._shown: _Shown | None = None
        self._ahead: _Shown | None = None
        self._stream: Any = None
        self._pictures: Iterator[_Shown] = iter(())
        self._start()

    def close(self) -> None:
        self._pictures = iter(())
        self._container.close()

    def at(self, pts: int) -> _Shown | None:
        """Give the frame shown at ``pts``, else the nearest before it that decodes, else after."""
        if self._shown is not None and pts < self._shown.pts:
            self.close()
            self._start()
        self._leap(pts)
        while self._shown is None or self._shown.pts < pts:
            self._ahead = self._ahead or next(self._pictures, None)
            if self._ahead is None or self._ahead.pts > pts:
                break
            self._shown, self._ahead = self._ahead, None
        return self._shown or self._ahead

    def _start(self) -> None:
        self._container = _open(self._reader)
        self._stream = self._container.streams[self._track.stream]
        _prepare(self._stream.codec_context)
        self._shown = self._ahead = None
        self._decode_on()

    def _decode_on(self, key: int | None = None) -> None:
        wanted = self._wanted if key is None or self._wanted is None else self._wanted | {key}
        pictures = _decoded(self._container, self._stream, wanted)
        self._pictures = _timed(pictures, self._track)

    def _leap(self, pts: int) -> None:
        place = bisect_right(self._trusted_keys, pts)
        if not place:
            return
        key, times = self._trusted_keys[place - 1], self._track.times
        here = bisect_right(times, self._shown.pts) if self._shown else 0
        if bisect_right(times, key) - here <= _SEEK_WORTH:
            return
        # Some containers are searched by the time of showing, others by that of decoding.
        for early in (self._early, self._track.lead):
            if self._land(key, early):
                self._early = early
                return
        # Its index or its key frames mislead: only decoding from the start is sure.
        self._trusted_keys = array("q")
        self.close()
        self._start()

    def _land(self, key: int, early: int) -> bool:
        """Jump ahead of a key frame and decode up to it; say whether that led to it."""
        self._shown = self._ahead = None
        try:
            self._container.seek(key - early, stream=self._stream)
        except (av.FFmpegError, OverflowError):
            return False
        self._decode_on(key)
        # Frames before the key frame may refer to others that were not decoded.
        landed = next((shown for shown in self._pictures if shown.pts >= key), None)
        self._shown = landed
        return landed is not None and landed.pts == key and bool(landed.picture.key_frame)


def _prepare(context: VideoCodecContext) -> None:
    pixels = max(1, context.width * context.height)
    context.options = {"max_pixels": str(MAX_PIXELS)}
    context.thread_type = "AUTO"
    context.thread_count = max(1, min(_THREADS, os.cpu_count() or 1, _THREADED_PIXELS // pixels))


class _Pictures:
    """The frames at the slices' middles, decoded as they are asked for."""

    def __init__(self, reader: _Reader, track: _Track, *, slices: int, aspect: Fraction) -> None:
        middles = shown_at_middles(track.times, track.end, slices)
        self._wanted = [track.times[index] for index in middles]
        self._walk = _Walk(reader, track, frozenset(self._wanted))
        self._base = track.base
        self._aspect = aspect
        self._reformatter = VideoReformatter()
        self._open = True
        self.origin = Fraction(0)

    def close(self) -> None:
        self._open = False
        self._walk.close()

    def decodable(self) -> bool:
        return self._walk.at(self._wanted[0]) is not None

    def frames(self) -> Iterator[Frame]:
        last: _Shown | None = None
        frame: Frame | None = None
        for pts in self._wanted:
            if not self._open:
                raise InvalidArgument("frames() needs an open clip; use it inside the with block")
            shown = self._walk.at(pts) or last
            if shown is not None and (frame is None or last is None or shown.pts != last.pts):
                frame = self._frame(shown)
            last = shown
            if frame is not None:
                yield frame

    def _frame(self, shown: _Shown) -> Frame:
        time = float(shown.pts * self._base - self.origin)
        return Frame(time, _upright_rgb(shown.picture, self._aspect, self._reformatter))


def _upright_rgb(picture: av.VideoFrame, aspect: Fraction, reformatter: VideoReformatter) -> Pixels:
    rgb: Any = reformatter.reformat(
        picture,
        width=round(picture.width * max(aspect, Fraction(1))),
        height=round(picture.height / min(aspect, Fraction(1))),
        format="rgb24",
    )
    turned = _turn(rgb.to_ndarray(), _display_matrix(picture))
    # Where nothing had to be converted, the decoder may still refer to these pixels.
    return np.array(turned, order="C", copy=True if rgb is picture else None)


def _display_matrix(picture: av.VideoFrame) -> tuple[int, int, int, int]:
    """Give (a, b, c, d) of FFmpeg's display matrix: x' = a·x + c·y, y' = b·x + d·y."""
    try:
        side: Any = picture.side_data.get("DISPLAYMATRIX")
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


# --- the clip ------------------------------------------------------------------------------------


class _Survey(NamedTuple):
    """What the first pass found."""

    track: _Track | None
    aspect: Fraction
    video_reason: str | None
    audio_reason: str | None


def _clip(reader: _Reader, stack: ExitStack, *, slices: int, sound: _Sound) -> Clip:
    track, aspect, video_reason, audio_reason = _survey(reader, sound)
    pictures = None
    if track:
        pictures = _Pictures(reader, track, slices=slices, aspect=aspect)
        stack.callback(pictures.close)
        if not pictures.decodable():
            track, pictures, video_reason = None, None, "no picture could be decoded"
    if video_reason and audio_reason:
        what = f"expected picture or sound, got neither ({video_reason}; {audio_reason})"
        raise _unreadable(reader.title, what)
    spans = [(track.times[0] * track.base, track.end * track.base)] if track else []
    if sound.start is not None:
        spans.append((sound.start, sound.end))
    origin = min((start for start, _ in spans), default=Fraction(0))
    if pictures:
        pictures.origin = origin
    return Clip(
        name=reader.title,
        duration_s=float(max((end for _, end in spans), default=origin) - origin),
        video_reason=video_reason,
        audio_reason=audio_reason,
        waveform=None if audio_reason else sound.waveform,
        waveform_start_s=0.0 if sound.start is None else float(sound.start - origin),
        _pictures=pictures,
    )


def _survey(reader: _Reader, sound: _Sound) -> _Survey:
    with closing(_open(reader)) as container:
        video, video_reason = _video_stream(container)
        audio = next((s for s in container.streams.audio if s.codec_context), None)
        sight = None
        if video:
            sight = _Sight(video, still=container.format.name.endswith("_pipe"))
        _first_pass(container, video, sight, audio, sound)
        aspect = _pixel_aspect(video)
    track = sight.track(reader) if sight else None
    if sight and not track:
        video_reason = "no picture could be decoded"
    return _Survey(track, aspect, video_reason, _audio_reason(audio, sound))


def _first_pass(
    container: InputContainer,
    video: VideoStream | None,
    sight: _Sight | None,
    audio: AudioStream | None,
    sound: _Sound,
) -> None:
    streams = [stream for stream in (video, audio) if stream]
    for packet in _packets(container, streams) if streams else ():
        if sight and video and packet.stream_index == video.index:
            sight.see(packet)
        elif audio:
            sound.hear(audio.codec_context, packet)
    if audio:
        sound.finish(audio.codec_context)


def _video_stream(container: InputContainer) -> tuple[VideoStream | None, str | None]:
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


def _audio_reason(audio: AudioStream | None, sound: _Sound) -> str | None:
    if audio is None:
        return "no audio stream"
    waveform = sound.waveform
    if not waveform.size:
        return "no sound could be decoded"
    if np.abs(waveform).max() < 10 ** (SILENCE_DBFS / 20):
        return f"silent: below {SILENCE_DBFS} dBFS all through"
    return None


def _pixel_aspect(video: VideoStream | None) -> Fraction:
    aspect = (video.sample_aspect_ratio if video else None) or Fraction(1)
    sane = Fraction(1, _ASPECT_LIMIT) <= aspect <= _ASPECT_LIMIT
    return aspect if sane else Fraction(1)
