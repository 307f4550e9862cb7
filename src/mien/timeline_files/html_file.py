"""``.html``: one page that needs no network, with the video beside its curves.

The page refers to the video by its relative place; its content security policy lets it load that,
or a file that the reader chooses, and nothing from anywhere else.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from mien.emotions import EMOTIONS
from mien.palette import EMOTION_COLOURS
from mien.timeline_files.facts import TimelineFacts
from mien.timeline_files.writer import Part
from mien.windows import Window

_DIGITS = 3
"""Of a probability: a pixel of the page is coarser."""


class HtmlFile:
    """Writes the page's beginning, the windows as they come, and its end.

    Args:
        path: the file; it is put there when it is closed.
        facts: of the clip, to which the page refers by its relative place.

    Raises:
        InvalidArgument: the file cannot be written.
    """

    def __init__(self, path: Path, facts: TimelineFacts) -> None:
        self.begun = False
        self._part = Part(path)
        head, self._tail = _page(facts, video=facts.link_from(path)).split("{{data}}")
        self._file = self._part.path.open("w", encoding="utf-8")
        shared = {
            "window_s": facts.window_s,
            "hop_s": facts.hop_s,
            "emotions": EMOTIONS,
            "colours": [EMOTION_COLOURS[name] for name in EMOTIONS],
        }
        self._file.write(head + _script_safe(shared).removesuffix("}") + ', "rows": [')
        self._between = "\n"

    def write(self, window: Window) -> None:
        """Append a row."""
        self.begun = True
        self._file.write(self._between + _script_safe(_row(window)))
        self._between = ",\n"

    def close(self) -> None:
        """Write the page's end and put the file into its place."""
        with self._part, self._file:
            self._file.write("\n]}" + self._tail)

    def discard(self) -> None:
        """Leave what was there."""
        self._file.close()
        self._part.drop()


def _page(facts: TimelineFacts, *, video: str) -> str:
    """Give the page, but for the data."""
    folder = files("mien.timeline_files") / "page"
    style, script = ((folder / f"page.{kind}").read_text("utf-8") for kind in ("css", "js"))
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "media-src 'self' file: blob:; base-uri 'none'; form-action 'none'"
    )
    who = "everybody" if facts.people == "all" else "the largest face"
    about = (
        f"Windows of {facts.window_s:g} s every {facts.hop_s:g} s, {who}, bundle "
        f"{facts.bundle['name']}"
    )
    texts = {"policy": policy, "title": facts.title, "about": about, "video": video}
    page = (folder / "page.html").read_text("utf-8")
    for name, text in texts.items():
        page = page.replace("{{" + name + "}}", html.escape(text).replace("{", "&#123;"))
    return page.replace("{{style}}", style).replace("{{script}}", script)


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _row(window: Window) -> list[Any]:
    return [
        round(window.start_s, 3),
        round(window.end_s, 3),
        window.person,
        None if window.emotion is None else EMOTIONS.index(window.emotion),
        _rounded(window.probabilities),
        _rounded(window.audio.probabilities),
        _rounded(window.video.probabilities),
        None if window.speech is None else round(window.speech, 2),
        window.reason,
    ]


def _rounded(probabilities: dict[str, float] | None) -> list[float] | None:
    if probabilities is None:
        return None
    return [round(probabilities[name], _DIGITS) for name in EMOTIONS]


def _script_safe(value: Any) -> str:
    """Give JSON in which no text can end the script that it stands in."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
