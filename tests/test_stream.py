"""Clips of any length: frames and sound at their own times, by readers that take turns."""

import io
import os
import struct
import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from media_samples import (
    clip_bytes,
    corners,
    corners_of,
    number_of,
    patch_box,
    sine,
    still_bytes,
    turn,
    write_clip,
)
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
    ("file_format", "options", "more"),
    [
        ("mp4", {"movflags": "faststart"}, {}),
        ("mp4", {"movflags": "frag_keyframe+empty_moov"}, {"video_options": {"g": "20"}}),
        ("matroska", {}, {}),
        ("avi", {}, {"codec": "mpeg4", "audio_codec": "pcm_s16le"}),
        ("avi", {}, {"audio_codec": "pcm_s16le", "video_options": {"bf": "2"}}),
    ],
)
def test_a_file_that_breaks_off_is_told(
    file_format: str, options: dict[str, str], more: dict[str, Any], tmp_path: Path
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
        **more,
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


def heard(source: Any) -> tuple[np.ndarray, float]:
    """Listen to a clip from its start, half a second at once; give also when its sound ends."""
    with open_stream(source, sample_rate=RATE) as stream, stream.listening() as listening:
        assert stream.sound is not None
        start, end = stream.sound
        times = [start + Fraction(k, 2) for k in range(int((end - start) * 2) + 1)]
        pieces = [listening.between(time, time + Fraction(1, 2)) for time in times]
        silence = np.zeros(round(float(start) * RATE), np.float32)
        return np.concatenate([silence, *pieces]), float(end)


def beeps(*seconds: float, length: float) -> np.ndarray:
    """Make a silence with beeps of a twentieth of a second."""
    waveform = np.zeros((1, round(length * RATE)), np.float32)
    for second in seconds:
        place = round(second * RATE)
        waveform[:, place : place + RATE // 20] = sine(1000, seconds=0.05, rate=RATE)
    return waveform


def onsets(waveform: np.ndarray) -> list[float]:
    """Find when beeps begin."""
    loud = np.flatnonzero(np.abs(waveform) > 0.2)
    first = np.flatnonzero(np.diff(loud, prepend=-RATE) > RATE // 10)
    return [float(loud[place]) / RATE for place in first]


def remuxed(clip: bytes, change: Callable[[Any], bool], *, file_format: str = "matroska") -> bytes:
    """Write a clip's packets anew; those for which ``change`` gives false are left out."""
    file = io.BytesIO()
    with av.open(io.BytesIO(clip), "r") as source, av.open(file, "w", format=file_format) as target:
        streams = {one.index: target.add_stream_from_template(one) for one in source.streams}
        for packet in source.demux():
            if packet.size and change(packet):
                packet.stream = streams[packet.stream_index]
                target.mux(packet)
    return file.getvalue()


@pytest.mark.parametrize(
    ("audio_codec", "file_format", "late"),
    [
        ("pcm_s16le", "matroska", 0.0),
        ("pcm_s16le", "matroska", 0.7),
        ("libopus", "matroska", 0.7),
        ("aac", "mp4", 0.0),
        ("aac", "mp4", 0.7),
    ],
)
def test_a_flash_and_a_beep_at_one_time_are_seen_and_heard_at_one_time(
    audio_codec: str, file_format: str, late: float
) -> None:
    first = 0.3  # the picture starts late too
    clip = clip_bytes(
        times=[first + index / 25 for index in range(100)],
        image_of_frame=lambda index: np.full((48, 64, 3), 255 * (index >= 50), np.uint8),
        waveform=beeps(first + 2.0 - late, length=4 - late),
        sound_from=late,
        audio_codec=audio_codec,
        file_format=file_format,
    )
    origin = min(first, late)
    (beep,) = onsets(heard(clip)[0])
    assert beep == pytest.approx(first + 2.0 - origin, abs=0.005)
    with open_stream(clip, sample_rate=RATE) as stream:
        assert stream.picture is not None
        wanted = sorted(set(stream.shown(stream.picture, 1000).tolist()))
        frames = [frame for _, frame in stream.frames(wanted)]
    assert len(frames) == 100
    flash = next(frame.time for frame in frames if frame.image.mean() > 127)
    assert flash == pytest.approx(first + 2.0 - origin, abs=0.005)


def test_a_phone_held_upright_gives_upright_frames() -> None:
    clip = turn(clip_bytes(image_of_frame=lambda _: corners()), (0, 1, -1, 0))
    with open_stream(clip, sample_rate=RATE) as stream:
        wanted = stream.shown(Span(Fraction(0), Fraction(1)), 2).tolist()
        images = [frame.image for _, frame in stream.frames(wanted)]
    assert [corners_of(image) for image in images] == ["brwg"] * 2
    assert images[0].shape == (64, 48, 3)


def test_what_an_edit_list_cuts_off_is_neither_shown_nor_missed() -> None:
    clip = clip_bytes(frames=80, video_options={"x264-params": "bframes=0"})
    cut = patch_box(clip, "elst", 12, struct.pack(">I", 20 * 1024))
    cut = patch_box(cut, "elst", 8, struct.pack(">I", 2000))
    assert numbers(cut, start=0.0, end=2.0, slices=4) == [22, 27, 32, 37]
    with open_stream(cut, sample_rate=RATE) as stream:
        assert stream.duration == 2
        assert stream.broken is None


@pytest.mark.parametrize("keys", [10, 250])
def test_an_edit_list_that_only_moves_the_start_breaks_nothing(keys: int) -> None:
    params = f"bframes=0:scenecut=0:keyint={keys}"
    clip = clip_bytes(frames=80, video_options={"x264-params": params})
    late = patch_box(clip, "elst", 12, struct.pack(">I", 20 * 1024))
    with open_stream(late, sample_rate=RATE) as stream:
        assert stream.broken is None
        assert stream.duration == 6


@pytest.mark.parametrize("rate", [RATE, 48_000])
@pytest.mark.parametrize(
    "gone", [[(2.0, 2.5)], [(1.0, 4.0)], [(k / 4, k / 4 + 0.03) for k in range(4, 24)]]
)
def test_missing_sound_is_silence_and_what_follows_keeps_its_time(
    gone: list[tuple[float, float]], rate: int
) -> None:
    """Also where little is missing each time, and much in all."""
    waveform = np.repeat(beeps(0.5, 7.0, length=8), rate // RATE, axis=1)
    whole = clip_bytes(
        frames=0, waveform=waveform, rate=rate, audio_codec="pcm_s16le", file_format="matroska"
    )

    def stays(packet: Any) -> bool:
        time = float(packet.pts * packet.time_base)
        return not any(start <= time < end for start, end in gone)

    holed = remuxed(whole, stays)
    assert len(holed) < len(whole) - rate
    sound, end = heard(holed)
    # Up to a tenth of a second is let be; a hole of more is filled to the sample.
    far = 0.101 if len(gone) > 1 else 0.005
    assert onsets(sound) == pytest.approx([0.5, 7.0], abs=far)
    assert len(sound) / RATE == pytest.approx(end, abs=far)


@pytest.mark.parametrize("speed", [0.98, 1.02])
def test_sound_by_a_clock_that_runs_fast_or_slow_stays_with_the_picture(speed: float) -> None:
    whole = clip_bytes(
        frames=0,
        waveform=beeps(1.0, 19.0, length=20),
        audio_codec="pcm_s16le",
        file_format="matroska",
    )

    def stretched(packet: Any) -> bool:
        packet.pts = packet.dts = round(packet.pts * speed)
        return True

    sound, _ = heard(remuxed(whole, stretched))
    assert onsets(sound) == pytest.approx([1.0 * speed, 19.0 * speed], abs=0.11)


@pytest.mark.parametrize(
    "times", [[5 + index / 10 for index in range(50)], [index / 10 for index in range(50)]]
)
def test_a_picture_that_is_shorter_than_the_sound_is_not_broken(times: list[float]) -> None:
    tone = sine(440, seconds=10, rate=RATE)
    clip = clip_bytes(times=times, waveform=tone, audio_codec="pcm_s16le", file_format="matroska")
    with open_stream(clip, sample_rate=RATE) as stream:
        assert stream.duration == 10
        assert stream.broken is None


def test_a_last_picture_that_stays_for_long_is_not_broken() -> None:
    def stays(packet: Any) -> bool:
        if packet.pts * packet.time_base > 2.85:
            packet.duration = round(20 / packet.time_base)
        return True

    clip = clip_bytes(frames=30, video_options={"x264-params": "bframes=0"})
    screen = remuxed(clip, stays, file_format="mp4")
    with av.open(io.BytesIO(screen), "r") as container:
        assert container.duration is not None
        assert container.duration > 20 * av.time_base
    with open_stream(screen, sample_rate=RATE) as stream:
        assert stream.broken is None


def test_times_that_tell_of_years_are_refused() -> None:
    def far(packet: Any) -> bool:
        if packet.pts * packet.time_base > 0.85:
            packet.pts = packet.dts = round(10**8 / packet.time_base)
        return True

    clip = remuxed(clip_bytes(video_options={"x264-params": "bframes=0"}), far)
    with (
        pytest.raises(UnreadableClip, match="expected times up to"),
        open_stream(clip, sample_rate=RATE),
    ):
        pass


def test_frames_and_sound_of_one_file_are_read_in_turns() -> None:
    tone = sine(440, seconds=4, rate=RATE)
    clip = clip_bytes(frames=40, waveform=tone, audio_codec="pcm_s16le", file_format="matroska")
    for source in (clip, io.BytesIO(clip)):
        with open_stream(source, sample_rate=RATE) as stream, stream.listening() as listening:
            assert stream.picture is not None
            wanted = stream.shown(stream.picture, 40).tolist()
            pieces, seen, again = [], [], stream.frames(wanted[::2])
            for number, (_, frame) in enumerate(stream.frames(wanted)):
                seen.append(number_of(frame.image))
                start = Fraction(number, 10)
                pieces.append(listening.between(start, start + Fraction(1, 10)))
                if number % 2 == 0:
                    assert number_of(next(again)[1].image) == number
        assert seen == list(range(40))
        np.testing.assert_allclose(np.concatenate(pieces), tone[0], atol=1e-4)


def test_a_still_picture_is_shown_at_its_only_time() -> None:
    with open_stream(still_bytes(corners()), sample_rate=RATE) as stream:
        assert stream.picture is not None
        inside = stream.picture.within(Fraction(0), stream.duration)
        assert inside is not None
        wanted = stream.shown(inside, 3).tolist()
        assert corners_of(next(stream.frames(wanted))[1].image) == "rgbw"
        assert stream.picture.within(Fraction(1), Fraction(2)) is None


def test_a_damaged_time_of_sound_is_not_waited_for() -> None:
    whole = clip_bytes(
        frames=0,
        waveform=beeps(0.5, 3.0, length=4),
        audio_codec="pcm_s16le",
        file_format="matroska",
    )

    def damaged(packet: Any) -> bool:
        if packet.pts == 1984:
            packet.pts = 10**7
        return True

    sound, end = heard(remuxed(whole, damaged, file_format="nut"))
    assert end == pytest.approx(4, abs=0.05)
    assert onsets(sound) == pytest.approx([0.5, 3.0], abs=0.005)


def test_hours_without_sound_take_no_memory() -> None:
    whole = clip_bytes(
        frames=0,
        waveform=beeps(0.5, 1.5, length=2),
        audio_codec="pcm_s16le",
        file_format="matroska",
    )

    def late(packet: Any) -> bool:
        if packet.pts > 1000:
            packet.pts = packet.dts = packet.pts + 30_000_000
        return True

    clip = remuxed(whole, late)
    with open_stream(clip, sample_rate=RATE) as stream, stream.listening() as listening:
        tracemalloc.start()
        assert np.abs(listening.between(Fraction(2), Fraction(6))).max() == 0
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert stream.duration > 30_000
    assert peak < 2**22


@pytest.mark.parametrize("rate", [RATE, 48_000])
def test_sound_that_is_asked_for_late_is_the_same_and_what_is_before_is_not_kept(rate: int) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 60 * rate)).astype(np.float32)
    clip = clip_bytes(
        frames=0, waveform=noise, rate=rate, audio_codec="pcm_s16le", file_format="matroska"
    )
    with open_stream(clip, sample_rate=RATE) as stream:
        with stream.listening() as listening:
            for second in range(0, 56, 2):
                asked = listening.between(Fraction(second), Fraction(second + 4))
        with stream.listening() as listening:
            tracemalloc.start()
            late = listening.between(Fraction(54), Fraction(58))
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
    np.testing.assert_array_equal(late, asked)
    # All of it would be 3.8 MB.
    assert peak < 2 * 2**20
