"""The windows of a long clip: where they lie, that each is answered as its piece would be."""

import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mien
from media_samples import clip_bytes, sine, sound_bytes, still_bytes, write_clip
from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument, UnreadableClip
from mien.recognise import Recogniser
from mien.timeline import REST, TimelineOptions, spans_of
from mien.verify import GOLDEN_CLIP
from mien.windows import Checkpoint, Window
from timeline import repeat

DATA = os.environ.get("MIEN_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="MIEN_DATA names no folder of data")


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    return mien.load()


def clips(pattern: str) -> list[Path]:
    return sorted(Path(str(DATA)).glob(f"clips/{pattern}"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"window_s": 0.0}, "window_s must be 0.05 to 600 seconds, not 0"),
        ({"window_s": float("nan")}, "window_s must be 0.05 to 600 seconds, not nan"),
        ({"window_s": 0.04, "hop_s": 0.04}, "window_s must be 0.05 to 600 seconds, not 0.04"),
        ({"window_s": 601.0}, "window_s must be 0.05 to 600 seconds, not 601"),
        ({"window_s": float("inf")}, "window_s must be 0.05 to 600 seconds, not inf"),
        ({"hop_s": -1.0}, "hop_s must be 0.05 to 600 seconds, not -1"),
        ({"hop_s": 0.049}, "hop_s must be 0.05 to 600 seconds, not 0.049"),
        ({"window_s": 600.0, "hop_s": 600.1}, "hop_s must be 0.05 to 600 seconds, not 600.1"),
        ({"hop_s": 5.0}, "hop_s must be at most window_s"),
        ({"people": "some"}, "largest or all"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidArgument, match=told):
        TimelineOptions(**options)


def test_what_is_no_clip_is_refused_at_the_call(recogniser: Recogniser) -> None:
    with pytest.raises(InvalidArgument, match="source must be"):
        recogniser.timeline(3)  # type: ignore[arg-type]


def test_a_clip_that_is_not_there_is_told(recogniser: Recogniser, tmp_path: Path) -> None:
    with pytest.raises(UnreadableClip, match="no such file"):
        next(recogniser.timeline(tmp_path / "none.mp4"))


@given(
    st.fractions(0, 60, max_denominator=1000),
    st.sampled_from([0.2, 0.5, 1.0, 2.5, 4.0, 7.3]),
    st.floats(0.25, 1),
)
@settings(deadline=None)
def test_windows_cover_the_clip(duration: Fraction, window: float, share: float) -> None:
    hop = round(window * share, 3)
    spans = list(spans_of(duration, options=TimelineOptions(window_s=window, hop_s=hop)))
    assert spans[0].start == 0
    assert duration - REST <= spans[-1].end <= duration
    lengths = {span.end - span.start for span in spans}
    assert lengths == {min(duration, Fraction(str(window)))}
    starts = [span.start for span in spans]
    steps = [after - before for before, after in itertools.pairwise(starts)]
    assert all(0 < step <= Fraction(str(hop)) for step in steps)
    assert all(step == Fraction(str(hop)) for step in steps[:-1])


def probabilities(window: Any) -> np.ndarray:
    """Give all three answers in one row; zeros where there is none."""
    answers = (window.probabilities, window.audio.probabilities, window.video.probabilities)
    return np.array([[(answer or {}).get(name, 0.0) for name in EMOTIONS] for answer in answers])


def difference(window: Window, prediction: mien.Prediction) -> float:
    return float(np.abs(probabilities(window) - probabilities(prediction)).max())


@pytest.mark.parametrize("people", ["largest", "all"])
def test_a_short_clip_is_one_window_answered_as_by_predict(
    recogniser: Recogniser, people: str
) -> None:
    (window,) = recogniser.timeline(GOLDEN_CLIP, options=TimelineOptions(people=people))
    assert difference(window, recogniser.predict(GOLDEN_CLIP)) < 1e-6
    assert (window.start_s, window.end_s, window.person, window.reason) == (0.0, 3.8, 1, None)
    assert window.faces_found == 1.0
    assert len(window.sightings) == 22


def cut(clip: Path, start: float, end: float, target: Path) -> Path:
    """Cut a piece out of a clip, to the frame and to the sample, and lose nothing of it."""
    with av.open(clip) as opened, av.open(target, "w", format="matroska") as piece:
        source: Any = opened
        video: Any = piece.add_stream("ffv1", rate=source.streams.video[0].average_rate)
        video.pix_fmt = source.streams.video[0].pix_fmt
        video.width, video.height = (
            source.streams.video[0].width,
            source.streams.video[0].height,
        )
        audio: Any = piece.add_stream("pcm_f32le", rate=source.streams.audio[0].rate)
        audio.layout = source.streams.audio[0].layout
        rate, begun, sounds = audio.rate, None, []
        for frame in source.decode(video=0, audio=0):
            if isinstance(frame, av.AudioFrame):
                begun = frame.time if begun is None else begun
                converter = av.AudioResampler("flt", frame.layout, frame.sample_rate)
                sounds += [part.to_ndarray()[0] for part in converter.resample(frame)]
            elif start <= frame.time < end:
                frame.pts -= round(start / frame.time_base)
                frame.dts = None
                frame.pict_type = av.video.frame.PictureType.NONE
                piece.mux(video.encode(frame))
        channels = audio.layout.nb_channels
        first, last = (channels * round((time - (begun or 0.0)) * rate) for time in (start, end))
        kept = np.concatenate(sounds)[max(0, first) : last]
        heard = av.AudioFrame.from_ndarray(kept[None], format="flt", layout=audio.layout.name)
        heard.sample_rate, heard.pts = rate, 0
        piece.mux(audio.encode(heard))
        piece.mux(video.encode(None))
        piece.mux(audio.encode(None))
    return target


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["hdtf_WDA_KatieHill_000.mp4", "2d3mf_video04.mp4"])
def test_windows_are_answered_as_pieces_cut_out(
    recogniser: Recogniser, name: str, tmp_path: Path
) -> None:
    """The rest of the difference: faces that are looked for near where they were before the piece
    began, and sound that a resampler hears from its beginning on."""
    (clip,) = clips(name)
    windows = list(recogniser.timeline(clip))[:5]
    off = []
    for number, window in enumerate(windows):
        piece = cut(clip, window.start_s, window.end_s, tmp_path / f"{number}.mkv")
        prediction = recogniser.predict(piece)
        off.append(difference(window, prediction))
    assert max(off) < 0.02


def test_sound_alone_has_windows_without_a_person(recogniser: Recogniser) -> None:
    sound = sound_bytes(sine(220, seconds=5.5, rate=16_000), rate=16_000)
    windows = list(recogniser.timeline(sound))
    assert [window.start_s for window in windows] == [0.0, 1.0, 1.5]
    for window in windows:
        assert window.person is None
        assert window.faces_found is None
        assert window.reason == "face: no video stream"
        assert window.audio.used
        assert window.speech == 1.0


def test_pictures_without_a_face_or_sound_have_no_answer(
    recogniser: Recogniser, tmp_path: Path
) -> None:
    clip = tmp_path / "clip.mp4"
    write_clip(clip, frames=60, fps=10, size=(160, 120))
    windows = list(recogniser.timeline(clip))
    assert len(windows) == 3
    for window in windows:
        assert (window.emotion, window.person, window.speech) == (None, None, None)
        assert window.faces_found == 0.0
        assert window.reason == "voice: no audio stream; face: a face in 0 of 22 frames"


def test_a_branch_is_out_only_where_its_stream_is(recogniser: Recogniser, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    tone = sine(220, seconds=3, rate=16_000)
    write_clip(clip, frames=90, fps=10, size=(160, 120), waveform=tone, sound_from=6.5)
    windows = list(recogniser.timeline(clip, options=TimelineOptions(window_s=2, hop_s=2)))
    heard = [window.audio.used for window in windows]
    assert heard == [False, False, False, True, True]
    assert windows[0].audio.reason == "no sound at that time"
    assert [window.speech for window in windows[:3]] == [0.0, 0.0, 0.0]


def test_speech_is_the_share_of_the_window_not_of_what_is_heard_of_it(
    recogniser: Recogniser,
) -> None:
    tone = sine(220, seconds=1, rate=16_000)
    clip = clip_bytes(
        frames=80,
        waveform=tone,
        sound_from=2.5,
        audio_codec="pcm_s16le",
        file_format="matroska",
    )
    windows = list(recogniser.timeline(clip))
    # The sound lasts from 2.5 to 3.5 s; the window that begins at 3 holds half of it.
    assert [window.speech for window in windows] == [0.25, 0.25, 0.25, 0.125, 0.0]


def test_a_still_picture_is_answered_as_by_predict(recogniser: Recogniser) -> None:
    with av.open(GOLDEN_CLIP, "r") as container:
        image = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(np.uint8)
    still = still_bytes(image)
    (window,) = recogniser.timeline(still)
    assert (window.start_s, window.end_s, window.person, window.faces_found) == (0, 0, 1, 1.0)
    assert window.video.used
    assert difference(window, recogniser.predict(still)) < 1e-6


def test_a_file_that_breaks_off_gives_its_windows_and_then_an_error(
    recogniser: Recogniser, tmp_path: Path
) -> None:
    clip = tmp_path / "clip.mp4"
    tone = sine(220, seconds=10, rate=16_000)
    first = {"movflags": "faststart"}
    write_clip(clip, frames=100, fps=10, size=(320, 240), waveform=tone, file_options=first)
    whole = clip.read_bytes()
    done = []
    with pytest.raises(UnreadableClip, match="breaks off"):
        for window in recogniser.timeline(whole[: len(whole) * 6 // 10]):
            done.append(window)  # noqa: PERF402 - what came before the error counts
    assert 1 <= len(done) < 7
    assert len(list(recogniser.timeline(whole))) == 7


def saved(rows: list[Window]) -> list[Checkpoint]:
    """Give the checkpoints, as they come back from a file."""
    found = [row.checkpoint.to_dict() for row in rows if row.checkpoint]
    return [Checkpoint.from_dict(json.loads(json.dumps(each))) for each in found]


@pytest.mark.parametrize(("window_s", "hop_s"), [(2.0, 1.0), (1.0, 0.05)])
def test_a_run_that_goes_on_says_the_same_and_looks_at_nothing_before(
    recogniser: Recogniser,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    window_s: float,
    hop_s: float,
) -> None:
    monkeypatch.setattr("mien.timeline.CHECKPOINT_S", 3)
    repeat(GOLDEN_CLIP, tmp_path / "clip.mp4", seconds=8)
    options = TimelineOptions(window_s=window_s, hop_s=hop_s)
    ask = partial(recogniser.timeline, tmp_path / "clip.mp4", options=options)
    rows = list(ask())
    checkpoint = saved(rows)[0]
    # How faces are gathered to be embedded together is only the same after a window's length.
    assert (checkpoint.start_s, checkpoint.same_from_s) == (3.0, 3.0 + window_s)
    later = list(ask(start=checkpoint))
    assert later[0].start_s == checkpoint.start_s
    assert min(seen.time_s for seen in later[0].sightings) >= checkpoint.start_s

    def same(table: list[Window]) -> list[Window]:
        kept = [row for row in table if row.start_s >= checkpoint.same_from_s]
        return [replace(row, checkpoint=None) for row in kept]

    assert same(later) == same(rows)
    assert len(same(rows)) > 1


def test_whoever_stops_listening_leaves_no_thread_and_no_open_file(
    recogniser: Recogniser, tmp_path: Path
) -> None:
    clip = tmp_path / "clip.mp4"
    repeat(GOLDEN_CLIP, clip, seconds=8)
    windows = cast("Generator[Window]", recogniser.timeline(clip))
    threads = threading.active_count()
    assert next(windows).start_s == 0.0
    assert threading.active_count() > threads
    windows.close()
    assert threading.active_count() == threads
    links = [place for place in Path("/proc/self/fd").iterdir() if place.is_symlink()]
    assert clip not in [link.readlink() for link in links]


@needs_data
@pytest.mark.slow
def test_people_and_voices_are_the_same_when_a_run_goes_on(
    recogniser: Recogniser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mien.timeline.CHECKPOINT_S", 4)
    for module in ("timeline", "speaking"):
        monkeypatch.setattr(f"mien.{module}.MEMORY_S", 3.0)
    left, right = clips("hdtf_*.mp4")
    side_by_side(left, right, tmp_path / "both.mp4")
    repeat(tmp_path / "both.mp4", tmp_path / "long.mp4", seconds=16)
    ask = partial(
        recogniser.timeline,
        tmp_path / "long.mp4",
        options=TimelineOptions(hop_s=2, people="all"),
    )
    rows = list(ask())
    checkpoint = saved(rows)[0]
    assert (checkpoint.start_s, checkpoint.same_from_s) == (4.0, 11.5)
    later = [row.row() for row in ask(start=checkpoint) if row.start_s >= 11.5]
    assert later == [row.row() for row in rows if row.start_s >= 11.5]
    assert [row["person"] for row in later] == [1, 2]
    assert all("voice" in str(row["reason"]) for row in later)


def test_what_is_no_checkpoint_is_refused(recogniser: Recogniser) -> None:
    wrong = Checkpoint(start_s=0.0, same_from_s=0.0, known={"people": [{"box": "here"}]})
    with pytest.raises(InvalidArgument, match="start must be the checkpoint of a window"):
        recogniser.timeline(GOLDEN_CLIP, start=wrong)


@needs_data
@pytest.mark.slow
def test_two_people_keep_their_numbers_and_nobody_has_the_other_s_voice(
    recogniser: Recogniser, tmp_path: Path
) -> None:
    left, right = clips("hdtf_*.mp4")
    both = tmp_path / "both.mp4"
    side_by_side(left, right, both)
    rows = list(recogniser.timeline(both, options=TimelineOptions(people="all")))
    places: dict[int, set[str]] = {}
    for row in rows:
        assert row.person is not None
        sides = {"left" if seen.box.x < 512 else "right" for seen in row.sightings}
        places.setdefault(row.person, set()).update(sides)
    assert sorted(places) == [1, 2]
    assert sorted(map(tuple, places.values())) == [("left",), ("right",)]
    assert len(rows) == 10
    speakers = {row.person for row in rows if row.audio.used}
    on_the_left = next(person for person, sides in places.items() if sides == {"left"})
    assert speakers == {on_the_left}
    (told,) = {row.reason for row in rows if row.person != on_the_left}
    assert told == f"voice: the voice is person {on_the_left}'s"


def side_by_side(left: Path, right: Path, target: Path) -> None:
    """Join two clips of 25 frames a second side by side, with the sound of the first."""
    with av.open(left) as one, av.open(right) as two, av.open(target, "w") as both:
        video: Any = both.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 1024, 512, "yuv420p"
        audio = both.add_stream_from_template(one.streams.audio[0])
        for pair in zip(one.decode(video=0), two.decode(video=0), strict=False):
            picture: Any = np.hstack([frame.to_ndarray(format="rgb24") for frame in pair])
            both.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        both.mux(video.encode(None))
        one.seek(0)
        for packet in one.demux(audio=0):
            if packet.dts is not None:
                packet.stream = audio
                both.mux(packet)


PEAK = """
import sys
from pathlib import Path
from time import process_time
import mien
from mien.timeline import TimelineOptions
recogniser = mien.load()
next(recogniser.timeline(sys.argv[2]))
start = process_time()
windows = recogniser.timeline(sys.argv[1], options=TimelineOptions(hop_s=float(sys.argv[3])))
next(windows)
first = process_time() - start
count = 1 + sum(1 for _ in windows)
# What getrusage tells is that of the process which started this one, where that was larger.
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(count, int(status["VmHWM"].split()[0]) // 1024, first)
"""


def measured(clip: Path, *, hop_s: float = 1.0) -> tuple[int, int, float]:
    """Count a clip's windows in a process of its own.

    Returns:
        The count, the most memory in MiB, seconds of work before the first window.
    """
    run = [sys.executable, "-c", PEAK, str(clip), str(GOLDEN_CLIP), str(hop_s)]
    done = subprocess.run(run, capture_output=True, check=True, text=True)
    windows, peak, first = done.stdout.split()
    return int(windows), int(peak), float(first)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_clip(tmp_path: Path) -> None:
    peaks = {}
    for seconds in (30, 300):
        clip = tmp_path / f"{seconds}.mp4"
        tone = sine(220, seconds=seconds, rate=16_000)
        write_clip(clip, frames=10 * seconds, fps=10, size=(320, 240), waveform=tone)
        windows, peaks[seconds], _ = measured(clip)
        assert windows == seconds - 3
    # The frames alone of what is longer would be 600 MB.
    assert peaks[300] < peaks[30] + 100
    assert peaks[300] < 700


@pytest.mark.slow
def test_half_a_day_of_silent_black_is_answered_from_the_first_second_on(tmp_path: Path) -> None:
    black = np.zeros((48, 64, 3), np.uint8)
    hours = 12 * 3600
    times = range(0, hours, 8)
    write_clip(tmp_path / "black.mp4", times=list(times), image_of_frame=lambda _: black)
    windows, peak, first = measured(tmp_path / "black.mp4", hop_s=4.0)
    assert windows == hours // 4
    assert first < 1
    assert peak < 400
