"""``.mp4``: the video again, with a box, a label and eight bars for each person, and its sound.

The windows are gathered first; then the clip is decoded a second time, drawn into and encoded.
Every frame stays, at its own time.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import Flags
from av.video.reformatter import ColorRange, Colorspace

from mien.detectors import Pixels
from mien.errors import UnreadableClip
from mien.media.reader import reading, unreadable
from mien.media.times import Track
from mien.stretches import Stretch, Stretches
from mien.timeline import REST
from mien.timeline_files.box_paths import new_paths
from mien.timeline_files.drawing import Shown, Sides, draw
from mien.timeline_files.facts import TimelineFacts
from mien.timeline_files.soundtrack import Soundtrack
from mien.timeline_files.source import Picture, open_sound, pictures, surveyed
from mien.timeline_files.writer import Part
from mien.windows import Branch, Window

QUALITY = {"preset": "veryfast", "crf": "21", "bf": "0"}
"""Of x264: hardly to be told from the source, and made faster than the windows were. Without frames
that are decoded before they are shown: with them and a variable rate, FFmpeg's mp4 claims to be
shorter than it is, and players leave out the end."""
_THREADS = 4
_BT709 = 1
"""FFmpeg's number of the colours of high-definition video, for space, primaries and transfer."""
_LIMITED_RANGE = 1
_NO_BRANCH = Branch(False, None, None)


class Mp4File:
    """Gathers windows, and draws the video when it is closed.

    Args:
        path: the file; it is put there when it has been drawn. A drawing that is stopped leaves the
            beginning.
        facts: of the clip, which is read again.
        told: is called with the share that is drawn, 0 to 1.

    Raises:
        InvalidArgument: the file cannot be written.
    """

    def __init__(
        self, path: Path, facts: TimelineFacts, *, told: Callable[[float], None] = lambda _: None
    ) -> None:
        self.begun = False
        self._part = Part(path)
        self._facts, self._told = facts, told
        self._stretches = Stretches()
        self._shown: list[Stretch] = []
        self._paths = new_paths()
        self._end = 0.0

    def write(self, window: Window) -> None:
        """Take a row."""
        self.begun = True
        self._end = max(self._end, window.end_s)
        if window.person is not None:
            self._paths[window.person].add(window)
        self._shown.extend(map(_bare, self._stretches.add(window)))

    def close(self) -> None:
        """Draw the video as far as there are windows, and put the file into its place.

        Raises:
            UnreadableClip: the clip can no longer be read.
        """
        self._shown.extend(map(_bare, self._stretches.rest()))
        with self._part, reading(self._facts.clip) as reader:
            found = surveyed(reader)
            if found.track is None:
                raise _nothing_to_draw(self._facts)
            try:
                self._draw(found.track, found.origin)
            except KeyboardInterrupt:
                self._part.put()
                raise

    def discard(self) -> None:
        """Leave what was there."""
        self._part.drop()

    def _draw(self, track: Track, origin: Fraction) -> None:
        # So much of a whole clip may be left without a window; what is more was never reached.
        last = Fraction(self._end) + REST
        with ExitStack() as stack:
            readers = [stack.enter_context(reading(self._facts.clip)) for _ in range(2)]
            sound = stack.enter_context(open_sound(readers[1]))
            film = _Film(self._part.path, track, origin)
            stack.callback(film.close)
            sides = Sides()
            for picture in pictures(readers[0], track):
                time = picture.pts * track.base - origin
                if time > last:
                    break
                film.begin(picture, sound)
                draw(picture.image, list(self._people_at(float(time))), sides=sides)
                film.add(picture)
                self._told(float(time) / max(self._end, 1e-9))
            if not film.begun:
                raise _nothing_to_draw(self._facts)
            film.play_rest(last)

    def _people_at(self, time_s: float) -> Iterator[Shown]:
        place = bisect_right(self._shown, time_s, key=lambda stretch: stretch.start_s) - 1
        if place < 0 or time_s > self._shown[place].end_s:
            return
        for window in self._shown[place].windows:
            person = window.person
            box = None if person is None else self._paths[person].at(time_s)
            if person is None or box is not None:
                name = "voice" if person is None else f"person {person}"
                yield Shown(name, box, window.probabilities, window.emotion)


class _Film:
    """The file that is being drawn."""

    def __init__(self, path: Path, track: Track, origin: Fraction) -> None:
        self._file = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        self._track, self._origin = track, origin
        self._video: Any = None
        self._sound: Soundtrack | None = None

    @property
    def begun(self) -> bool:
        """Whether there was a frame."""
        return self._video is not None

    def begin(self, picture: Picture, sound: Any) -> None:
        """Add the streams, once the size of the upright picture is known."""
        if self.begun:
            return
        span = (self._track.end - self._track.times[0]) * self._track.base
        rate = Fraction(len(self._track.times)) / max(span, Fraction(1, 1000))
        self._video = self._file.add_stream("libx264", rate=rate.limit_denominator(1001))
        height, width = picture.image.shape[:2]
        video = self._video
        video.width, video.height, video.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        video.options = QUALITY
        context = video.codec_context
        context.time_base = video.time_base = self._track.base
        context.thread_count = min(_THREADS, os.cpu_count() or 1)
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED_RANGE
        # Else the last frame would be shown as long as frames are on average.
        context.flags |= Flags.frame_duration
        if sound is not None:
            self._sound = Soundtrack(self._file, *sound, origin=self._origin)

    def add(self, picture: Picture) -> None:
        """Encode a frame, and the sound until then."""
        frame = av.VideoFrame.from_ndarray(_even(picture.image), format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        frame.time_base = self._track.base
        frame.pts = picture.pts - round(self._origin / self._track.base)
        frame.duration = self._duration(picture.pts)
        self._file.mux(self._video.encode(frame))
        if self._sound:
            self._sound.play_to(frame.pts * self._track.base)

    def play_rest(self, last: Fraction) -> None:
        """Put in the sound after the last frame."""
        if self._sound:
            self._sound.play_to(last)

    def close(self) -> None:
        """Make the file whole, wherever the drawing has come to."""
        if self.begun:
            self._file.mux(self._video.encode(None))
        if self._sound:
            self._sound.finish()
        self._file.close()

    def _duration(self, pts: int) -> int:
        place = bisect_right(self._track.times, pts)
        times = self._track.times
        return (times[place] if place < len(times) else self._track.end) - pts


def _nothing_to_draw(facts: TimelineFacts) -> UnreadableClip:
    return unreadable(facts.title, "no picture could be decoded to draw into", "leave the .mp4 out")


def _bare(stretch: Stretch) -> Stretch:
    """Leave out what is not drawn, or kept elsewhere: a long clip has many windows."""
    bare = (
        replace(window, audio=_NO_BRANCH, video=_NO_BRANCH, sightings=(), checkpoint=None)
        for window in stretch.windows
    )
    return replace(stretch, windows=tuple(bare))


def _even(image: Pixels) -> Pixels:
    """Repeat the last row and column where their number is odd, as colours are halved."""
    height, width = image.shape[:2]
    if not (height % 2 or width % 2):
        return image
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
