"""What is seen in the windows of a clip: each wanted frame is looked at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mien.acquaintance import Acquaintance
from mien.answering import Answering, Floats
from mien.media import Frame
from mien.media.plan import Plan
from mien.media.stream import Span, Stream
from mien.people import Follower, Seen


@dataclass(frozen=True, eq=False)
class Look:
    """What was seen in one frame; the frame itself is not kept."""

    time: float
    faces: dict[int, tuple[Seen, Floats]]
    """By person: the face, and its embedding."""
    before: Acquaintance
    """Who was known before."""


@dataclass(frozen=True, eq=False)
class View:
    """What is seen in one window."""

    looks: Sequence[Look]
    """One a slice; empty where there is no picture."""
    reason: str | None
    """Why there is none."""

    def found(self, person: int) -> list[Look]:
        """Give the looks at which a person was found."""
        return [look for look in self.looks if person in look.faces]

    def people(self, *, fewest: int) -> list[int]:
        """Name who was found in so many looks; else who was found most often, if anybody was."""
        counts: dict[int, int] = {}
        for look in self.looks:
            for person in look.faces:
                counts[person] = counts.get(person, 0) + 1
        often = sorted(person for person, count in counts.items() if count >= fewest)
        return often or sorted(counts, key=lambda person: (-counts[person], person))[:1]

    def embeddings(self, person: int) -> Floats:
        """Give one embedding a slice: that of the nearest look in time that has the person."""
        found = self.found(person)
        nearest = (min(found, key=lambda other: abs(other.time - look.time)) for look in self.looks)
        return np.stack([look.faces[person][1] for look in nearest])


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
        self._frames: Iterator[tuple[int, Frame]] = iter(())
        if not self._reason:
            self._frames = stream.frames(self._plan)
        self._seen: dict[int, Look] = {}
        self._last: int | None = None

    def of(self, window: Span) -> View:
        """Give what is seen in a window; windows come in their order."""
        wanted = self._shown(window)
        if wanted is None:
            return View((), self._reason or "no picture at that time")
        self._forget(wanted[0])
        self._go_on(wanted[-1])
        # A frame that cannot be decoded is missing; the one before it stands in.
        looks = [self._seen.get(pts) for pts in wanted]
        known = next((look for look in looks if look), None)
        if known is None:
            return View((), "no picture could be decoded")
        filled = []
        for look in looks:
            known = look or known
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
        while self._last is None or self._last < until:
            pts, frame = next(self._frames, (None, None))
            if pts is None or frame is None:
                return
            self._last = pts
            self._seen[pts] = self._look(frame)

    def _look(self, frame: Frame) -> Look:
        before = self._follower.known
        faces = self._follower.look(frame)
        if not faces:
            return Look(frame.time, {}, before)
        embeddings = self._answering.embed(np.stack([face.crop for face in faces]))
        pairs = zip(faces, embeddings, strict=True)
        return Look(frame.time, {face.person: (face, row) for face, row in pairs}, before)
