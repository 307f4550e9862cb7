"""Clips made on the spot, whose pictures and sound are known."""

import io
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Target = str | Path | io.BytesIO

BARS = 16
CLOCK = Fraction(1, 90_000)


def numbered(number: int, size: tuple[int, int] = (64, 48)) -> Image:
    """Draw a number as black and white bars that survive compression; size = (width, height)."""
    width, height = size
    bits = (number >> np.arange(BARS)) & 1
    columns = bits[np.arange(width) * BARS // width]
    return np.repeat((columns * 255).astype(np.uint8)[None, :, None], height, 0).repeat(3, 2)


def number_of(image: Image) -> int:
    """Read a number back from its bars."""
    columns = image.mean(axis=(0, 2)) > 127
    width = columns.size
    bits = columns[(np.arange(BARS) * width + width // 2) // BARS]
    return int((bits.astype(int) << np.arange(BARS)).sum())


def corners(size: tuple[int, int] = (64, 48)) -> Image:
    """Draw an image whose quarters are red, green (right), blue (below) and white."""
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (255, 0, 0)
    image[: height // 2, width // 2 :] = (0, 255, 0)
    image[height // 2 :, : width // 2] = (0, 0, 255)
    image[height // 2 :, width // 2 :] = (255, 255, 255)
    return image


def corners_of(image: Image) -> str:
    """Name the colours of the quarters, left to right, top to bottom, such as ``"rgbw"``."""
    height, width = image.shape[:2]
    points = [image[y, x] for y in (height // 4, -height // 4) for x in (width // 4, -width // 4)]
    names = {(1, 0, 0): "r", (0, 1, 0): "g", (0, 0, 1): "b", (1, 1, 1): "w"}
    return "".join(names.get(tuple((point > 127).astype(int)), "?") for point in points)


def sine(hertz: float, *, seconds: float, rate: int, channels: int = 1) -> NDArray[np.float32]:
    """Make a tone of half full scale; shape = (channels, samples)."""
    time = np.arange(round(seconds * rate)) / rate
    return np.tile(0.5 * np.sin(2 * np.pi * hertz * time), (channels, 1)).astype(np.float32)


def hertz_of(waveform: NDArray[np.float32], rate: int) -> float:
    """Find the loudest frequency."""
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(waveform.size)))
    return float(spectrum.argmax() * rate / waveform.size)


def write_clip(
    target: Target,
    *,
    frames: int = 10,
    fps: int = 10,
    times: Sequence[float] | None = None,
    size: tuple[int, int] = (64, 48),
    image_of_frame: Callable[[int], Image] | None = None,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    video_options: dict[str, str] | None = None,
    aspect: Fraction | None = None,
    waveform: NDArray[np.float32] | None = None,
    rate: int = 16_000,
    sound_from: float = 0.0,
    audio_codec: str = "aac",
    layout: str = "mono",
    file_format: str = "mp4",
    file_options: dict[str, str] | None = None,
) -> None:
    """Write a clip: numbered pictures, unless told otherwise, and sound if there is a waveform.

    Args:
        target: a path or a file object.
        frames: how many pictures; 0 for sound alone.
        fps: pictures a second.
        times: presentation time of each picture in seconds, instead of an even rate.
        size: (width, height).
        image_of_frame: RGB image from the frame's number.
        codec: FFmpeg's encoder for the pictures.
        pixel_format: what the encoder takes.
        video_options: the encoder's options.
        aspect: width of a pixel over its height.
        waveform: shape = (channels, samples), full scale 1.
        rate: Hz of the waveform.
        sound_from: seconds at which the sound starts.
        audio_codec: FFmpeg's encoder for the sound.
        layout: names the waveform's channels.
        file_format: FFmpeg's muxer.
        file_options: the muxer's options.
    """
    shown = [index / fps for index in range(frames)] if times is None else list(times)
    draw = image_of_frame or (lambda index: numbered(index, size))
    file = str(target) if isinstance(target, Path) else target
    with av.open(file, "w", format=file_format, options=file_options or {}) as container:
        video: Any = container.add_stream(codec, rate=fps) if shown else None
        if video:
            video.width, video.height = size
            video.pix_fmt = pixel_format
            video.options = video_options or {}
            if times is not None:
                video.codec_context.time_base = CLOCK
            if aspect:
                video.codec_context.sample_aspect_ratio = aspect
        audio: Any = None
        if waveform is not None:
            audio = container.add_stream(audio_codec, rate=rate)
            audio.layout = layout
            container.mux(_encode_sound(audio, waveform, layout=layout, start=sound_from))
        for index, time in enumerate(shown):
            frame = av.VideoFrame.from_ndarray(draw(index), format="rgb24")
            frame.time_base = Fraction(1, fps) if times is None else CLOCK
            frame.pts = index if times is None else round(time / CLOCK)
            container.mux(video.encode(frame))
        if video:
            container.mux(video.encode(None))


def _encode_sound(
    audio: Any, waveform: NDArray[np.float32], *, layout: str, start: float
) -> list[Any]:
    rate = audio.rate
    resampler = av.AudioResampler(
        format=audio.format, layout=layout, rate=rate, frame_size=audio.frame_size or 1024
    )
    packets: list[Any] = []
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(waveform), "fltp", layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, round(start * rate), Fraction(1, rate)
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
        packets += audio.encode(part)
    return [*packets, *audio.encode(None)]


def clip_bytes(**options: Any) -> bytes:
    """Give the bytes of a clip that :func:`write_clip` writes."""
    file = io.BytesIO()
    write_clip(file, **options)
    return file.getvalue()


def patch_box(data: bytes, box: str, offset: int, value: bytes, *, occurrence: int = 0) -> bytes:
    """Overwrite bytes of an mp4's box, ``offset`` bytes after its four-letter name."""
    place = data.index(b"moov")
    for _ in range(occurrence + 1):
        place = data.index(box.encode(), place + 1)
    place += len(box) + offset
    return data[:place] + value + data[place + len(value) :]


def claim_duration(data: bytes, seconds: int) -> bytes:
    """Make the header of an mp4 with one stream lie about its duration."""
    for box, offset, scale_from in (
        ("mvhd", 16, "mvhd"),
        ("tkhd", 20, "mvhd"),
        ("mdhd", 16, "mdhd"),
    ):
        place = data.index(scale_from.encode(), data.index(b"moov")) + 4 + 12
        (scale,) = struct.unpack(">I", data[place : place + 4])
        data = patch_box(data, box, offset, struct.pack(">I", scale * seconds))
    return data


def turn(data: bytes, matrix: tuple[int, int, int, int]) -> bytes:
    """Give an mp4's first stream the display matrix (a, b, c, d)."""
    a, b, c, d = (value << 16 for value in matrix)
    packed = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    return patch_box(data, "tkhd", 40, packed)


def still_bytes(image: Image, codec: str = "png") -> bytes:
    """Give the bytes of a picture."""
    return clip_bytes(
        frames=1,
        size=(image.shape[1], image.shape[0]),
        image_of_frame=lambda _: image,
        codec=codec,
        pixel_format={"png": "rgb24", "mjpeg": "yuvj420p"}[codec],
        file_format="image2pipe",
    )


def sound_bytes(
    waveform: NDArray[np.float32],
    *,
    rate: int,
    audio_codec: str = "pcm_f32le",
    layout: str = "mono",
    file_format: str = "wav",
) -> bytes:
    """Give the bytes of a sound file, without loss unless told otherwise."""
    return clip_bytes(
        frames=0,
        waveform=waveform,
        rate=rate,
        audio_codec=audio_codec,
        layout=layout,
        file_format=file_format,
    )


def with_cover(sound: bytes, picture: bytes) -> bytes:
    """Put a picture into an mp3 as its cover art."""
    attached_picture = 1 << 10
    file = io.BytesIO()
    with (
        av.open(file, "w", format="mp3") as joined,
        av.open(io.BytesIO(sound), "r") as heard,
        av.open(io.BytesIO(picture), "r") as seen,
    ):
        audio: Any = joined.add_stream_from_template(heard.streams.audio[0])
        cover: Any = joined.add_stream_from_template(seen.streams.video[0])
        cover.disposition = attached_picture
        for stream, packets in ((audio, heard.demux()), (cover, seen.demux())):
            for packet in packets:
                if packet.size:
                    packet.stream = stream
                    joined.mux(packet)
    return file.getvalue()


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """Put an EXIF orientation, 1 to 8, into a JPEG."""
    entry = struct.pack("<HHHII", 1, 0x112, 3, 1, orientation)
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + entry + bytes(4)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
