"""What is known of the people in a clip at one moment: enough to know them again later."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.detectors import Box

Appearance = npt.NDArray[np.float32]

_SCENE = (18, 32)
"""Shape of a scene."""


@dataclass(frozen=True, eq=False)
class Person:
    """What is known of a person so far."""

    number: int
    """Counted from 1."""
    box: Box
    """Where the face was found last."""
    time: float
    """When that was."""
    appearance: Appearance
    """Of the face, averaged; empty where nobody asks whose it is."""
    latest: Appearance
    """As it was found last."""


@dataclass(frozen=True, eq=False)
class Acquaintance:
    """Everybody who was seen so far; never changed, only replaced.

    >>> Acquaintance.from_dict(Acquaintance().to_dict()).people
    ()
    """

    people: tuple[Person, ...] = ()
    """In the order of their numbers."""
    present: tuple[int, ...] = ()
    """Numbers of those who were there a moment ago, as they are looked for."""
    scene: npt.NDArray[np.int16] | None = None
    """The last frame, small and grey; shape (18, 32)."""

    def numbered(self, number: int) -> Person:
        """Give a person."""
        return self.people[number - 1]

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that JSON can hold, from which all comes back exactly."""
        return {
            "people": [
                {
                    "box": list(astuple(person.box)),
                    "time": person.time,
                    "appearance": _text(person.appearance),
                    "latest": _text(person.latest),
                }
                for person in self.people
            ],
            "present": list(self.present),
            "scene": None if self.scene is None else _text(self.scene),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Acquaintance:
        """Take what :meth:`to_dict` gave.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        people = tuple(
            Person(
                number,
                Box(*map(int, each["box"])),
                float(each["time"]),
                _array(each["appearance"], np.float32),
                _array(each["latest"], np.float32),
            )
            for number, each in enumerate(stored["people"], 1)
        )
        present = tuple(map(int, stored["present"]))
        if not set(present) <= set(range(1, len(people) + 1)):
            raise ValueError(f"present must be numbers of people, not {present}")
        scene = stored["scene"]
        return cls(
            people, present, None if scene is None else _array(scene, np.int16).reshape(_SCENE)
        )


def _text(array: npt.NDArray[Any]) -> str:
    little = array.astype(array.dtype.newbyteorder("<"))
    return base64.b64encode(little.tobytes()).decode()


def _array(text: str, kind: Any) -> npt.NDArray[Any]:
    stored = np.frombuffer(base64.b64decode(text, validate=True), np.dtype(kind).newbyteorder("<"))
    return stored.astype(kind)
