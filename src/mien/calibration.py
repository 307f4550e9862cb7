"""What makes confidence mean what it says: temperatures, and sets that hold the truth."""

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from numbers import Real
from typing import Any, Self

import numpy as np

from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument
from mien.fusion import Probabilities, fuse, temper

FUSED = "fused"
"""Name of the answer of both branches; an answer of one branch has the branch's name."""

FUSIONS = ("average", "log_average")
"""What a bundle may fuse by: the methods that need nothing fitted."""

RATES = tuple(percent / 100 for percent in range(50, 100))
"""How often a set may be asked to hold the truth."""

USUAL_RATE = 0.9


@dataclass(frozen=True, kw_only=True)
class AnswerCalibration:
    """How one kind of answer is calibrated: the voice's, the face's or the fused one."""

    temperature: float = 1.0
    """Of :func:`mien.fusion.temper`."""
    clips: int = 0
    """How many it was fitted on; 0 when it was not."""
    thresholds: tuple[float, ...] | None = None
    """For each of :data:`RATES`, how likely an emotion must be to be in the set; ``None`` when
    nothing was fitted."""

    def __post_init__(self) -> None:
        if not _is_number(self.temperature) or not 0 < self.temperature < math.inf:
            raise InvalidArgument(
                f"temperature must be above 0 and finite, not {self.temperature!r}"
            )
        if not isinstance(self.clips, int) or isinstance(self.clips, bool) or self.clips < 0:
            raise InvalidArgument(f"clips must be a number of 0 or more, not {self.clips!r}")
        if self.thresholds is not None:
            _require_thresholds(self.thresholds)
        if (self.clips == 0) != (self.thresholds is None):
            raise InvalidArgument("thresholds must be there if and only if clips are")

    def apply(self, probabilities: Probabilities) -> Probabilities:
        """Temper the answer of a network, shape ``(8,)`` or ``(clips, 8)``; by 1 not at all."""
        if self.temperature == 1:
            return probabilities
        return temper(probabilities, self.temperature)

    def likely(self, probabilities: Probabilities, *, rate: float) -> tuple[str, ...] | None:
        """Name the likely emotions: over many clips, the truth is among them at this rate.

        Args:
            probabilities: calibrated, shape ``(8,)``.
            rate: 0.5 to 0.99, over all clips like those it was calibrated on; nothing is promised
                for one clip, or for those of low confidence alone.

        Returns:
            The likeliest first, never none; ``None`` when nothing was fitted.

        Raises:
            InvalidArgument: the rate is out of range.

        Source: Sadinle, Lei & Wasserman 2019, "Least ambiguous set-valued classifiers with bounded
        error levels"; the likeliest emotion is always in.

        >>> calibration = AnswerCalibration(clips=100, thresholds=(0.3,) * 50)
        >>> calibration.likely(np.array([0.6, 0.35, 0.05, 0, 0, 0, 0, 0], np.float32), rate=0.5)
        ('neutral', 'calm')
        """
        place = rate_place(rate)
        if self.thresholds is None:
            return None
        ranked = np.argsort(-probabilities, kind="stable")
        enough = probabilities[ranked] >= self.thresholds[place]
        return tuple(EMOTIONS[best] for best in ranked[: max(1, int(enough.sum()))])


@dataclass(frozen=True)
class Calibrated:
    """The answers for one clip, calibrated."""

    audio: Probabilities | None
    video: Probabilities | None
    fused: Probabilities | None
    """Of both branches, or of the one that answered; ``None`` when neither did."""
    by: str | None
    """Whose answer that is: ``"audio"``, ``"video"`` or ``"fused"``."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How a bundle's answers are calibrated and fused."""

    fusion: str = "average"
    """One of :data:`FUSIONS`, of the calibrated branches."""
    answers: Mapping[str, AnswerCalibration]
    """Of each branch that the bundle has, and of ``"fused"`` when it has both."""

    def __post_init__(self) -> None:
        if self.fusion not in FUSIONS:
            raise InvalidArgument(f"fusion must be one of {', '.join(FUSIONS)}, not {self.fusion}")

    @classmethod
    def none(cls, branches: Collection[str], *, fusion: str = "average") -> Self:
        """Leave the probabilities as the networks give them."""
        return cls(fusion=fusion, answers={name: AnswerCalibration() for name in answers(branches)})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, branches: Collection[str]) -> Self:
        """Rebuild a calibration from :meth:`to_dict`'s values.

        Args:
            values: as in a bundle's manifest.
            branches: that the bundle has.

        Raises:
            InvalidArgument: something is missing, unknown or of another size.
        """
        if set(values) != {"fusion", "answers"} or not isinstance(values["answers"], Mapping):
            raise InvalidArgument(f"calibration must hold fusion and answers, not {list(values)}")
        found, wanted = set(values["answers"]), set(answers(branches))
        if found != wanted:
            raise InvalidArgument(
                f"calibration must be of {', '.join(sorted(wanted))}, not of "
                f"{', '.join(sorted(found)) or 'nothing'}"
            )
        try:
            parts = {name: _answer(values["answers"][name]) for name in answers(branches)}
            return cls(fusion=values["fusion"], answers=parts)
        except (KeyError, TypeError) as error:
            raise InvalidArgument(f"calibration is incomplete or too much: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that JSON can hold."""
        return asdict(self)

    def combine(self, audio: Probabilities | None, video: Probabilities | None) -> Calibrated:
        """Calibrate the answers of the branches, and fuse those that are there.

        Args:
            audio: as the network gave them, shape ``(8,)``; ``None`` when the branch is out.
            video: likewise.

        >>> calibration = Calibration.none(["audio", "video"])
        >>> likely = np.array([0.75, 0.25, 0, 0, 0, 0, 0, 0], np.float32)
        >>> calibration.combine(likely, likely[::-1]).fused.round(3)
        array([0.375, 0.125, 0.   , 0.   , 0.   , 0.   , 0.125, 0.375],
              dtype=float32)
        >>> calibration.combine(likely, None).by
        'audio'
        """
        heard = None if audio is None else self.answers["audio"].apply(audio)
        seen = None if video is None else self.answers["video"].apply(video)
        fused = fuse(heard, seen, method=self.fusion)
        if heard is not None and seen is not None and fused is not None:
            return Calibrated(heard, seen, self.answers[FUSED].apply(fused), by=FUSED)
        by = None if fused is None else "video" if heard is None else "audio"
        return Calibrated(heard, seen, fused, by=by)


def answers(branches: Collection[str]) -> tuple[str, ...]:
    """Name the kinds of answer that a bundle with these branches can give.

    >>> answers(["audio", "video"]), answers(["audio"])
    (('audio', 'video', 'fused'), ('audio',))
    """
    return (*branches, FUSED) if len(branches) > 1 else tuple(branches)


def rate_place(rate: float) -> int:
    """Find the lowest of :data:`RATES` that is no lower than the rate asked for.

    Raises:
        InvalidArgument: the rate is out of range.

    >>> RATES[rate_place(0.9)], RATES[rate_place(0.895)]
    (0.9, 0.9)
    """
    if not _is_number(rate) or not RATES[0] <= rate <= RATES[-1]:
        raise InvalidArgument(f"set_rate must be {RATES[0]} to {RATES[-1]}, not {rate!r}")
    return next(place for place, known in enumerate(RATES) if rate <= known)


def _answer(values: Mapping[str, Any]) -> AnswerCalibration:
    thresholds = values["thresholds"]
    if isinstance(thresholds, list):
        thresholds = tuple(thresholds)
    return AnswerCalibration(**{**values, "thresholds": thresholds})


def _require_thresholds(thresholds: tuple[float, ...]) -> None:
    if (
        not isinstance(thresholds, tuple)
        or len(thresholds) != len(RATES)
        or not all(_is_number(value) and 0 <= value <= 1 for value in thresholds)
        or list(thresholds) != sorted(thresholds, reverse=True)
    ):
        raise InvalidArgument(
            f"thresholds must be {len(RATES)} falling numbers, 0 to 1, not {thresholds!r:.60}"
        )


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
