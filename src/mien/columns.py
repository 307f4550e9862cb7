"""What the columns of a timeline's tables hold; the one place where they are described."""

from dataclasses import dataclass
from typing import Literal

from mien.emotions import EMOTIONS
from mien.windows import COLUMNS

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
        "who, counted from 1, the same through the clip; empty where no face was found",
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
