"""``.vtt``: WebVTT captions, one a person for each stretch; players and editors show them.

Source: W3C, "WebVTT: The Web Video Text Tracks Format".
"""

from __future__ import annotations

from pathlib import Path

from mien.stretches import Stretch, Stretches
from mien.timeline_files.facts import TimelineFacts
from mien.timeline_files.writer import unwritable
from mien.windows import Window
from mien.wording import headline


class VttFile:
    """Writes captions as ``<v Person 1>happy 72 %, or else calm 11 %``.

    Windows that overlap become captions that follow each other (:mod:`mien.stretches`). A window
    without an answer has none. The file is whole at every moment.

    Args:
        path: the file.
        facts: stand in a note at its beginning.

    Raises:
        InvalidArgument: the file cannot be written.
    """

    def __init__(self, path: Path, facts: TimelineFacts) -> None:
        try:
            self._file = path.open("w", encoding="utf-8", newline="\n")
        except OSError as error:
            raise unwritable(path, error) from error
        self.begun = False
        self._stretches = Stretches()
        bundle = facts.bundle["name"]
        # An arrow would begin a caption.
        told = f"{facts.title}, read by mien with the bundle {bundle}".replace("-->", "->")
        self._file.write(f"WEBVTT\n\nNOTE {told}\n\n")
        self._file.flush()

    def write(self, window: Window) -> None:
        """Take a row; captions of the window before are written once the next window is known."""
        self.begun = True
        for stretch in self._stretches.add(window):
            self._write(stretch)

    def close(self) -> None:
        """Write the last captions."""
        for stretch in self._stretches.rest():
            self._write(stretch)
        self._file.close()

    def discard(self) -> None:
        """Leave captions of nothing."""
        self.close()

    def _write(self, stretch: Stretch) -> None:
        start, end = _clock(stretch.start_s), _clock(stretch.end_s)
        texts = [caption for window in stretch.windows if (caption := _caption(window))]
        if start == end:
            return
        for text in texts:
            self._file.write(f"{start} --> {end}\n{text}\n\n")
        self._file.flush()


def _caption(window: Window) -> str | None:
    if window.probabilities is None:
        return None
    speaker = "Voice" if window.person is None else f"Person {window.person}"
    return f"<v {speaker}>{headline(window.probabilities, window.emotion)}"


def _clock(seconds: float) -> str:
    """Write a time as WebVTT does.

    >>> _clock(3661.0625)
    '01:01:01.062'
    """
    minutes, milliseconds = divmod(round(max(seconds, 0) * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}.{milliseconds % 1000:03}"
