"""What the columns of a timeline's tables hold; the one place where they are described."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from mien.emotions import EMOTIONS
from mien.windows import COLUMNS, Branch, Window

Kind = Literal["number", "whole number", "text"]


@dataclass(frozen=True)
class Column:
    """One column: its name, what its cells are, and what they mean."""

    name: str
    kind: Kind
    meaning: str


def _column(name: str) -> Column:
    branch, _, emotion = name.partition("_")
    if name in EMOTIONS:
        return Column(name, "number", f"probability that {name} is expressed, face and voice fused")
    if emotion in EMOTIONS:
        told = {"audio": "by the voice alone", "video": "by the face alone"}[branch]
        return Column(name, "number", f"probability that {emotion} is expressed, {told}")
    kind, meaning = _OTHERS[name]
    return Column(name, kind, meaning)


_OTHERS: dict[str, tuple[Kind, str]] = {
    "start_s": ("number", "seconds from the clip's start to the window's"),
    "end_s": ("number", "seconds from the clip's start to the window's end"),
    "person": (
        "whole number",
        "who, counted from 1, the same through the clip if people are told apart; empty where no "
        "face was found",
    ),
    "emotion": (
        "text",
        "the likeliest of the eight; empty where neither branch could answer, or abstained",
    ),
    "confidence": ("number", "probability of the likeliest, 0 to 1"),
    "faces_found": (
        "number",
        "share of the window's looked-at frames with this face, 0 to 1; empty without a picture",
    ),
    "speech": (
        "number",
        "share of the window in which somebody speaks, 0 to 1; empty without sound",
    ),
    "reason": ("text", "why a branch is out; empty where both are used"),
}

TIMELINE_COLUMNS: tuple[Column, ...] = tuple(map(_column, COLUMNS))
"""In their order. Every cell but the two times may be empty."""

CLIP = Column("clip", "text", "the clip's name, as it was given")
"""Before the others in the table of a prediction: there a row is a whole clip."""


class WholeClip(Protocol):
    """What a prediction tells of a clip; see :class:`mien.recognise.Prediction`."""

    @property
    def clip(self) -> str:
        """Name."""

    @property
    def emotion(self) -> str | None:
        """The likeliest, if any is named."""

    @property
    def confidence(self) -> float | None:
        """Its probability."""

    @property
    def probabilities(self) -> dict[str, float] | None:
        """Fused."""

    @property
    def audio(self) -> Branch:
        """What the voice said."""

    @property
    def video(self) -> Branch:
        """What the face said."""

    @property
    def duration_s(self) -> float:
        """Seconds."""

    @property
    def faces_found(self) -> float | None:
        """Share of the looked-at frames."""


def prediction_row(answer: WholeClip) -> dict[str, Any]:
    """Give a prediction as a row: ``clip``, then the columns of a timeline.

    Its window is the whole clip; who it is and how much of it is speech is not known.
    """
    row = Window(
        start_s=0.0,
        end_s=answer.duration_s,
        person=None,
        emotion=answer.emotion,
        confidence=answer.confidence,
        probabilities=answer.probabilities,
        audio=answer.audio,
        video=answer.video,
        faces_found=answer.faces_found,
        speech=None,
        reason=reasons(answer.audio, answer.video),
    ).row()
    return {CLIP.name: answer.clip, **row}


def reasons(audio: Branch, video: Branch) -> str | None:
    """Tell in one text why branches are out; ``None`` when both are used.

    >>> reasons(Branch(False, "silent", None), Branch(True, None, {}))
    'audio: silent'
    """
    found = {"audio": audio.reason, "video": video.reason}
    return "; ".join(f"{name}: {reason}" for name, reason in found.items() if reason) or None
