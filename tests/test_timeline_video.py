"""The drawn video: every frame at its time, upright, its sound, its boxes; and it plays."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from browser import chromium
from face_pictures import data
from made_windows import BUNDLE, scene, shares, window
from media_samples import (
    clip_bytes,
    corners,
    corners_of,
    hertz_of,
    number_of,
    numbered,
    sine,
    sound_bytes,
    still_bytes,
    turn,
    with_cover,
    write_clip,
)
from mien.detectors import Box
from mien.media import open_clip
from mien.palette import EMOTION_COLOURS, rgb
from mien.timeline_files import TimelineFacts, open_writers
from mien.timeline_files.box_paths import BoxPath
from mien.timeline_files.drawing import Shown, Sides, draw
from mien.timeline_files.source import has_pictures
from mien.windows import Sighting, Window

SIZE = (320, 240)


def drawn(clip: Path, rows: list[Window], *, hop_s: float = 1.0) -> Path:
    path = clip.with_name("drawn.mp4")
    facts = TimelineFacts(clip=clip, window_s=4.0, hop_s=hop_s, people="all", bundle=BUNDLE)
    with open_writers([path], facts) as (writer,):
        for row in rows:
            writer.write(row)
    return path


def unseen(seconds: float) -> list[Window]:
    """Give rows of a person whose face is never sighted: nothing is drawn."""
    return [window(0, length=seconds)]


def frames(path: Path) -> list[tuple[Fraction, Any]]:
    with av.open(str(path)) as container:
        decoded: list[Any] = list(container.decode(video=0))
        return [(each.pts * each.time_base, each.to_ndarray(format="rgb24")) for each in decoded]


def sound_packets(path: Path) -> list[tuple[float, bytes]]:
    with av.open(str(path)) as container:
        found: list[Any] = [packet for packet in container.demux(audio=0) if packet.size]
        return [(float(packet.pts * packet.time_base), bytes(packet)) for packet in found]


def duration(path: Path) -> float:
    with open_clip(path, frames=1, sample_rate=8_000, samples=1) as clip:
        return clip.duration_s


def test_every_frame_of_a_variable_rate_stays_at_its_time(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    times = [0.0, 0.04, 0.05, 0.3, 0.31, 0.9, 1.0, 1.033, 1.5]
    write_clip(clip, times=times, frames=len(times), size=SIZE)
    found = frames(drawn(clip, unseen(1.6)))
    assert [float(time) for time, _ in found] == pytest.approx(times, abs=1e-4)
    assert [number_of(image) for _, image in found] == list(range(len(times)))
    with av.open(str(drawn(clip, unseen(1.6)))) as container:
        told = (container.duration or 0) / av.time_base
    # The last frame is shown as long as frames usually are; a player goes by the header.
    assert told == pytest.approx(duration(clip), abs=0.01)


@pytest.mark.parametrize(("fps", "frames_"), [(25, 50), (30, 31), (10, 7)])
def test_duration_is_the_sources_to_one_frame(tmp_path: Path, fps: int, frames_: int) -> None:
    clip = tmp_path / "clip.mp4"
    write_clip(clip, frames=frames_, fps=fps, size=SIZE)
    path = drawn(clip, unseen(frames_ / fps))
    with av.open(str(path)) as container:
        assert (container.duration or 0) / av.time_base == pytest.approx(
            frames_ / fps, abs=0.5 / fps
        )
    assert duration(path) == pytest.approx(duration(clip), abs=0.5 / fps)


def test_sound_is_copied_and_streams_keep_their_starts(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mkv"
    waveform = sine(440, seconds=3, rate=16_000)
    # A recording cut out of a longer one: nothing begins at zero.
    times = [5.5 + index / 10 for index in range(25)]
    write_clip(
        clip,
        times=times,
        frames=25,
        size=SIZE,
        waveform=waveform,
        sound_from=5.0,
        file_format="matroska",
    )
    path = drawn(clip, unseen(3.1))
    before, after = sound_packets(clip), sound_packets(path)
    assert [content for _, content in after] == [content for _, content in before]
    video_before, video_after = frames(clip)[0][0], frames(path)[0][0]
    late_before = float(video_before) - before[0][0]
    assert float(video_after) - after[0][0] == pytest.approx(late_before, abs=0.002)
    assert float(video_after) == pytest.approx(0.5, abs=0.07)
    assert [number_of(image) for _, image in frames(path)] == list(range(25))


@pytest.mark.parametrize(
    ("codec", "file_format", "ending"),
    [("pcm_s16le", "mov", "mov"), ("ac3", "matroska", "mkv"), ("pcm_s16le", "avi", "avi")],
)
def test_sound_that_browsers_do_not_play_becomes_aac(
    tmp_path: Path, codec: str, file_format: str, ending: str
) -> None:
    clip = tmp_path / f"clip.{ending}"
    waveform = np.concatenate(
        [sine(440, seconds=1, rate=48_000), sine(880, seconds=1, rate=48_000)], 1
    )
    write_clip(
        clip,
        frames=20,
        size=SIZE,
        waveform=waveform,
        rate=48_000,
        audio_codec=codec,
        file_format=file_format,
    )
    path = drawn(clip, unseen(2))
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
    with open_clip(path, frames=1, sample_rate=16_000, samples=99_999) as found:
        heard = found.waveform
    with open_clip(clip, frames=1, sample_rate=16_000, samples=99_999) as found:
        before = found.waveform
    assert heard is not None
    assert before is not None
    # Both encoders fill their last frame.
    assert heard.size / 16_000 == pytest.approx(before.size / 16_000, abs=1024 / 48_000)
    assert heard.size >= before.size
    assert hertz_of(heard[2_000:14_000], 16_000) == pytest.approx(440, abs=3)
    assert hertz_of(heard[18_000:30_000], 16_000) == pytest.approx(880, abs=3)


@pytest.mark.parametrize("codec", ["libmp3lame", "libopus", "flac"])
def test_other_sound_that_browsers_play_is_copied(tmp_path: Path, codec: str) -> None:
    clip = tmp_path / "clip.mkv"
    write_clip(
        clip,
        frames=20,
        size=SIZE,
        waveform=sine(440, seconds=2, rate=48_000),
        rate=48_000,
        audio_codec=codec,
        file_format="matroska",
    )
    found = sound_packets(drawn(clip, unseen(2)))
    assert [content for _, content in found] == [content for _, content in sound_packets(clip)]


def test_phone_video_is_drawn_upright(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    lying = clip_bytes(frames=10, size=SIZE, image_of_frame=lambda _: corners(SIZE))
    clip.write_bytes(turn(lying, (0, 1, -1, 0)))
    image = frames(drawn(clip, unseen(1)))[0][1]
    assert image.shape == (320, 240, 3)
    assert corners_of(image) == "brwg"


def test_odd_sizes_get_a_row_and_a_column(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mkv"
    odd = (161, 121)
    write_clip(
        clip,
        frames=5,
        size=odd,
        codec="ffv1",
        pixel_format="bgr0",
        image_of_frame=lambda _: corners(odd),
        file_format="matroska",
    )
    image = frames(drawn(clip, unseen(0.5)))[0][1]
    assert image.shape == (122, 162, 3)
    assert corners_of(image) == "rgbw"


def test_colours_stay(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mkv"
    write_clip(
        clip,
        frames=5,
        size=SIZE,
        codec="ffv1",
        pixel_format="bgr0",
        image_of_frame=lambda _: corners(SIZE),
        file_format="matroska",
    )
    path = drawn(clip, unseen(0.5))
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.pix_fmt, context.colorspace, context.color_range) == ("yuv420p", 1, 1)
    image = frames(path)[2][1].astype(int)
    assert np.abs(image[60, 80] - (255, 0, 0)).max() < 12
    assert np.abs(image[60, 240] - (0, 255, 0)).max() < 12


def test_box_goes_with_the_face_and_has_its_emotions_colour(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    grey = np.full((240, 320, 3), 128, np.uint8)
    write_clip(clip, frames=40, fps=10, size=SIZE, image_of_frame=lambda _: grey)
    seen = tuple(
        Sighting(time, Box(round(20 + 10 * time), 60, 60, 60)) for time in (0.0, 0.4, 0.8, 1.2)
    )
    found = frames(drawn(clip, [window(0, emotion="angry", sightings=seen)]))
    for number in (0, 6, 11):
        left = round(20 + number)
        edge = found[number][1][90, left - 1 : left + 2].astype(int)
        assert np.abs(edge - rgb(EMOTION_COLOURS["angry"])).max(axis=1).min() < 70
        assert edge[:, 0].max() > 150
    # Nobody was seen any more.
    assert np.abs(found[30][1].astype(int) - 128).max() < 12


def test_path_between_sightings() -> None:
    path = BoxPath()
    seen = {0.0: 0, 0.2: 20, 0.4: 40, 3.0: 100, 3.2: 300}
    path.add(window(0, sightings=tuple(Sighting(t, Box(x, 5, 50, 50)) for t, x in seen.items())))
    path.add(window(1, sightings=(Sighting(0.1, Box(10, 5, 50, 50)),)))
    assert path.at(0.3) == Box(30, 5, 50, 50)
    assert path.at(0.05) == Box(5, 5, 50, 50)
    # Away, but for a moment at each end; then a cut.
    assert path.at(0.5) == Box(40, 5, 50, 50)
    assert path.at(1.5) is None
    assert path.at(2.9) == Box(100, 5, 50, 50)
    assert path.at(3.05) == Box(100, 5, 50, 50)
    assert path.at(3.15) == Box(300, 5, 50, 50)
    assert BoxPath().at(1.0) is None


def test_panels_hide_no_face() -> None:
    image = np.full((720, 1280, 3), 128, np.uint8)
    faces = [Box(100, 200, 200, 200), Box(500, 200, 200, 200), Box(900, 200, 200, 200)]
    people = [
        Shown(f"person {number}", box, shares("sad"), "sad") for number, box in enumerate(faces, 1)
    ]
    draw(image, people, sides=Sides())
    for box in faces:
        inside = image[box.y + 9 : box.y + 190, box.x + 9 : box.x + 190]
        assert (inside == 128).all()
    assert (image != 128).any(axis=2).mean() > 0.15


def test_panels_stay_on_their_side_while_a_face_moves_a_little() -> None:
    image, size = np.zeros((360, 640, 3), np.uint8), (140, 130)

    def changes(sides: Sides, places: list[int]) -> int:
        """Count how often the panel leaves one side of the face for the other."""
        boxes = [Box(x, 100, 120, 120) for x in places]
        found = [
            sides.place(Shown("person 1", box, None, None), size, image, taken=[box])
            for box in boxes
        ]
        left = [panel.x < box.x for panel, box in zip(found, boxes, strict=True)]
        return int(np.count_nonzero(np.diff(left)))

    # Where the panel is against the picture's edge, and hides a little of the face at times.
    trembling = [375 + 8 * (step % 2) for step in range(40)]
    assert changes(Sides(), trembling) == 0
    across = [100 + 2 * step for step in range(200)]
    assert changes(Sides(), across) == 1
    assert changes(Sides(), across[::-1]) <= 1


@pytest.mark.parametrize("size", [(16, 16), (64, 48), (1920, 1080)])
def test_any_size_can_be_drawn_into(size: tuple[int, int]) -> None:
    image = np.full((size[1], size[0], 3), 128, np.uint8)
    draw(image, [Shown("person 1", Box(-5, 3, 12, 12), shares("sad"), None)], sides=Sides())
    draw(image, [Shown("voice", None, None, None)], sides=Sides())
    assert (image != 128).any()


def test_drawing_stops_where_the_windows_stopped(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    write_clip(clip, frames=100, fps=10, size=SIZE, waveform=sine(300, seconds=10, rate=16_000))
    path = drawn(clip, unseen(3))
    assert 3 <= duration(path) <= 4.2
    whole = drawn(clip, [window(start, length=4) for start in range(7)])
    assert duration(whole) == pytest.approx(10, abs=0.1)


def test_drawing_that_is_stopped_leaves_its_beginning(tmp_path: Path) -> None:
    clip, path = tmp_path / "clip.mp4", tmp_path / "drawn.mp4"
    write_clip(clip, frames=60, fps=10, size=SIZE, waveform=sine(300, seconds=6, rate=16_000))
    facts = TimelineFacts(clip=clip, window_s=4.0, hop_s=1.0, people="all", bundle=BUNDLE)

    def stop(share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        open_writers([path], facts, drawing=stop) as (writer,),
    ):
        writer.write(window(0, length=6))
    assert 3 <= duration(path) <= 3.3
    assert not list(tmp_path.glob(".*"))


def plays(path: Path) -> dict[str, Any]:
    """Play a video in Chromium, fast; tell what came of it."""
    page = path.with_name("player.html")
    page.write_text(f"<video src={path.name}></video>")
    with chromium() as browser:
        tab = browser.new_page()
        tab.goto(page.as_uri())
        told: dict[str, Any] = tab.evaluate(
            """async () => {
              const video = document.querySelector("video");
              video.playbackRate = 8;
              const ended = new Promise((done) => {
                video.addEventListener("ended", done);
                video.addEventListener("error", done);
              });
              video.play();
              await ended;
              return {
                error: video.error && video.error.message,
                duration: video.duration,
                ended: video.ended,
                size: [video.videoWidth, video.videoHeight],
                sound: video.webkitAudioDecodedByteCount,
                frames: video.getVideoPlaybackQuality().totalVideoFrames,
              };
            }"""
        )
    return told


@pytest.mark.slow
def test_drawn_clip_plays_in_chromium(tmp_path: Path) -> None:
    source = data() / "clips" / "hdtf_WDA_KatieHill_000.mp4"
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(source.read_bytes())
    seconds = duration(clip)
    path = drawn(clip, list(scene(seconds, people=(1,), size=(512, 512))))
    told = plays(path)
    assert told["error"] is None
    assert told["ended"]
    assert told["size"] == [512, 512]
    assert told["sound"] > 0
    assert told["duration"] == pytest.approx(seconds, abs=1 / 25)
    assert sound_packets(path) == sound_packets(clip)


@pytest.mark.slow
def test_variable_rate_with_encoded_sound_plays_in_chromium(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mkv"
    times = [0.5 + index / 20 + (index % 3) / 90 for index in range(60)]
    write_clip(
        clip,
        times=times,
        frames=60,
        size=(321, 241),
        codec="ffv1",
        pixel_format="bgr0",
        image_of_frame=lambda index: numbered(index, (321, 241)),
        waveform=sine(440, seconds=3, rate=44_100, channels=2),
        rate=44_100,
        audio_codec="pcm_s16le",
        layout="stereo",
        file_format="matroska",
    )
    told = plays(drawn(clip, unseen(3.6)))
    assert told["error"] is None
    assert told["ended"]
    assert told["sound"] > 0
    assert told["duration"] == pytest.approx(duration(clip), abs=1 / 20)


def test_a_cover_is_no_video(tmp_path: Path) -> None:
    sound = sound_bytes(
        sine(440, seconds=1, rate=44_100), rate=44_100, audio_codec="libmp3lame", file_format="mp3"
    )
    song = tmp_path / "song.mp3"
    song.write_bytes(with_cover(sound, still_bytes(corners(), "mjpeg")))
    assert not has_pictures(song)
