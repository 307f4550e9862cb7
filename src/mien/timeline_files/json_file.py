"""``.json``: one object with the clip, the bundle, the options and, as they come, the windows."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mien.timeline_files.facts import TimelineFacts
from mien.timeline_files.writer import Part
from mien.windows import Window

_NO_TABLE = {"sightings", "checkpoint"}


class JsonFile:
    """Writes ``{"clip": …, "bundle": {…}, "options": {…}, "windows": [{…}, …]}``, in ASCII.

    A window has the fields of :class:`mien.windows.Window` that tables have; its probabilities and
    branches look as in ``mien predict --json``.

    Args:
        path: the file; it is put there when it is closed.
        facts: what stands before the windows.

    Raises:
        InvalidArgument: the file cannot be written.
    """

    def __init__(self, path: Path, facts: TimelineFacts) -> None:
        self.begun = False
        self._part = Part(path)
        self._file = self._part.path.open("w", encoding="ascii")
        head = {"clip": str(facts.clip), "bundle": facts.bundle, "options": facts.options()}
        self._file.write(json.dumps(head).removesuffix("}") + ', "windows": [')
        self._between = "\n"

    def write(self, window: Window) -> None:
        """Append a window, in a line of its own."""
        self.begun = True
        self._file.write(self._between + json.dumps(_object(window)))
        self._between = ",\n"

    def close(self) -> None:
        """Close the object and put the file into its place."""
        with self._part, self._file:
            self._file.write("\n]}\n")

    def discard(self) -> None:
        """Leave what was there."""
        self._file.close()
        self._part.drop()


def _object(window: Window) -> dict[str, Any]:
    return {name: value for name, value in asdict(window).items() if name not in _NO_TABLE}
