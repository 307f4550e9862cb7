"""What a timeline's files say about themselves."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mien.errors import InvalidArgument
from mien.wording import shown_name


@dataclass(frozen=True, kw_only=True)
class TimelineFacts:
    """Of which clip a timeline is, and how it was made."""

    clip: Path
    """As the user named it."""
    window_s: float
    hop_s: float
    people: str
    """``"largest"`` or ``"all"``."""
    bundle: dict[str, str]
    """Name and SHA-256."""
    abstain_below: float = 0.0

    @property
    def title(self) -> str:
        """The clip's file name, in letters that every format can hold."""
        return shown_name(self.clip.name)

    def options(self) -> dict[str, Any]:
        """Give what the user chose."""
        return {
            "window_s": self.window_s,
            "hop_s": self.hop_s,
            "people": self.people,
            "abstain_below": self.abstain_below,
        }

    def settings(self) -> dict[str, Any]:
        """Give all on which the rows depend, as a resumed run must find it again."""
        return {"clip": self.title, **self.options(), "bundle": self.bundle["sha256"]}

    def require_same(self, stored: Mapping[str, Any], *, path: Path) -> None:
        """Refuse to go on with a file that was made otherwise.

        Args:
            stored: the settings that the file holds.
            path: of the file.

        Raises:
            InvalidArgument: a setting differs; the message names the first.
        """
        for name, value in self.settings().items():
            if stored.get(name) != value:
                raise InvalidArgument(
                    f"--resume: {path} was made with {name} = {stored.get(name)}, this run has "
                    f"{value}; ask for the same, or leave --resume out to begin anew"
                )

    def link_from(self, file: Path) -> str:
        """Give the clip's address relative to a file's folder, for a browser."""
        place = self._place_from(file)
        return self.clip.resolve().as_uri() if place is None else quote(os.fsencode(place))

    def place_from(self, file: Path) -> str:
        """Give the clip's place relative to a file's folder, for ELAN, which decodes nothing."""
        place = self._place_from(file)
        return f"file:///{self.clip.resolve().as_posix()}" if place is None else shown_name(place)

    def _place_from(self, file: Path) -> str | None:
        try:
            place = os.path.relpath(self.clip.resolve(), file.resolve().parent)
        except ValueError:
            # On another drive of Windows.
            return None
        path = Path(place).as_posix()
        return path if path.startswith("..") else f"./{path}"
