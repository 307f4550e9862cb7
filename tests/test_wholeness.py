"""Files cut off at any place are found out, whole ones are not."""

import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media_samples import clip_bytes, sine, sound_bytes
from mien.lab.wholeness import UNKNOWN_LENGTH, damage

TONE = sine(400, seconds=0.5, rate=8000)
WAV = sound_bytes(TONE, rate=8000, audio_codec="pcm_s16le")
FLAC = sound_bytes(TONE, rate=8000, audio_codec="flac", file_format="flac")
MP4 = clip_bytes(frames=3, waveform=TONE, rate=8000)


def found(content: bytes, suffix: str) -> str | None:
    return damage(io.BytesIO(content), suffix=suffix)


@pytest.mark.parametrize(("content", "suffix"), [(WAV, ".wav"), (FLAC, ".flac"), (MP4, ".mp4")])
def test_whole_files_are_good(content: bytes, suffix: str) -> None:
    assert found(content, suffix) is None
    assert found(b"", suffix) == "empty file"


@settings(deadline=None)
@given(share=st.floats(0.001, 0.999))
@pytest.mark.parametrize(("content", "suffix"), [(WAV, ".wav"), (MP4, ".mp4"), (FLAC, ".flac")])
def test_files_cut_off_anywhere_are_found_out(content: bytes, suffix: str, share: float) -> None:
    assert found(content[: int(len(content) * share)], suffix)


@pytest.mark.parametrize(("content", "suffix"), [(WAV, ".wav"), (MP4, ".mp4"), (FLAC, ".flac")])
def test_other_files_are_found_out(content: bytes, suffix: str) -> None:
    assert found(b"<html>no such file</html>" * 9, suffix)
    assert found(bytes(100), suffix)


@settings(deadline=None)
@given(content=st.binary(max_size=200), suffix=st.sampled_from([".wav", ".mp4"]))
def test_anything_can_be_looked_at(content: bytes, suffix: str) -> None:
    start = {".wav": b"RIFF\x04\0\0\0WAVE", ".mp4": b""}[suffix]
    assert found(start + content, suffix) is None or found(start + content, suffix)


def wav(*chunks: tuple[bytes, bytes], stated: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(
        kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
        for kind, content in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) if stated is None else stated) + body


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (wav((b"fmt ", bytes(16)), (b"odd ", b"123"), (b"data", bytes(4))), None),
        (wav((b"data", bytes(4)), stated=UNKNOWN_LENGTH), None),
        (wav((b"data", bytes(4))) + b"more", None),
        (wav((b"data", bytes(4)), stated=17), "cut off: 24 bytes of 25"),
        (wav((b"data", bytes(4)))[:-2], "cut off: 22 bytes of 24"),
        (wav((b"data", bytes(4)), stated=4)[:-2], "cut off: 22 bytes of 24"),
        (wav((b"fmt ", bytes(16))), "no data chunk"),
        (wav((b"data", b"")), "no sound in it"),
        (b"RIFF", "no RIFF/WAVE header"),
    ],
)
def test_what_is_told_of_wav_files(content: bytes, told: str | None) -> None:
    assert found(content, ".wav") == told


def box(kind: bytes, content: bytes, *, length: int | None = None) -> bytes:
    stated = 8 + len(content) if length is None else length
    return struct.pack(">I4s", stated, kind) + content


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (box(b"moov", b"") + box(b"mdat", b"123"), None),
        (box(b"moov", b"") + box(b"mdat", b"123", length=0), None),
        (box(b"moov", b"") + box(b"mdat", struct.pack(">Q", 19) + b"123", length=1), None),
        (
            box(b"moov", b"") + box(b"mdat", struct.pack(">Q", 20) + b"123", length=1),
            "cut off: 27 bytes of 28",
        ),
        (box(b"moov", b"") + box(b"mdat", b"123", length=12), "cut off: 19 bytes of 20"),
        (box(b"mdat", b"123"), "no moov box: no MP4 file, or cut off"),
        (box(b"moov", b""), "no mdat box: no MP4 file, or cut off"),
    ],
)
def test_what_is_told_of_mp4_files(content: bytes, told: str | None) -> None:
    assert found(content, ".mp4") == told


def test_what_is_told_of_flac_files() -> None:
    assert found(FLAC[: len(FLAC) // 2], ".flac")
    stated = FLAC[:21] + b"\xf0\0\0\x0f\xa1" + FLAC[26:]
    assert found(stated, ".flac") == "cut off: 4000 samples of 4001"
    unknown = FLAC[:21] + b"\xf0\0\0\0\0" + FLAC[26:]
    assert found(unknown, ".flac") is None
    assert found(b"fLaC", ".flac") == "no FLAC header"


def test_other_files_are_only_not_empty() -> None:
    assert found(b"x", ".txt") is None
