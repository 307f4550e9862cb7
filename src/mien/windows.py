"""What one branch answered, and one row of a timeline: one person in one window."""

from dataclasses import dataclass
from typing import Any

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
