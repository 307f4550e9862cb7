"""Answers for clips that a network was not trained on → the calibration that a bundle carries."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mien.calibration import FUSED, RATES, USUAL_RATE, AnswerCalibration, Calibration, answers
from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument
from mien.fusion import fuse
from mien.lab.corpora import Example, targets
from mien.lab.metrics import expected_calibration_error
from mien.lab.protocols import Name, performance_of
from mien.lab.stacking import fit_temperature

FEWEST = 100
"""Clips below which nothing is fitted: a temperature on fewer is mostly chance, and a set at 99 %
can leave none of them out."""

ROWS_A_CLIP = 2
"""A still that may be neutral or calm is a row as each; any other clip is two rows alike."""


@dataclass(frozen=True, kw_only=True)
class Unseen:
    """What a branch says of clips that the network which says it was not trained on."""

    examples: Sequence[Example]
    probabilities: np.ndarray
    """Shape ``(clips, 8)``."""
    folds: np.ndarray
    """Numbers, shape ``(clips,)``: what is fitted is scored on a fold that it was not fitted on."""

    def __post_init__(self) -> None:
        shapes = (self.probabilities.shape, self.folds.shape)
        if shapes != ((len(self.examples), len(EMOTIONS)), (len(self.examples),)):
            raise InvalidArgument(
                f"probabilities and folds must be of {len(self.examples)} clips, not {shapes}"
            )

    def of(self, places: Sequence[int]) -> "Unseen":
        """Take some clips, in the order of their places."""
        chosen = np.asarray(places, int)
        return Unseen(
            examples=[self.examples[place] for place in chosen.tolist()],
            probabilities=self.probabilities[chosen],
            folds=self.folds[chosen],
        )


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Answers beside their truth, two rows a clip."""

    truth: np.ndarray
    """Class numbers, shape ``(rows,)``."""
    probabilities: np.ndarray
    """Shape ``(rows, 8)``."""
    clips: int
    """How many different clips these are."""

    def of(self, chosen: np.ndarray, *, clips: int) -> "Rows":
        """Take some rows: a mask, or places."""
        return Rows(truth=self.truth[chosen], probabilities=self.probabilities[chosen], clips=clips)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A calibration, and how well it does on folds that it was not fitted on."""

    calibration: Calibration
    scores: dict[str, dict[str, Any]]
    """Of each answer that was calibrated; see :func:`calibrate`."""


def calibrate(unseen: Mapping[str, Unseen], *, fusion: str, seed: int) -> Fit:
    """Fit temperatures and sets, and score them on each fold when fitted on the others.

    Stills of a branch are left out where it has clips enough. The fused answer needs clips that
    both branches answered. Where too few have a face and a voice, each voice is shown beside a
    face of the same emotion: that is as good as the assumption that face and voice differ by
    chance alone once the emotion is known.

    Args:
        unseen: by branch.
        fusion: one of :data:`mien.calibration.FUSIONS`.
        seed: pairs voices and faces.

    Returns:
        An answer of fewer than 100 clips is left as it is, and unscored. Scores are ``clips``,
        ``ece`` and ``ece_before`` (calibration error with and without temperature), ``coverage``
        (how often a set at 90 % holds the truth), ``set_size`` (how many emotions it has on
        average) and, of the fused answer, ``paired_by`` (``"performance"`` or ``"emotion"``).
    """
    chosen = _one_fold_a_clip({branch: _clips_first(some) for branch, some in unseen.items()})
    together = len(_common(chosen)) >= FEWEST
    fitting = _Fitting(fusion=fusion, seed=seed, together=together)
    return Fit(
        calibration=Calibration(fusion=fusion, answers=fitting.fit(chosen)),
        scores=fitting.scores(chosen),
    )


def unfolded(unseen: Unseen) -> Rows:
    """Lay answers beside their truth, two rows a clip.

    >>> from pathlib import Path
    >>> faces = [Example(key=name, emotion=name, corpus="fer2013", path=Path(name))
    ...          for name in ("neutral", "sad")]
    >>> unfolded(Unseen(examples=faces, probabilities=np.eye(8)[:2], folds=np.zeros(2))).truth
    array([0, 1, 3, 3])
    """
    wanted = np.array([targets(example) for example in unseen.examples]).reshape(-1, len(EMOTIONS))
    times = np.rint(ROWS_A_CLIP * wanted).astype(int)
    clips, truth = np.nonzero(times)
    clips, truth = (np.repeat(values, times[clips, truth]) for values in (clips, truth))
    return Rows(truth=truth, probabilities=unseen.probabilities[clips], clips=len(unseen.examples))


def fit_answer(rows: Rows) -> AnswerCalibration:
    """Fit a temperature, and the thresholds of sets that hold the truth so often.

    The thresholds are split conformal prediction's: with new clips exchangeable with these, sets
    hold the truth at least so often. People are not quite; scores on other folds tell.

    Source: Guo et al. 2017 for the temperature; Vovk et al. 2005 and Sadinle et al. 2019 for the
    sets.

    >>> fit_answer(Rows(truth=np.array([0]), probabilities=np.eye(8)[:1], clips=1)).clips
    0
    """
    if rows.clips < FEWEST:
        return AnswerCalibration()
    temperature = round(fit_temperature(rows.truth, rows.probabilities), 4)
    tempered = AnswerCalibration(temperature=temperature).apply(rows.probabilities)
    likely = np.sort(tempered[np.arange(len(rows.truth)), rows.truth])
    thresholds = tuple(_lowest(likely, clips=rows.clips, rate=rate) for rate in RATES)
    return AnswerCalibration(temperature=temperature, clips=rows.clips, thresholds=thresholds)


def _lowest(likely: np.ndarray, *, clips: int, rate: float) -> float:
    """Give what all but a few of the truths are at least as likely as."""
    outside = int(np.floor((clips + 1) * (1 - rate) + 1e-9) * len(likely) / clips)
    # Rounded down, so that printed digits let in what they let in here.
    return float(np.floor(likely[outside - 1] * 1e6) / 1e6) if outside else 0.0


def _clips_first(unseen: Unseen) -> Unseen:
    moving = np.array([not example.is_still for example in unseen.examples], bool)
    return _where(unseen, moving) if FEWEST <= moving.sum() < len(moving) else unseen


def _where(unseen: Unseen, mask: np.ndarray) -> Unseen:
    return unseen.of(np.flatnonzero(mask).tolist())


def _one_fold_a_clip(unseen: Mapping[str, Unseen]) -> dict[str, Unseen]:
    """Put what two branches say of one clip into one fold: the first branch's."""
    fold_of: dict[Name, int] = {}
    found = {}
    for branch, some in unseen.items():
        names = [performance_of(example) for example in some.examples]
        folds = [
            fold_of.setdefault(name, fold)
            for name, fold in zip(names, some.folds.tolist(), strict=True)
        ]
        found[branch] = replace(some, folds=np.array(folds, int))
    return found


@dataclass(frozen=True, kw_only=True)
class _Fitting:
    """The whole of it, for all clips or for those outside a fold."""

    fusion: str
    seed: int
    together: bool
    """Whether face and voice of one clip are fused, not those of one emotion."""

    def fit(self, unseen: Mapping[str, Unseen]) -> dict[str, AnswerCalibration]:
        fitted = {branch: fit_answer(unfolded(some)) for branch, some in unseen.items()}
        if len(unseen) > 1:
            fitted[FUSED] = fit_answer(self._fused(unseen, fitted))
        return fitted

    def scores(self, unseen: Mapping[str, Unseen]) -> dict[str, dict[str, Any]]:
        found: dict[str, list[tuple[AnswerCalibration, Rows]]] = {
            name: [] for name in answers(list(unseen))
        }
        for rest, fold in _divided(unseen):
            fitted = self.fit(rest)
            rows = {branch: unfolded(some) for branch, some in fold.items()}
            if len(rows) > 1:
                rows[FUSED] = self._fused(fold, fitted)
            for name, parts in found.items():
                parts.append((fitted[name], rows[name]))
        scored = {name: score_sets(parts) for name, parts in found.items()}
        if scored.get(FUSED):
            scored[FUSED]["paired_by"] = "performance" if self.together else "emotion"
        return {name: scores for name, scores in scored.items() if scores}

    def _fused(self, unseen: Mapping[str, Unseen], fitted: Mapping[str, AnswerCalibration]) -> Rows:
        audio, video = self._paired(unseen)
        return _fused_rows(audio, video, fitted, fusion=self.fusion)

    def _paired(self, unseen: Mapping[str, Unseen]) -> tuple[Rows, Rows]:
        """Give answers of audio and video, row by row for the same clip or the same emotion."""
        audio, video = unseen["audio"], unseen["video"]
        if self.together:
            common = _common(unseen)
            return _in_order(audio, common), _in_order(video, common)
        return _by_emotion(unfolded(audio), unfolded(video), seed=self.seed)


def pairs_of(unseen: Mapping[str, Unseen], calibration: Calibration) -> Rows:
    """Fuse what both branches say of the same clips; the fused answer is not yet tempered."""
    common = _common(unseen)
    audio, video = (_in_order(unseen[branch], common) for branch in ("audio", "video"))
    return _fused_rows(audio, video, calibration.answers, fusion=calibration.fusion)


def _fused_rows(
    audio: Rows, video: Rows, fitted: Mapping[str, AnswerCalibration], *, fusion: str
) -> Rows:
    heard = fitted["audio"].apply(audio.probabilities)
    seen = fitted["video"].apply(video.probabilities)
    fused = fuse(heard, seen, method=fusion)
    assert fused is not None  # noqa: S101 - both branches are given
    return replace(audio, probabilities=fused)


def _divided(
    unseen: Mapping[str, Unseen],
) -> Iterator[tuple[dict[str, Unseen], dict[str, Unseen]]]:
    """Give all but a fold, and that fold."""
    for fold in np.unique(np.concatenate([some.folds for some in unseen.values()])):
        yield (
            {branch: _where(some, some.folds != fold) for branch, some in unseen.items()},
            {branch: _where(some, some.folds == fold) for branch, some in unseen.items()},
        )


def _common(unseen: Mapping[str, Unseen]) -> list[Name]:
    names = [set(map(performance_of, some.examples)) for some in unseen.values()]
    return sorted(set.intersection(*names)) if len(names) > 1 else []


def _in_order(unseen: Unseen, names: Sequence[Name]) -> Rows:
    place = {performance_of(example): n for n, example in enumerate(unseen.examples)}
    return unfolded(unseen.of([place[name] for name in names]))


def _by_emotion(audio: Rows, video: Rows, *, seed: int) -> tuple[Rows, Rows]:
    """Show each voice beside a face of its emotion; none where one side lacks an emotion."""
    chance = np.random.default_rng(seed)
    voices, faces = [np.zeros(0, int)], [np.zeros(0, int)]
    known = np.unique(audio.truth)
    if known.tolist() != np.unique(video.truth).tolist():
        known = known[:0]
    for truth in known:
        heard, seen = (np.flatnonzero(rows.truth == truth) for rows in (audio, video))
        voices.append(heard)
        # Every face once before any comes again.
        rounds = -(-len(heard) // len(seen))
        order = np.concatenate([chance.permutation(seen) for _ in range(rounds)])
        faces.append(order[: len(heard)])
    clips = min(audio.clips, video.clips) if len(known) else 0
    return (
        audio.of(np.concatenate(voices), clips=clips),
        video.of(np.concatenate(faces), clips=clips),
    )


def score_sets(parts: Sequence[tuple[AnswerCalibration, Rows]]) -> dict[str, Any]:
    """Score calibrations on rows that they were not fitted on.

    Args:
        parts: each calibration with its rows.

    Returns:
        As :func:`calibrate` tells; empty when there is no part, or one of them was not fitted.
    """
    if any(fitted.thresholds is None for fitted, _ in parts) or not sum(
        rows.clips for _, rows in parts
    ):
        return {}
    truth = np.concatenate([rows.truth for _, rows in parts])
    before = np.concatenate([rows.probabilities for _, rows in parts])
    after = [fitted.apply(rows.probabilities) for fitted, rows in parts]
    sets = [
        fitted.likely(row, rate=USUAL_RATE) or ()
        for (fitted, _), rows in zip(parts, after, strict=True)
        for row in rows
    ]
    held = [EMOTIONS[true] in found for true, found in zip(truth, sets, strict=True)]
    return {
        "clips": sum(rows.clips for _, rows in parts),
        "ece": round(expected_calibration_error(truth, np.concatenate(after)), 4),
        "ece_before": round(expected_calibration_error(truth, before), 4),
        "coverage": round(float(np.mean(held)), 4),
        "set_size": round(float(np.mean([len(found) for found in sets])), 2),
    }
