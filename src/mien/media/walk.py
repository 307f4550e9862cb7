"""Wanted presentation times → decoded pictures, with as little decoding as is safe."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Container, Iterator
from typing import Any, NamedTuple

import av

from mien.media.container import decoded_pictures, open_container, prepare_decoder
from mien.media.reader import Reader
from mien.media.times import Track

_SEEK_WORTH = 8
"""Frames that a jump must save: it empties the decoder, which costs about as much as a few."""


class Shown(NamedTuple):
    """A decoded picture and when it is shown, in units of its track's time base."""

    pts: int
    picture: av.VideoFrame


class Walk:
    """Goes forward through a video stream, leaping to key frames where that saves decoding."""

    def __init__(self, reader: Reader, track: Track, wanted: Container[int]) -> None:
        self._reader = reader
        self._track = track
        self._wanted = wanted
        self._trusted_keys = track.keys
        self._early = 0
        self._shown: Shown | None = None
        self._ahead: Shown | None = None
        self._stream: Any = None
        self._pictures: Iterator[Shown] = iter(())
        self._start()

    def close(self) -> None:
        """End the decoding, and let go of its pictures, which are large."""
        self._pictures = iter(())
        self._shown = self._ahead = None
        self._container.close()

    def at(self, pts: int) -> Shown | None:
        """Give the frame shown at ``pts``, else the nearest before it that decodes, else after."""
        if self._shown is not None and pts < self._shown.pts:
            self.close()
            self._start()
        self._leap(pts)
        while self._shown is None or self._shown.pts < pts:
            self._ahead = self._ahead or next(self._pictures, None)
            if self._ahead is None or self._ahead.pts > pts:
                break
            self._shown, self._ahead = self._ahead, None
        return self._shown or self._ahead

    def _start(self) -> None:
        self._container = open_container(self._reader)
        self._stream = self._container.streams[self._track.stream]
        prepare_decoder(self._stream.codec_context)
        self._shown = self._ahead = None
        self._decode_on()

    def _decode_on(self, *landmarks: int) -> None:
        def wanted(pts: int) -> bool:
            return pts in landmarks or pts in self._wanted

        # Every frame must come out where frames are counted.
        each = None if self._track.counted else wanted
        pictures = decoded_pictures(self._container, self._stream, each)
        self._pictures = timed(pictures, self._track)

    def _leap(self, pts: int) -> None:
        place = bisect_right(self._trusted_keys, pts)
        if not place:
            return
        key, times = self._trusted_keys[place - 1], self._track.times
        here = bisect_right(times, self._shown.pts) if self._shown else 0
        if bisect_right(times, key) - here <= _SEEK_WORTH:
            return
        # Some containers are searched by the time of showing, others by that of decoding.
        for early in (self._early, self._track.lead):
            if self._land(key, early):
                self._early = early
                return
        # Its index or its key frames mislead: only decoding from the start is sure.
        self._trusted_keys = array("q")
        self.close()
        self._start()

    def _land(self, key: int, early: int) -> bool:
        """Jump ahead of a key frame and decode up to it; say whether that led to it."""
        self._shown = self._ahead = None
        try:
            self._container.seek(key - early, stream=self._stream)
        except (av.FFmpegError, OverflowError):
            return False
        self._decode_on(key)
        # Frames before the key frame may refer to others that were not decoded.
        landed = next((shown for shown in self._pictures if shown.pts >= key), None)
        self._shown = landed
        return landed is not None and landed.pts == key and bool(landed.picture.key_frame)


def timed(pictures: Iterator[av.VideoFrame], track: Track) -> Iterator[Shown]:
    """Tell when each picture is shown; those that tell no time themselves are counted."""
    if track.counted:
        yield from map(Shown, track.times, pictures)
        return
    for picture in pictures:
        if picture.pts is not None:
            yield Shown(picture.pts, picture)
