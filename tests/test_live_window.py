"""Pictures and sound as they come: the same answers as of a clip, with nothing kept for long."""

from collections.abc import Iterator

import av
import numpy as np
import pytest

import mien
from media_samples import corners, corners_of, sine, still_bytes
from mien.errors import InvalidArgument
from mien.live_window import WINDOW_S, LiveWindow, Moment
from mien.media import open_clip
from mien.media.jpeg import MAX_JPEG_PIXELS, jpeg_pixels
from mien.media.pictures import Pixels
from mien.media.sound import Samples
from mien.verify import GOLDEN_CLIP

Frames = list[tuple[float, bytes]]

RATE = 22_050


@pytest.fixture(scope="module")
def recogniser() -> mien.Recogniser:
    return mien.load()


@pytest.fixture(scope="module")
def frames() -> Frames:
    """Ten JPEGs a second of the example clip."""
    found: Frames = []
    with av.open(str(GOLDEN_CLIP)) as clip:
        for frame in clip.decode(video=0):
            if not found or float(frame.time) - found[-1][0] >= 0.099:
                found.append(
                    (
                        float(frame.time),
                        jpeg(frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)),
                    )
                )
    return found


@pytest.fixture(scope="module")
def sound() -> Samples:
    with open_clip(GOLDEN_CLIP, frames=1, sample_rate=RATE, samples=10 * RATE) as clip:
        assert clip.waveform is not None
        return clip.waveform


def jpeg(image: Pixels) -> bytes:
    return still_bytes(image, "mjpeg")


def pieces(
    sound: Samples,
) -> Iterator[tuple[float, Samples]]:
    for place in range(0, len(sound), RATE // 10):
        yield place / RATE, sound[place : place + RATE // 10]


def last(live: LiveWindow) -> Moment:
    moment = live.answer()
    assert moment is not None
    return moment


def test_answers_as_for_the_clip(
    recogniser: mien.Recogniser, frames: Frames, sound: Samples
) -> None:
    live = recogniser.live(rate=RATE)
    for time_s, samples in pieces(sound):
        live.hear(samples, time_s=time_s)
    for time_s, image in frames:
        live.see(image, time_s=time_s)
    moment, clip = last(live), recogniser.predict(GOLDEN_CLIP)
    answer = moment.told.answer
    assert answer.audio.probabilities == pytest.approx(clip.audio.probabilities, abs=0.02)
    # JPEG is not what the clip holds, and the frames are others.
    assert answer.video.probabilities == pytest.approx(clip.video.probabilities, abs=0.08)
    assert moment.told.faces_found == 1
    assert (moment.frame_s, moment.size) == (frames[-1][0], (480, 480))
    assert [each.person for each in moment.in_view] == [1]
    assert 0.5 < (moment.speech or 0) <= 1


def test_each_frame_is_looked_at_once(
    recogniser: mien.Recogniser, frames: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = recogniser.live(rate=RATE)
    embedded: list[int] = []
    original = live._answering.embed

    def counting(crops: Pixels) -> Samples:
        embedded.append(len(crops))
        return original(crops)

    monkeypatch.setattr(live._answering, "embed", counting)
    for time_s, image in frames[:5]:
        live.see(image, time_s=time_s)
        last(live)
    assert embedded == [1] * 5


def test_who_has_gone_is_forgotten_and_a_branch_says_why_it_is_out(
    recogniser: mien.Recogniser, frames: Frames
) -> None:
    live = recogniser.live(rate=RATE)
    live.see(frames[0][1], time_s=0.0)
    assert len(last(live).in_view) == 1
    empty = jpeg(np.full((240, 320, 3), 128, np.uint8))
    for step in range(1, 60):
        live.see(empty, time_s=step / 10)
    moment = last(live)
    assert moment.in_view == ()
    assert moment.told.person is None
    assert moment.told.answer.video.reason == "a face in 0 of 22 frames"
    assert moment.told.answer.audio.reason == "no sound came"
    assert moment.told.answer.emotion is None


def test_sound_alone_and_silence(recogniser: mien.Recogniser, sound: Samples) -> None:
    live = recogniser.live(rate=RATE)
    assert live.answer() is None
    for time_s, samples in pieces(sound):
        live.hear(samples, time_s=time_s)
    moment = last(live)
    assert moment.told.answer.audio.used
    assert moment.told.answer.video.reason == "no picture at that time"
    for step in range(50):
        live.hear(np.zeros(RATE // 10, np.float32), time_s=4 + step / 10)
    assert "silent" in (last(live).told.answer.audio.reason or "")


def test_nothing_is_kept_beyond_the_window(recogniser: mien.Recogniser) -> None:
    live = recogniser.live(rate=8_000)
    plain = jpeg(np.zeros((48, 64, 3), np.uint8))
    for step in range(300):
        live.see(plain, time_s=step / 10)
        live.hear(np.zeros(800, np.float32), time_s=step / 10)
    assert len(live._looks) <= 10 * (WINDOW_S + 1) + 2
    assert len(live._sound._pieces) <= 10 * WINDOW_S + 2


@pytest.mark.parametrize("rate", [0, -1, 7_999, 192_001])
def test_what_no_microphone_has(recogniser: mien.Recogniser, rate: int) -> None:
    with pytest.raises(InvalidArgument, match="rate"):
        recogniser.live(rate=rate)


def test_frames_that_are_late_are_refused(recogniser: mien.Recogniser, frames: Frames) -> None:
    live = recogniser.live(rate=RATE)
    live.see(frames[0][1], time_s=1.0)
    for late in (1.0, 0.5):
        with pytest.raises(InvalidArgument, match="later"):
            live.see(frames[1][1], time_s=late)


def tone(live: LiveWindow, times: list[float]) -> Samples:
    """Send a tone in pieces of a tenth of a second that say these times, and hear it again."""
    wave = sine(200, seconds=len(times) / 10, rate=8_000)[0]
    for number, time_s in enumerate(times):
        live.hear(wave[800 * number : 800 * (number + 1)], time_s=time_s)
    start, end = live._sound.start, live._sound.end
    assert start is not None
    assert end is not None
    return live._sound.between(start, end)


def test_a_clock_that_trembles_tears_no_sound(recogniser: mien.Recogniser) -> None:
    trembling = [number / 10 + (0.03 if number % 2 else -0.02) for number in range(10)]
    heard = tone(recogniser.live(rate=8_000), trembling)
    np.testing.assert_array_equal(heard, sine(200, seconds=1, rate=8_000)[0])


def test_a_gap_is_silence_and_a_clock_set_back_starts_anew(recogniser: mien.Recogniser) -> None:
    heard = tone(recogniser.live(rate=8_000), [0.0, 0.1, 1.0])
    assert len(heard) == pytest.approx(8_800, abs=1)
    assert not heard[1_700:7_900].any()
    assert len(tone(recogniser.live(rate=8_000), [5.0, 5.1, 1.0])) == 800


def test_jpeg_is_upright_rgb_of_a_bounded_size() -> None:
    assert corners_of(jpeg_pixels(jpeg(corners((64, 48))))) == "rgbw"
    side = int(MAX_JPEG_PIXELS**0.5) + 16
    large = jpeg(np.zeros((side, side, 3), np.uint8))
    for bad in (b"", b"no", still_bytes(corners()), large, jpeg(corners())[:30]):
        with pytest.raises(InvalidArgument, match="JPEG"):
            jpeg_pixels(bad)
