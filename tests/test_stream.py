"""Clips of any length: frames and sound at their own times, by readers that take turns."""

import io
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from media_samples import clip_bytes, number_of, sine, write_clip
from mien.errors import InvalidArgument, UnreadableClip
from mien.media.reader import reading
from mien.media.stream import Span, open_stream

RATE = 16_000


def numbers(source: Any, *, start: float, end: float, slices: int) -> list[int]:
    """Read the numbers of the frames shown in a span."""
    with open_stream(source, sample_rate=RATE) as stream:
        wanted = stream.shown(Span(Fraction(str(start)), Fraction(str(end))), slices)
        each = dict(stream.frames(sorted(set(wanted.tolist()))))
        return [number_of(each[pts].image) for pts in wanted.tolist()]


def test_frames_are_those_shown_at_the_middles_of_slices() -> None:
    clip = clip_bytes(frames=40, fps=10)
    assert numbers(clip, start=1.0, end=2.0, slices=10) == list(range(10, 20))
    assert numbers(clip, start=0.0, end=4.0, slices=4) == [5, 15, 25, 35]


def test_frames_have_their_own_times_at_a_variable_rate() -> None:
    times = [0, 0.1, 0.2, 1.5, 1.6, 3.0]
    clip = clip_bytes(frames=6, times=times)
    assert numbers(clip, start=0.0, end=3.0, slices=6) == [2, 2, 2, 4, 4, 4]
    with open_stream(clip, sample_rate=RATE) as stream:
        wanted = stream.shown(Span(Fraction(0), Fraction(3)), 6)
        found = [frame.time for _, frame in stream.frames(sorted(set(wanted.tolist())))]
    assert found == pytest.approx([0.2, 1.6], abs=1e-3)


def test_sound_is_heard_at_its_own_time() -> None:
    beep = sine(440, seconds=3, rate=RATE)
    beep[:, : 2 * RATE] = 0
    clip = clip_bytes(frames=60, fps=10, waveform=beep, rate=RATE, sound_from=1.5)
    with open_stream(clip, sample_rate=RATE) as stream, stream.listening() as listening:
        assert stream.sound is not None
        assert float(stream.sound.start) == pytest.approx(1.5, abs=0.07)
        before = listening.between(Fraction(2), Fraction(33, 10))
        after = listening.between(Fraction(36, 10), Fraction(4))
    assert np.abs(before).max() < 0.02
    assert np.abs(after).max() > 0.3


def test_pieces_of_sound_make_the_whole() -> None:
    tone = sine(300, seconds=5, rate=RATE)
    clip = clip_bytes(
        frames=0, waveform=tone, rate=RATE, audio_codec="pcm_f32le", file_format="wav"
    )
    with open_stream(clip, sample_rate=RATE) as stream, stream.listening() as listening:
        pieces = [listening.between(Fraction(s), Fraction(s + 2)) for s in range(4)]
        with pytest.raises(InvalidArgument, match="must not lie before"):
            listening.between(Fraction(0), Fraction(1))
    for second, piece in enumerate(pieces):
        np.testing.assert_array_equal(piece, tone[0, second * RATE : (second + 2) * RATE])


def test_two_readers_of_one_file_take_turns() -> None:
    content = bytes(range(200))
    with reading(io.BytesIO(content)) as reader:
        one, other = reader.twin(), reader.twin()
        assert one.read(10) == content[:10]
        assert other.read(5) == content[:5]
        assert other.seek(-3, os.SEEK_END) == 197
        assert one.read(10) == content[10:20]
        assert (one.tell(), other.tell()) == (20, 197)
        assert other.read(10) == content[197:]
        assert one.seek(-1) == -1
        assert one.read(1) == content[20:21]


@pytest.mark.parametrize(
    ("file_format", "options"), [("mp4", {"movflags": "faststart"}), ("matroska", {})]
)
def test_a_file_that_breaks_off_is_told(
    file_format: str, options: dict[str, str], tmp_path: Path
) -> None:
    tone = sine(300, seconds=10, rate=RATE)
    write_clip(
        tmp_path / "whole",
        frames=100,
        fps=10,
        size=(320, 240),
        waveform=tone,
        rate=RATE,
        file_format=file_format,
        file_options=options,
    )
    whole = (tmp_path / "whole").read_bytes()
    with open_stream(whole, sample_rate=RATE) as stream:
        assert stream.broken is None
    with open_stream(whole[: len(whole) * 6 // 10], sample_rate=RATE) as stream:
        assert stream.broken is not None
        assert "breaks off" in stream.broken
        assert 2 < stream.duration < 9


def test_neither_picture_nor_sound_is_refused() -> None:
    with pytest.raises(UnreadableClip), open_stream(b"no clip at all", sample_rate=RATE):
        pass


@pytest.mark.skipif("MIEN_DATA" not in os.environ, reason="MIEN_DATA names no folder of data")
def test_no_sample_clip_is_taken_for_broken() -> None:
    clips = sorted(Path(os.environ["MIEN_DATA"]).glob("clips/*.mp4"))
    assert clips
    for clip in clips:
        with open_stream(clip, sample_rate=RATE) as stream:
            assert stream.broken is None, clip
