"""Clips with known pictures and sound, read back; and files that are no clips."""

import gc
import io
import os
import socket
import struct
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_samples import (
    Image,
    claim_duration,
    clip_bytes,
    corners,
    corners_of,
    hertz_of,
    number_of,
    numbered,
    patch_box,
    sine,
    sound_bytes,
    still_bytes,
    turn,
    with_cover,
    with_orientation,
    write_clip,
)
from mien.errors import InvalidArgument, UnreadableClip
from mien.media import (
    Clip,
    Frame,
    clip_name,
    container,
    open_clip,
    reader,
    shown_at_middles,
    sound,
    walk,
)
from mien.media.reader import Reader, reading

RATE = 16_000
TONE = sine(440, seconds=1, rate=RATE)


def read(
    source: Any, *, frames: int = 5, sample_rate: int = RATE, samples: int = 10 * RATE
) -> tuple[Clip, list[Frame]]:
    with open_clip(source, frames=frames, sample_rate=sample_rate, samples=samples) as clip:
        return clip, list(clip.frames())


def numbers(frames: list[Frame]) -> list[int]:
    return [number_of(frame.image) for frame in frames]


def times(frames: list[Frame]) -> list[float]:
    return [round(frame.time, 4) for frame in frames]


def unreadable(source: Any) -> str:
    with pytest.raises(UnreadableClip) as caught:
        read(source)
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith(clip_name(source))
    assert ";" in message, "names no cure"
    return message


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The presentation times of all frames that leave a decoder."""
    seen: list[int] = []
    timed = walk.timed

    def watched(*arguments: Any) -> Iterator[Any]:
        for shown in timed(*arguments):
            seen.append(shown.pts)
            yield shown

    monkeypatch.setattr(walk, "timed", watched)
    return seen


# --- which frames --------------------------------------------------------------------------------


@given(
    gaps=st.lists(st.integers(1, 10_000), min_size=1, max_size=60),
    start=st.integers(-(2**40), 2**40),
    slices=st.integers(1, 50),
)
def test_shown_at_middles_follows_its_definition(gaps: list[int], start: int, slices: int) -> None:
    steps = np.cumsum([start, *gaps]).tolist()
    presented, end = steps[:-1], steps[-1]
    found = shown_at_middles(presented, end, slices)
    middles = [start + Fraction(2 * k + 1, 2 * slices) * (end - start) for k in range(slices)]
    assert found == [sum(time <= middle for time in presented) - 1 for middle in middles]


def test_a_frame_that_starts_at_the_middle_is_shown_there() -> None:
    assert shown_at_middles([0, 5], 10, 1) == [1]
    assert shown_at_middles([0, 6], 11, 1) == [0]


def test_span_without_length_shows_the_first_frame() -> None:
    assert shown_at_middles([7], 7, 3) == [0, 0, 0]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"file_format": "matroska"},
        {"file_format": "mpegts"},
        {"file_options": {"movflags": "frag_keyframe+empty_moov"}},
        {"codec": "mpeg4", "video_options": {"bf": "2"}},
        {"codec": "mpeg4", "file_format": "avi", "audio_codec": "pcm_s16le"},
        {"codec": "mjpeg", "file_format": "avi", "pixel_format": "yuvj420p"},
        {"codec": "libvpx-vp9", "file_format": "webm", "audio_codec": "libopus", "rate": 48_000},
    ],
    ids=lambda options: "-".join(str(value) for value in options.values()) or "mp4",
)
def test_frames_and_times_in_many_containers(options: dict[str, Any]) -> None:
    rate = options.get("rate", RATE)
    video_only = {k: v for k, v in options.items() if k not in ("audio_codec", "rate")}
    clip, frames = read(clip_bytes(frames=20, **video_only))
    assert numbers(frames) == [2, 6, 10, 14, 18]
    assert times(frames) == [0.2, 0.6, 1.0, 1.4, 1.8]
    assert clip.duration_s == pytest.approx(2)
    if options.get("codec") != "mjpeg":
        clip, frames = read(
            clip_bytes(frames=20, **{"waveform": sine(440, seconds=2, rate=rate)} | options)
        )
        assert numbers(frames) == [2, 6, 10, 14, 18]
        assert clip.waveform is not None
        assert hertz_of(clip.waveform, RATE) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_containers_without_presentation_times_are_counted(codec: str) -> None:
    _, frames = read(
        clip_bytes(frames=20, codec=codec, file_format="avi", video_options={"bf": "2"})
    )
    assert numbers(frames) == [2, 6, 10, 14, 18]
    assert times(frames) == [0.2, 0.6, 1.0, 1.4, 1.8]


def test_bare_pictures_without_any_times_are_counted() -> None:
    _, frames = read(clip_bytes(frames=20, file_format="h264"))
    assert numbers(frames) == [2, 6, 10, 14, 18]


def test_frame_of_several_slices_is_decoded_once(decoded: list[int]) -> None:
    _, frames = read(clip_bytes(frames=2), frames=6)
    assert len({id(frame) for frame in frames}) == 2
    assert numbers(frames) == [0, 0, 0, 1, 1, 1]
    assert len(decoded) == 2


def test_frames_can_be_read_again_and_side_by_side() -> None:
    with open_clip(clip_bytes(), frames=5, sample_rate=RATE, samples=1) as clip:
        first = numbers(list(clip.frames()))
        pairs = list(zip(clip.frames(), clip.frames(), strict=True))
    assert first == [1, 3, 5, 7, 9]
    assert [numbers(list(pair)) for pair in pairs] == [[n, n] for n in first]


def test_variable_frame_rate_keeps_the_flashes_in_their_time() -> None:
    shown = [0, 0.04, 0.08, 0.5, 0.54, 1.3, 1.34, 1.36, 1.9]
    flashes = {3, 6}

    def draw(index: int) -> Image:
        return np.full((48, 64, 3), 255 if index in flashes else 0, np.uint8)

    clip, frames = read(clip_bytes(times=shown, image_of_frame=draw), frames=200)
    bright = sorted({frame.time for frame in frames if frame.image.mean() > 127})
    assert bright == pytest.approx([0.5, 1.34], abs=1e-3)
    assert clip.duration_s == pytest.approx(1.9 + 0.04, abs=1e-3)


def test_single_frame_lasts_as_long_as_its_packet_says() -> None:
    clip, frames = read(clip_bytes(frames=1, fps=4))
    assert clip.duration_s == pytest.approx(0.25)
    assert times(frames) == [0] * 5
    assert len({id(frame) for frame in frames}) == 1


@pytest.mark.parametrize("codec", ["png", "mjpeg"])
def test_picture_is_a_clip_of_no_duration(codec: str) -> None:
    clip, frames = read(still_bytes(numbered(37), codec))
    assert clip.duration_s == 0
    assert numbers(frames) == [37] * 5
    assert times(frames) == [0] * 5


def test_images_belong_to_the_caller() -> None:
    with open_clip(still_bytes(numbered(37)), frames=1, sample_rate=RATE, samples=1) as clip:
        frame = next(clip.frames())
        assert frame.image.flags.c_contiguous
        frame.image[:] = 0
        assert numbers(list(clip.frames())) == [37]


# --- decoding only what is needed ----------------------------------------------------------------

HARD_TO_SEEK: dict[str, dict[str, Any]] = {
    "mp4": {"video_options": {"g": "12"}},
    "matroska": {"file_format": "matroska", "video_options": {"g": "12"}},
    "transport stream": {"file_format": "mpegts", "video_options": {"g": "12"}},
    "open groups": {"video_options": {"g": "12", "x264-params": "open-gop=1:b-adapt=0"}},
    "open groups, hevc": {
        "codec": "libx265",
        "video_options": {
            "preset": "ultrafast",
            "x265-params": "log-level=none:open-gop=1:keyint=12:bframes=3",
        },
    },
    "groups of two": {
        "video_options": {"x264-params": "keyint=2:min-keyint=1:bframes=1:b-adapt=0"}
    },
    "mpeg-2": {"codec": "mpeg2video", "file_format": "mpegts", "fps": 25},
    "vp8": {
        "codec": "libvpx",
        "file_format": "webm",
        "video_options": {"deadline": "realtime", "cpu-used": "8"},
    },
}


@pytest.mark.parametrize("options", HARD_TO_SEEK.values(), ids=HARD_TO_SEEK.keys())
def test_leaping_gives_the_same_frames_as_decoding_all(options: dict[str, Any]) -> None:
    data = clip_bytes(frames=150, **options)
    _, frames = read(data, frames=11)
    assert_same_as_decoding_all(data, frames)


def assert_same_as_decoding_all(source: Any, frames: list[Frame]) -> None:
    with av.open(
        io.BytesIO(source) if isinstance(source, bytes) else str(source), "r"
    ) as container:
        stream = container.streams.video[0]
        assert stream.time_base
        start = None
        wanted = {round(frame.time, 6): frame for frame in frames}
        for picture in container.decode(stream):
            assert picture.pts is not None
            start = picture.pts if start is None else start
            time = round(float((picture.pts - start) * stream.time_base), 6)
            frame = wanted.pop(time, None)
            assert frame is None or np.array_equal(frame.image, picture.to_ndarray(format="rgb24"))
    assert not wanted


@pytest.mark.parametrize("file_format", ["mp4", "matroska", "mpegts"])
def test_frames_between_far_key_frames_are_not_decoded(
    file_format: str, decoded: list[int]
) -> None:
    data = clip_bytes(frames=600, file_format=file_format, video_options={"g": "20"})
    _, frames = read(data, frames=3)
    assert numbers(frames) == [100, 300, 500]
    assert len(decoded) < 120


def test_frames_to_which_none_refers_are_not_decoded(decoded: list[int]) -> None:
    options = {"g": "250", "x264-params": "bframes=3:b-adapt=0:b-pyramid=none"}
    data = clip_bytes(frames=80, video_options=options)
    _, frames = read(data, frames=2)
    assert numbers(frames) == [20, 60]
    assert len(decoded) < 30


@pytest.mark.parametrize("refresh", [True, False])
def test_misleading_key_frames_are_not_trusted(refresh: bool) -> None:
    if refresh:
        options = {"g": "12", "x264-params": "intra-refresh=1:bframes=0"}
        data = clip_bytes(frames=150, video_options=options)
    else:
        # Without its table of key frames every frame of an mp4 counts as one.
        data = clip_bytes(frames=150, video_options={"g": "30"}).replace(b"stss", b"free")
    _, frames = read(data, frames=11)
    assert numbers(frames) == [6, 20, 34, 47, 61, 75, 88, 102, 115, 129, 143]
    assert_same_as_decoding_all(data, frames)


# --- time ----------------------------------------------------------------------------------------


def test_time_counts_from_the_earliest_stream() -> None:
    late_sound = clip_bytes(
        frames=20, waveform=TONE, sound_from=0.5, file_format="matroska", audio_codec="pcm_s16le"
    )
    clip, frames = read(late_sound)
    assert times(frames) == [0.2, 0.6, 1.0, 1.4, 1.8]
    assert clip.waveform_start_s == pytest.approx(0.5, abs=1e-3)
    late_picture = clip_bytes(
        times=[0.5 + index / 10 for index in range(10)],
        waveform=TONE,
        file_format="matroska",
        audio_codec="pcm_s16le",
    )
    clip, frames = read(late_picture)
    assert numbers(frames) == [1, 3, 5, 7, 9]
    assert times(frames) == [0.6, 0.8, 1.0, 1.2, 1.4]
    assert clip.waveform_start_s == 0
    assert clip.duration_s == pytest.approx(1.5)


def test_frames_cut_off_by_an_edit_list_are_not_shown() -> None:
    data = clip_bytes(frames=20, video_options={"x264-params": "bframes=0"})
    frame_ticks = 1024
    clip, frames = read(patch_box(data, "elst", 12, struct.pack(">I", 10 * frame_ticks)))
    assert numbers(frames) == [11, 13, 15, 17, 19]
    assert times(frames) == [0.1, 0.3, 0.5, 0.7, 0.9]
    assert clip.duration_s == pytest.approx(1)


def test_duration_in_the_header_is_not_believed() -> None:
    clip, frames = read(claim_duration(clip_bytes(), 36_000))
    assert clip.duration_s == pytest.approx(1)
    assert numbers(frames) == [1, 3, 5, 7, 9]


# --- upright and square --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), "rgbw"),
        ((0, 1, -1, 0), "brwg"),  # a phone held upright: turned clockwise to be seen
        ((-1, 0, 0, -1), "wbgr"),
        ((0, -1, 1, 0), "gwrb"),
        ((-1, 0, 0, 1), "grwb"),
        ((1, 0, 0, -1), "bwrg"),
    ],
)
def test_display_matrix_is_applied(matrix: tuple[int, int, int, int], expected: str) -> None:
    data = turn(clip_bytes(image_of_frame=lambda _: corners()), matrix)
    _, (frame, *_) = read(data)
    assert corners_of(frame.image) == expected
    assert frame.image.shape == ((48, 64, 3) if matrix[0] else (64, 48, 3))


@pytest.mark.parametrize(
    ("orientation", "expected"), [(1, "rgbw"), (3, "wbgr"), (6, "brwg"), (8, "gwrb")]
)
def test_orientation_of_a_photograph_is_applied(orientation: int, expected: str) -> None:
    photograph = with_orientation(still_bytes(corners(), "mjpeg"), orientation)
    _, (frame, *_) = read(photograph)
    assert corners_of(frame.image) == expected


@pytest.mark.parametrize(
    ("aspect", "shape"),
    [
        (Fraction(2), (48, 128, 3)),
        (Fraction(1, 2), (96, 64, 3)),
        (Fraction(16, 15), (48, 68, 3)),
        (Fraction(100), (48, 64, 3)),
    ],
)
def test_pixels_become_square(aspect: Fraction, shape: tuple[int, int, int]) -> None:
    _, (frame, *_) = read(clip_bytes(aspect=aspect))
    assert frame.image.shape == shape
    assert number_of(frame.image) == 1


def test_tiny_pictures() -> None:
    _, frames = read(clip_bytes(size=(16, 16), video_options={"crf": "1"}))
    assert numbers(frames) == [1, 3, 5, 7, 9]


# --- sound ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_sound_of_any_rate_keeps_pitch_length_and_phase(rate: int) -> None:
    clip, frames = read(sound_bytes(sine(440, seconds=1, rate=rate), rate=rate))
    assert frames == []
    assert clip.video_reason == "no video stream"
    assert clip.duration_s == pytest.approx(1, abs=1e-3)
    assert clip.waveform is not None
    assert clip.waveform.dtype == np.float32
    assert clip.waveform.size == pytest.approx(RATE, abs=2)
    middle = slice(RATE // 4, RATE // 2)
    assert np.allclose(clip.waveform[middle], TONE[0, middle], atol=2e-3)


@pytest.mark.parametrize(
    "codec", ["pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le"]
)
def test_full_scale_is_one_in_every_sample_format(codec: str) -> None:
    clip, _ = read(sound_bytes(TONE, rate=RATE, audio_codec=codec))
    assert clip.waveform is not None
    assert np.allclose(clip.waveform, TONE[0], atol=1 / 100 if codec == "pcm_u8" else 1e-4)


def test_sound_of_64_bit_whole_numbers() -> None:
    data = sound_bytes(TONE, rate=RATE, audio_codec="pcm_s64le", file_format="nut")
    clip, _ = read(data)
    assert clip.waveform is not None
    assert np.allclose(clip.waveform, TONE[0], atol=1e-4)


def test_channels_are_averaged_alike() -> None:
    # A downmix to stereo would weigh the centre and drop the fourth, of low frequencies.
    for channel in range(6):
        sound = np.zeros((6, RATE), np.float32)
        sound[channel] = TONE[0]
        clip, _ = read(sound_bytes(sound, rate=RATE, layout="5.1"))
        assert clip.waveform is not None
        assert np.allclose(clip.waveform, TONE[0] / 6, atol=1e-6)


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_not_a_number_is_silence_for_one_sample(rate: int) -> None:
    sound = sine(440, seconds=1, rate=rate, channels=2)
    sound[0, 100], sound[1, 200], sound[1, 300] = np.nan, np.inf, -np.inf
    clip, _ = read(sound_bytes(sound, rate=rate, layout="stereo"))
    assert clip.waveform is not None
    assert np.isfinite(clip.waveform).all()
    assert np.allclose(
        clip.waveform[RATE // 2 : RATE // 2 + 999], TONE[0, RATE // 2 :][:999], atol=2e-3
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rate", [16_000, 48_000])
@pytest.mark.parametrize("codec", ["pcm_f32le", "pcm_f64le"])
def test_sound_beyond_all_measure_stays_finite(codec: str, rate: int) -> None:
    largest = np.finfo(np.float32 if codec == "pcm_f32le" else np.float64).max
    file = io.BytesIO()
    with av.open(file, "w", "wav") as container:
        stream: Any = container.add_stream(codec, rate=rate, layout="stereo")
        kind, name = ("<f4", "flt") if codec == "pcm_f32le" else ("<f8", "dbl")
        values = np.full((1, 2 * rate), largest, kind)
        values[0, rate:] = 1e30 if codec == "pcm_f32le" else -1e300
        frame = av.AudioFrame(name, "stereo", rate)
        frame.planes[0].update(values.tobytes())
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    clip, _ = read(file)
    assert clip.waveform is not None
    assert clip.waveform.dtype == np.float32
    assert np.isfinite(clip.waveform).all()


def with_rate(wav: bytes, rate: int) -> bytes:
    """Let the header of a WAV claim another rate."""
    place = wav.index(b"fmt ") + 12
    return wav[:place] + struct.pack("<I", rate) + wav[place + 4 :]


@pytest.mark.parametrize("rate", [1_000_001, 4_000_001, 400_000_000, 2**31 - 1])
def test_rates_that_no_sound_has_are_refused(rate: int) -> None:
    data = with_rate(sound_bytes(TONE, rate=RATE, audio_codec="pcm_s16le"), rate)
    begin = monotonic()
    assert "no sound could be decoded" in unreadable(data)
    assert monotonic() - begin < 2


@pytest.mark.parametrize("rate", [768_000, 999_983, 1_000_000])
def test_the_highest_rates_are_read(rate: int) -> None:
    data = sound_bytes(sine(440, seconds=1, rate=rate), rate=rate, audio_codec="pcm_s16le")
    clip, _ = read(data)
    assert clip.waveform is not None
    assert hertz_of(clip.waveform, RATE) == pytest.approx(440, abs=2)


def test_a_resampler_that_fails_leaves_no_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound, "MAX_RATE", 2**32)
    data = with_rate(sound_bytes(TONE, rate=RATE, audio_codec="pcm_s16le"), 2**31 - 1)
    assert "no sound could be decoded" in unreadable(data)


def test_sound_may_change_its_rate() -> None:
    parts = [
        sound_bytes(
            sine(440, seconds=1, rate=rate), rate=rate, audio_codec="aac", file_format="adts"
        )
        for rate in (16_000, 48_000)
    ]
    clip, _ = read(b"".join(parts))
    assert clip.waveform is not None
    assert clip.waveform.size == pytest.approx(2 * RATE, rel=0.1)
    for second in np.split(clip.waveform[: 2 * RATE], 2):
        assert hertz_of(second, RATE) == pytest.approx(440, abs=5)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_no_more_samples_than_asked_for(rate: int) -> None:
    data = sound_bytes(sine(440, seconds=3, rate=rate), rate=rate)
    clip, _ = read(data, samples=1_000)
    whole, _ = read(data)
    assert clip.waveform is not None
    assert whole.waveform is not None
    assert clip.waveform.shape == (1_000,)
    assert np.array_equal(clip.waveform, whole.waveform[:1_000])
    assert clip.duration_s == pytest.approx(3, abs=1e-3)


@pytest.mark.parametrize(("peak", "silent"), [(0.00099, True), (0.00101, False)])
def test_silence_is_a_peak_below_minus_60_decibels(peak: float, silent: bool) -> None:
    data = clip_bytes(waveform=2 * peak * TONE, audio_codec="pcm_f32le", file_format="matroska")
    clip, frames = read(data)
    assert (clip.waveform is None) == silent
    assert clip.audio_reason == ("silent: below -60 dBFS all through" if silent else None)
    assert len(frames) == 5


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_silence_is_claimed_only_of_what_was_listened_to(rate: int) -> None:
    data = clip_bytes(
        waveform=0 * sine(440, seconds=8, rate=rate),
        rate=rate,
        file_format="matroska",
        audio_codec="pcm_f32le",
    )
    clip, _ = read(data, samples=100_800)
    assert clip.audio_reason == (
        "silent: below -60 dBFS in its first 6.3 s, which is all that is listened to"
    )
    clip, _ = read(data, samples=9 * RATE)
    assert clip.audio_reason == "silent: below -60 dBFS all through"
    clip, _ = read(data, samples=8 * RATE)
    assert clip.audio_reason == "silent: below -60 dBFS all through"


def test_clip_without_sound_says_so() -> None:
    clip, _ = read(clip_bytes())
    assert (clip.waveform, clip.audio_reason) == (None, "no audio stream")


def test_cover_art_is_no_video() -> None:
    sound = sound_bytes(TONE, rate=RATE, audio_codec="libmp3lame", file_format="mp3")
    clip, frames = read(with_cover(sound, still_bytes(numbered(1))))
    assert (clip.video_reason, frames) == ("no video stream, only cover art", [])
    assert clip.waveform is not None


def test_sound_that_does_not_decode_leaves_the_picture() -> None:
    data = clip_bytes(waveform=TONE, audio_codec="alac")
    clip, frames = read(data.replace(b"alac", b"xxxx"))
    assert clip.audio_reason in {"no audio stream", "no sound could be decoded"}
    assert len(frames) == 5


# --- sources -------------------------------------------------------------------------------------


class Pipe(io.RawIOBase):
    """A file that cannot seek, gives little at a time and more than a page in all."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._inner.read(min(len(buffer), 999))
        buffer[: len(part)] = part
        return len(part)


def test_all_sources_give_the_same(tmp_path: Path) -> None:
    data = clip_bytes(waveform=TONE)
    path = tmp_path / "misleading name.txt"
    path.write_bytes(data)
    with path.open("rb") as file:
        file.seek(100)
        sources: list[Any] = [path, str(path), data, io.BytesIO(data), file, Pipe(data)]
        results = [read(source) for source in sources]
        assert not file.closed
    first, first_frames = results[0]
    for clip, frames in results[1:]:
        assert clip.duration_s == first.duration_s
        assert np.array_equal(clip.waveform, first.waveform)  # type: ignore[arg-type]
        assert all(
            np.array_equal(a.image, b.image) for a, b in zip(frames, first_frames, strict=True)
        )


def test_clip_names(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"")
    with path.open("rb") as file:
        assert clip_name(file) == clip_name(path) == clip_name(str(path)) == str(path)
    assert clip_name(b"") == "<bytes>"
    assert clip_name(io.BytesIO()) == "<file>"


def test_a_stream_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_STREAMED_BYTES", 2**20)
    with pytest.raises(UnreadableClip, match="expected at most 1 MiB from a file that cannot seek"):
        read(Pipe(bytes(2**21)))


def test_files_are_closed(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.mp4", tmp_path / "bad.mp4"
    good.write_bytes(clip_bytes(waveform=TONE))
    bad.write_bytes(b"no clip")
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("counts open files in /proc, which is not there")
    before = len(list(folder.iterdir()))
    read(good)
    unreadable(bad)
    with open_clip(good, frames=3, sample_rate=RATE, samples=1) as clip:
        next(clip.frames())
    assert len(list(folder.iterdir())) == before


def test_frames_need_an_open_clip() -> None:
    with open_clip(clip_bytes(), frames=3, sample_rate=RATE, samples=1) as clip:
        begun = clip.frames()
        next(begun)
    for frames in (begun, clip.frames()):
        with pytest.raises(InvalidArgument, match="inside the with block"):
            next(frames)


def test_errors_of_the_body_are_not_touched() -> None:
    with (
        pytest.raises(ValueError, match="mine"),
        open_clip(clip_bytes(), frames=3, sample_rate=RATE, samples=1),
    ):
        raise ValueError("mine")


def test_readers_of_one_file_read_right_in_threads_of_their_own() -> None:
    content = np.random.default_rng(0).bytes(100_000)
    with reading(io.BytesIO(content)) as reader:
        twins = [reader.twin() for _ in range(4)]

        def whole(twin: Reader) -> bytes:
            return b"".join(iter(lambda: twin.read(7), b""))

        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(whole, twins)) == {content}


def test_clips_are_read_in_many_threads_at_once() -> None:
    clips = [clip_bytes(frames=60, video_options={"g": "12"}, waveform=TONE) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(read, clips * 6))
    assert all(numbers(frames) == [6, 18, 30, 42, 54] for _, frames in results)


# --- what is no clip -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "expected a media file, got 0 bytes"),
        (b"A text that somebody renamed.\n" * 100, "something else or a damaged file"),
        (bytes(100_000), "something else or a damaged file"),
        (np.random.default_rng(0).bytes(100_000), "something else or a damaged file"),
    ],
    ids=["empty", "text", "zeros", "noise"],
)
def test_bytes_that_are_no_media(data: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(data)
    assert reason in unreadable(path)
    assert reason in unreadable(data)
    assert reason in unreadable(io.BytesIO(data))


def test_mp4_without_its_index() -> None:
    data = clip_bytes(frames=40)
    assert "damaged file" in unreadable(data[: data.index(b"moov") - 4])


def test_mp4_cut_off_half_way_gives_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(
        path,
        frames=100,
        waveform=sine(440, seconds=10, rate=RATE),
        file_options={"movflags": "faststart"},
    )
    data = path.read_bytes()
    start = data.index(b"mdat")
    clip, frames = read(data[: start + (len(data) - start) // 2])
    assert len(frames) == 5
    assert 2 < clip.duration_s < 8
    assert times(frames) == [round(number / 10, 4) for number in numbers(frames)]
    assert clip.waveform is not None


def test_damaged_pictures_are_stood_in_for() -> None:
    clean = clip_bytes(frames=60, codec="mpeg4", video_options={"g": "10"})
    data = bytearray(clean)
    start = data.index(b"mdat") + 4
    size = data.index(b"moov") - start
    data[start + size // 3 : start + size // 2] = bytes(size // 2 - size // 3)
    clip, frames = read(bytes(data), frames=20)
    assert len(frames) == 20
    assert clip.video_reason is None
    moments = [frame.time for frame in frames]
    assert moments == sorted(moments)
    assert numbers(frames)[0] == 1
    assert numbers(frames)[-1] == 58


def test_pictures_that_do_not_decode_leave_the_sound() -> None:
    data = bytearray(
        clip_bytes(
            frames=10,
            file_format="mov",
            codec="png",
            pixel_format="rgb24",
            waveform=TONE,
            audio_codec="pcm_s16le",
        )
    )
    data = bytearray(bytes(data).replace(b"IHDR", b"XXXX").replace(b"\x89PNG", b"\0\0\0\0"))
    clip, frames = read(bytes(data))
    assert clip.video_reason == "no picture could be decoded"
    assert frames == []
    assert clip.waveform is not None


def test_pictures_beyond_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "MAX_PIXELS", 1_000)
    clip, _ = read(clip_bytes(waveform=TONE))
    assert clip.video_reason == "pictures of 64x48 are larger than 1000 pixels"


def test_sound_file_without_a_sample() -> None:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, RATE, 0, "NONE", ""))
        sound.writeframes(b"")
    assert "no sound could be decoded" in unreadable(file)


def test_neither_picture_nor_sound_names_both_reasons() -> None:
    message = unreadable(sound_bytes(0 * TONE, rate=RATE))
    assert "no video stream" in message
    assert "silent: below -60 dBFS all through" in message


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    assert "got a folder" in unreadable(tmp_path)
    assert "no such file; check the path" in unreadable(tmp_path / "missing.mp4")
    assert "cannot be opened" in unreadable(tmp_path / ("x" * 300))
    with pytest.raises(UnreadableClip, match="null"):
        read("zero\0byte")


@pytest.mark.skipif(os.name == "nt", reason="pipes and devices have no path on Windows")
def test_pipes_and_devices_do_not_block(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    assert "got a pipe, socket or device" in unreadable(pipe)
    assert "got a pipe, socket or device" in unreadable("/dev/zero")
    with Path("/dev/zero").open("rb") as endless:
        assert "damaged file" in unreadable(endless)


def test_a_name_with_line_breaks_stays_on_one_line(tmp_path: Path) -> None:
    with pytest.raises(UnreadableClip) as caught:
        read(tmp_path / "two\nlines")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", [None, 7, ["clip.mp4"], bytearray(b"x"), object()])
def test_sources_of_wrong_type(source: Any) -> None:
    with pytest.raises(InvalidArgument, match="source must be a path, bytes or a binary file"):
        read(source)


def test_files_that_are_not_open_for_reading_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file, pytest.raises(InvalidArgument, match="open for reading"):
        read(file)
    with path.open() as text, pytest.raises(InvalidArgument, match="mode 'rb'"):
        read(text)
    with pytest.raises(InvalidArgument, match="open for reading"):
        read(text)


@pytest.mark.parametrize("name", ["frames", "sample_rate", "samples"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3"])
def test_options_must_be_positive_whole_numbers(name: str, value: Any) -> None:
    options: dict[str, Any] = {"frames": 1, "sample_rate": 1, "samples": 1, name: value}
    with pytest.raises(InvalidArgument, match=f"{name} must be a positive whole number"):
        read(b"", **options)


def test_a_file_that_breaks_while_it_is_read() -> None:
    class Broken(io.BytesIO):
        left = 2

        def read(self, size: int | None = -1, /) -> bytes:
            self.left -= bool(size)
            if self.left < 0:
                raise OSError("the cable is out")
            return super().read(size)

    assert "the cable is out" in unreadable(Broken(clip_bytes(frames=300, size=(320, 240))))


def test_ffmpeg_keeps_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(clip_bytes(frames=60, waveform=TONE))
    data[2_000:6_000] = bytes(4_000)
    capfd.readouterr()
    read(bytes(data))
    unreadable(bytes(data[:500]))
    assert capfd.readouterr() == ("", "")


# --- hostile playlists ---------------------------------------------------------------------------

PLAYLISTS: dict[str, Callable[[str], str]] = {
    "concat": lambda target: f"ffconcat version 1.0\nfile '{target}'\n",
    "hls": lambda target: (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n"
    ),
    "hls master": lambda target: f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\n{target}\n",
    "sdp": lambda target: (
        f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        f"m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\na=control:{target}\n"
    ),
    "rtsp": lambda target: f"[Reference]\nRef1={target}\n",
}


@pytest.mark.parametrize("playlist", PLAYLISTS.values(), ids=PLAYLISTS.keys())
def test_playlist_cannot_open_another_file(
    playlist: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "private.mp4", waveform=TONE)
    for target in ("private.mp4", str(tmp_path / "private.mp4"), f"file:{tmp_path}/private.mp4"):
        (tmp_path / "clip.mp4").write_text(playlist(target))
        unreadable(tmp_path / "clip.mp4")


def test_the_playlist_would_work_without_protection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "private.mp4")
    with av.open(io.BytesIO(PLAYLISTS["concat"]("private.mp4").encode())) as container:
        assert container.streams.video


@pytest.mark.parametrize("playlist", PLAYLISTS.values(), ids=PLAYLISTS.keys())
def test_playlist_cannot_reach_the_network(playlist: Callable[[str], str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        place = f"127.0.0.1:{server.getsockname()[1]}"
        for target in (f"http://{place}/clip.ts", f"rtsp://{place}/clip", f"tcp://{place}"):
            unreadable(playlist(target).encode())
        with pytest.raises(TimeoutError):
            server.accept()


# --- size ----------------------------------------------------------------------------------------

LARGE = (7_680, 4_320)
READ_LARGE = r"""
import re, sys, time
from pathlib import Path
from mien.media import open_clip
begin = time.monotonic()
with open_clip(sys.argv[1], frames=3, sample_rate=16_000, samples=16_000) as clip:
    for frame in clip.frames():
        assert frame.image.shape == (4_320, 7_680, 3)
seconds = time.monotonic() - begin
# Unlike ru_maxrss, this does not count the memory of the process that started this one.
print(seconds, re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("kind", ["picture", "video"])
def test_large_pictures_take_bounded_memory_and_time(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "large"
    if kind == "picture":
        path.write_bytes(still_bytes(np.zeros((LARGE[1], LARGE[0], 3), np.uint8), "mjpeg"))
    else:
        write_clip(path, frames=4, size=LARGE, video_options={"preset": "ultrafast"})
    finished = subprocess.run(
        [sys.executable, "-c", READ_LARGE, str(path)], capture_output=True, text=True, check=True
    )
    seconds, kibibytes = map(float, finished.stdout.split())
    assert seconds < 10
    assert kibibytes < 1e9 / 1024


@pytest.mark.parametrize("matrix", [(1, 0, 0, 1), (1, 0, 0, -1)])
def test_pictures_are_freed_without_the_garbage_collector(
    matrix: tuple[int, int, int, int],
) -> None:
    data = turn(clip_bytes(frames=40), matrix)
    gc.collect()
    gc.disable()
    try:
        before = pictures_in_memory()
        with open_clip(data, frames=20, sample_rate=RATE, samples=1) as clip:
            most = max(pictures_in_memory() for _ in clip.frames())
        after = pictures_in_memory()
    finally:
        gc.enable()
    # The one that is shown, the one before, the next one, and what the decoder gave at once.
    assert most - before <= 4
    assert after - before == 0


def pictures_in_memory() -> int:
    # PyAV keeps an empty one ready for each decoder; it holds no pixels. By type, not isinstance:
    # that would ask weak references of other tests for what is gone.
    found = [thing for thing in gc.get_objects() if type(thing) is av.VideoFrame]
    return sum(picture.width > 0 for picture in found)


def test_large_pictures_are_held_by_few_threads() -> None:
    threads = []
    for size in ((64, 48), (3_840, 2_160), LARGE):
        context: Any = SimpleNamespace(width=size[0], height=size[1])
        container.prepare_decoder(context)
        threads.append(context.thread_count)
    assert threads[0] == threads[1] == min(4, os.cpu_count() or 1)
    assert threads[2] == 1


# --- real clips ----------------------------------------------------------------------------------

DATA = os.environ.get("MIEN_DATA")
CLIPS = sorted(Path(DATA, "clips").glob("*.mp4")) if DATA else []
needs_data = pytest.mark.skipif(not CLIPS, reason="MIEN_DATA names no folder with clips/*.mp4")


@needs_data
@pytest.mark.parametrize("path", CLIPS, ids=lambda path: path.stem)
def test_real_clips_open(path: Path) -> None:
    clip, frames = read(path, frames=22)
    moments = [frame.time for frame in frames]
    assert len(frames) == 22
    assert np.all(np.diff(moments) > 0)
    assert clip.duration_s > moments[-1]


@needs_data
def test_real_clip_against_decoding_all() -> None:
    clip, frames = read(CLIPS[0], frames=22)
    assert clip.video_reason is None
    assert_same_as_decoding_all(CLIPS[0], frames)
