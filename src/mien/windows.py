"""What one branch answered, and one row of a timeline: one person in one window."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from mien.detectors import Box
from mien.emotions import EMOTIONS


@dataclass(frozen=True)
class Branch:
    """What one branch answered, or why it did not."""

    used: bool
    reason: str | None
    """Why the branch is out; ``None`` when it is used."""
    probabilities: dict[str, float] | None
    """Calibrated, as those of the prediction."""


@dataclass(frozen=True)
class Sighting:
    """Where a person's face was at one time."""

    time_s: float
    """Seconds from the clip's start: when the frame is shown."""
    box: Box
    """In the upright full-size frame."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Where a later run can begin, and be the same as one that never stopped."""

    start_s: float
    """Start of the window that it begins with."""
    same_from_s: float
    """Start of the first window that is the same; what comes before warms it up."""
    known: dict[str, Any]
    """Of people, before that window; see :mod:`mien.acquaintance`."""

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Take what :meth:`to_dict` gave.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        return cls(
            start_s=float(stored["start_s"]),
            same_from_s=float(stored["same_from_s"]),
            known=dict(stored["known"]),
        )


@dataclass(frozen=True, kw_only=True)
class Window:
    """What one person expresses in one window of a longer clip."""

    start_s: float
    """Seconds from the clip's start."""
    end_s: float
    person: int | None
    """Counted from 1, the same through the whole clip; ``None`` where no face was found."""
    emotion: str | None
    """The likeliest of the eight; ``None`` when neither branch could answer, or abstained."""
    confidence: float | None
    """Probability of the likeliest, 0 to 1."""
    probabilities: dict[str, float] | None
    """Fused."""
    audio: Branch
    video: Branch
    faces_found: float | None
    """Share of the window's looked-at frames in which this face was found."""
    speech: float | None
    """Share of the window in which somebody speaks, 0 to 1; ``None`` without sound."""
    reason: str | None
    """Why a branch is out, in words; ``None`` when both are used."""
    sightings: tuple[Sighting, ...] = ()
    """The person's face in the window's frames; in no table, for drawing."""
    checkpoint: Checkpoint | None = None
    """Now and then, with a window's first row; in no table, for a run that is stopped."""

    def row(self) -> dict[str, Any]:
        """Give one flat row: :data:`COLUMNS`, ``None`` where there is nothing.

        >>> out = Branch(False, "silent", None)
        >>> Window(start_s=0, end_s=4, person=None, emotion=None, confidence=None,
        ...     probabilities=None, audio=out, video=out, faces_found=0.0, speech=0.0,
        ...     reason="silent").row()["reason"]
        'silent'
        """
        nothing: dict[str, float | None] = dict.fromkeys(EMOTIONS)
        fused = self.probabilities or nothing
        audio = self.audio.probabilities or nothing
        video = self.video.probabilities or nothing
        return {
            "start_s": self.start_s,
            "end_s": self.end_s,
            "person": self.person,
            "emotion": self.emotion,
            "confidence": self.confidence,
            **fused,
            **{f"audio_{name}": value for name, value in audio.items()},
            **{f"video_{name}": value for name, value in video.items()},
            "faces_found": self.faces_found,
            "speech": self.speech,
            "reason": self.reason,
        }


COLUMNS = (
    *("start_s", "end_s", "person", "emotion", "confidence"),
    *EMOTIONS,
    *(f"audio_{name}" for name in EMOTIONS),
    *(f"video_{name}" for name in EMOTIONS),
    *("faces_found", "speech", "reason"),
)
"""Names of a row's values in their order, in every table."""
