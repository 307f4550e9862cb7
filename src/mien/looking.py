"""What is seen in the windows of a clip: each wanted frame is looked at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing

from mien.acquaintance import Acquaintance
from mien.ahead import ahead
from mien.answering import Answering
from mien.media import Frame
from mien.media.plan import Plan
from mien.media.stream import Span, Stream
from mien.people import Follower
from mien.senses import Look, View, look

READY_PIXELS = 2**24
"""Pixels of the frames that may wait to be looked at: 50 MB."""


class Looks:
    """Looks at each wanted frame once, and keeps what later windows still need.

    Args:
        stream: the clip.
        windows: all that want frames, in their order.
        since: the window that is looked at first; what earlier ones want of its frames is looked at
            too, as people are followed from frame to frame.
        answering: the bundle, which says how many frames of a window are looked at.
        follower: tells who is in them.
    """

    def __init__(
        self,
        stream: Stream,
        windows: Iterable[Span],
        *,
        since: Span,
        answering: Answering,
        follower: Follower,
    ) -> None:
        self._stream, self._answering, self._follower = stream, answering, follower
        self._reason = answering.lacks("video") or stream.video_reason
        first = self._shown(since)
        self._plan = Plan(
            filter(None, map(self._shown, windows)), since=first[0] if first else None
        )
        self._open = ExitStack()
        self._frames: Iterator[tuple[int, Frame]] = iter(())
        if not self._reason:
            frames = self._open.enter_context(closing(stream.frames(self._plan)))
            self._frames = self._open.enter_context(ahead(frames, ready=_ready(stream.pixels)))
        self._seen: dict[int, Look] = {}
        self._last: int | None = None

    def close(self) -> None:
        """End the decoding."""
        self._open.close()

    def of(self, window: Span) -> View:
        """Give what is seen in a window; windows come in their order."""
        wanted = self._shown(window)
        if wanted is None:
            return View((), self._reason or "no picture at that time")
        self._forget(wanted[0])
        self._go_on(wanted[-1])
        # A frame that cannot be decoded is missing; the one before it stands in.
        looks = [self._seen.get(pts) for pts in wanted]
        known = next((each for each in looks if each), None)
        if known is None:
            return View((), "no picture could be decoded")
        filled = []
        for each in looks:
            known = each or known
            filled.append(known)
        return View(filled, None)

    def known_before(self, window: Span) -> Acquaintance | None:
        """Tell who was known before the first frame of the window that was looked at last.

        Returns:
            ``None`` where that is not sure.
        """
        if self._reason:
            return self._follower.known
        wanted = self._shown(window)
        first = self._seen.get(wanted[0]) if wanted else None
        return first.before if first else None

    def _shown(self, window: Span) -> list[int] | None:
        inside = self._stream.picture and not self._reason and self._stream.picture.within(*window)
        slices = self._answering.bundle.config.faces.frames
        return self._stream.shown(inside, slices).tolist() if inside else None

    def _forget(self, before: int) -> None:
        for pts in [pts for pts in self._seen if pts < before]:
            del self._seen[pts]

    def _go_on(self, until: int) -> None:
        times: list[int] = []
        frames = self._until(until, times)
        looks = look(frames, follower=self._follower, answering=self._answering)
        self._seen.update(zip(times, looks, strict=True))

    def _until(self, until: int, times: list[int]) -> Iterator[Frame]:
        """Give the frames up to a time, and note the time of each."""
        while self._last is None or self._last < until:
            pts, frame = next(self._frames, (None, None))
            if pts is None or frame is None:
                return
            self._last = pts
            times.append(pts)
            yield frame


def _ready(pixels: int) -> int:
    """Say how many frames are decoded ahead: a window's are, while the one before is answered."""
    return min(max(READY_PIXELS // max(pixels, 1), 2), 11)
