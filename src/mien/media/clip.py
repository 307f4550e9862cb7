"""A clip, opened: the first pass over its packets, and the promise of its frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial

from mien.errors import InvalidArgument
from mien.media.pictures import Frame, Pictures
from mien.media.reader import ClipSource, Reader, reading, unreadable
from mien.media.sound import Samples, Sound
from mien.media.survey import survey


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """An open clip: what was found in it. :func:`open_clip` makes it."""

    name: str
    duration_s: float
    """Seconds from the earliest start of its streams to the latest end; 0 for a picture."""
    video_reason: str | None
    """Why there is no picture; ``None`` when there is."""
    audio_reason: str | None
    """Why there is no sound; ``None`` when there is."""
    waveform: Samples | None
    """Mean of the channels at the rate that was asked for, full scale 1; shape = (samples,)."""
    waveform_start_s: float
    """Seconds from the clip's start to the first sample."""
    _frames: Callable[[], Iterator[Frame]] = field(repr=False)

    def frames(self) -> Iterator[Frame]:
        """Decode the frame shown at the middle of each slice; only while the clip is open.

        A frame that serves several slices is the same object each time. Where decoding fails, the
        nearest earlier frame stands in.

        Yields:
            As many frames as slices, or none when :attr:`video_reason` says why.

        Raises:
            InvalidArgument: the clip is closed.
            UnreadableClip: the file can no longer be read.
        """
        return self._frames()


@contextmanager
def open_clip(source: ClipSource, *, frames: int, sample_rate: int, samples: int) -> Iterator[Clip]:
    """Open a clip: read its times and its sound, and make ready to decode its pictures.

    Args:
        source: a path, the bytes of a file, or a binary file, which is read from its start and
            left open. It may be used by one thread at a time.
        frames: equal slices of the video; the frame shown at the middle of each is decoded.
        sample_rate: Hz of the waveform.
        samples: most samples that are decoded, from the start of the sound.

    Yields:
        The clip; its frames can be decoded until the context ends.

    Raises:
        InvalidArgument: an argument has the wrong type or is not positive.
        UnreadableClip: the source is missing, is no media, or holds neither picture nor sound.

    >>> import io, wave
    >>> file = io.BytesIO()
    >>> with wave.open(file, "wb") as sound:
    ...     sound.setparams((1, 2, 8_000, 0, "NONE", ""))
    ...     sound.writeframes(bytes([0, 64]) * 4_000)
    >>> with open_clip(file, frames=22, sample_rate=8_000, samples=3) as clip:
    ...     clip.duration_s, clip.video_reason, clip.waveform
    (0.5, 'no video stream', array([0.5, 0.5, 0.5], dtype=float32))
    """
    for argument, value in (("frames", frames), ("sample_rate", sample_rate), ("samples", samples)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InvalidArgument(f"{argument} must be a positive whole number, not {value!r}")
    with ExitStack() as stack:
        reader = stack.enter_context(reading(source))
        yield _clip(reader, stack, slices=frames, sound=Sound(sample_rate, samples))


def _clip(reader: Reader, stack: ExitStack, *, slices: int, sound: Sound) -> Clip:
    found = survey(reader, sound)
    video_reason, audio_reason = found.video_reason, found.audio_reason
    pictures = None
    if found.track:
        pictures = Pictures(reader, found.track, slices=slices, aspect=found.aspect)
        stack.callback(pictures.close)
    if not (pictures and pictures.decodable()):
        pictures, video_reason = None, video_reason or "no picture could be decoded"
    if video_reason and audio_reason:
        what = f"expected picture or sound, got neither ({video_reason}; {audio_reason})"
        raise unreadable(reader.title, what)
    spans = [span for span in (pictures and pictures.span, sound.span) if span]
    origin = min((start for start, _ in spans), default=Fraction(0))
    return Clip(
        name=reader.title,
        duration_s=float(max((end for _, end in spans), default=origin) - origin),
        video_reason=video_reason,
        audio_reason=audio_reason,
        waveform=None if audio_reason else sound.waveform,
        waveform_start_s=0.0 if sound.start is None else float(sound.start - origin),
        _frames=partial(pictures.frames, origin) if pictures else partial(iter, ()),
    )
