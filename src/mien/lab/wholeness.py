"""Whether a WAV, MP4 or FLAC file is as long as it says itself."""

import os
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

import av

UNKNOWN_LENGTH = 0xFFFFFFFF
"""Length of a WAV file that was written as a stream."""

FLAC_HEADER = 26
"""Bytes up to the end of the number of samples: RFC 9639, section 8.2."""


def damage(file: BinaryIO, *, suffix: str) -> str | None:
    """Say what is wrong with a file, or ``None`` where it is whole.

    A WAV file must be as long as its RIFF header and its chunks say; an MP4 file as its boxes
    (ISO/IEC 14496-12, section 4.2), of which one must be ``moov``; a FLAC file must decode to as
    many samples as it states (RFC 9639).

    Args:
        file: open for reading at any place.
        suffix: ``".wav"``, ``".mp4"`` or ``".flac"``, which says how it is looked at; of other
            files only an empty one is wrong.

    >>> import io
    >>> damage(io.BytesIO(b"RIFF" + struct.pack("<I", 100) + b"WAVE"), suffix=".wav")
    'cut off: 12 bytes of 108'
    >>> damage(io.BytesIO(), suffix=".mp4")
    'empty file'
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size == 0:
        return "empty file"
    look = _LOOKS.get(suffix)
    return look(file, size) if look else None


def _damage_of_wav(file: BinaryIO, size: int) -> str | None:
    header = file.read(12)
    if len(header) < 12 or header[:4] != b"RIFF" or header[8:] != b"WAVE":
        return "no RIFF/WAVE header"
    stated = int.from_bytes(header[4:8], "little")
    if stated == UNKNOWN_LENGTH:
        return None
    if stated + 8 > size:
        return f"cut off: {size} bytes of {stated + 8}"
    return _damage_of_chunks(file, size)


def _damage_of_chunks(file: BinaryIO, size: int) -> str | None:
    start = 12
    while start + 8 <= size:
        file.seek(start)
        kind, length = struct.unpack("<4sI", file.read(8))
        if start + 8 + length > size:
            return f"cut off: {size} bytes of {start + 8 + length}"
        if kind == b"data":
            return None if length else "no sound in it"
        # Chunks begin at even places.
        start += 8 + length + length % 2
    return "no data chunk"


def _damage_of_mp4(file: BinaryIO, size: int) -> str | None:
    kinds = set()
    for kind, end in _boxes(file, size):
        if end > size:
            return f"cut off: {size} bytes of {end}"
        kinds.add(kind)
    if kinds >= {b"moov", b"mdat"}:
        return None
    missing = b"moov" if b"moov" not in kinds else b"mdat"
    return f"no {missing.decode()} box: no MP4 file, or cut off"


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    """Give the kind and the end of each outer box, up to one that ends nowhere."""
    start = 0
    while start + 8 <= size:
        file.seek(start)
        length, kind = struct.unpack(">I4s", file.read(8))
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        elif length == 0:
            length = size - start
        if length < 8:
            return
        start += length
        yield kind, start


def _damage_of_flac(file: BinaryIO, size: int) -> str | None:
    header = file.read(FLAC_HEADER)
    if len(header) < FLAC_HEADER or header[:4] != b"fLaC":
        return "no FLAC header"
    stated = int.from_bytes(header[18:26], "big") & (2**36 - 1)
    file.seek(0)
    try:
        with av.open(file, mode="r") as container:
            samples = sum(frame.samples for frame in container.decode(audio=0))
    except (av.FFmpegError, ValueError) as error:
        return f"does not decode ({getattr(error, 'strerror', None) or error}), {size} bytes"
    # A stream may state no number.
    return f"cut off: {samples} samples of {stated}" if stated not in {0, samples} else None


_LOOKS: dict[str, Callable[[BinaryIO, int], str | None]] = {
    ".wav": _damage_of_wav,
    ".mp4": _damage_of_mp4,
    ".flac": _damage_of_flac,
}
