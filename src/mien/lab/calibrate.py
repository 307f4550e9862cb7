"""Answers for clips that a network was not trained on → the calibration that a bundle carries."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mien.calibration import FUSED, RATES, USUAL_RATE, AnswerCalibration, Calibration
from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument
from mien.fusion import fuse
from mien.lab.corpora import Example, targets
from mien.lab.metrics import expected_calibration_error
from mien.lab.protocols import performance_of
from mien.lab.stacking import fit_temperature

PARTS = 5
"""Parts into which calibration clips without folds of their own are divided to be scored."""

FEWEST = 20
"""Clips below which nothing is fitted: a set at 95 % needs at least so many."""


@dataclass(frozen=True, kw_only=True)
class Unseen:
    """What a branch says of clips that the network which says it was not trained on."""

    examples: Sequence[Example]
    probabilities: np.ndarray
    """Shape ``(clips, 8)``."""
    folds: np.ndarray
    """Numbers, shape ``(clips,)``: clips of different folds share no speaker."""

    def __post_init__(self) -> None:
        shapes = (self.probabilities.shape, self.folds.shape)
        if shapes != ((len(self.examples), len(EMOTIONS)), (len(self.examples),)):
            raise InvalidArgument(
                f"probabilities and folds must be of {len(self.examples)} clips, not {shapes}"
            )


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Answers beside their truth; a clip of either of two emotions is there once as each."""

    truth: np.ndarray
    """Class numbers, shape ``(rows,)``."""
    probabilities: np.ndarray
    """Shape ``(rows, 8)``."""
    clips: np.ndarray
    """Number of each row's clip."""
    folds: np.ndarray

    def of(self, chosen: np.ndarray) -> "Rows":
        """Take some rows: a mask, or places."""
        return Rows(
            truth=self.truth[chosen],
            probabilities=self.probabilities[chosen],
            clips=self.clips[chosen],
            folds=self.folds[chosen],
        )


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A calibration, and how well it does on folds that it was not fitted on."""

    calibration: Calibration
    scores: dict[str, dict[str, float]]
    """Of each answer that was calibrated."""


def calibrate(unseen: Mapping[str, Unseen], *, fusion: str, seed: int) -> Fit:
    """Fit temperatures and sets.

    The fused answer needs clips that both branches answered. Where no clip has a face and a
    voice, each voice is shown beside faces of the same emotion: that is as good as the assumption
    that face and voice differ by chance alone once the emotion is known.

    Args:
        unseen: by branch.
        fusion: one of :data:`mien.calibration.FUSIONS`.
        seed: pairs voices and faces.

    Returns:
        Fewer than 20 clips of an answer leave it as it is, and unscored.
    """
    rows = {branch: unfolded(answers) for branch, answers in unseen.items()}
    fitted = {branch: fit_answer(some) for branch, some in rows.items()}
    scores = {branch: cross_scores(some) for branch, some in rows.items()}
    if len(rows) > 1:
        both = _fused(*_pairs(unseen, rows, seed=seed), fitted, fusion=fusion)
        fitted[FUSED] = fit_answer(both)
        scores[FUSED] = cross_scores(both)
    return Fit(
        calibration=Calibration(fusion=fusion, answers=fitted),
        scores={name: found for name, found in scores.items() if found},
    )


def unfolded(unseen: Unseen) -> Rows:
    """Lay answers beside their truth.

    A still that may be *neutral* or *calm* is there once as each, and others twice, so that each
    still weighs the same.

    >>> from pathlib import Path
    >>> faces = [Example(key=name, emotion=name, corpus="fer2013", path=Path(name))
    ...          for name in ("neutral", "sad")]
    >>> unfolded(Unseen(examples=faces, probabilities=np.eye(8)[:2], folds=np.zeros(2))).truth
    array([0, 1, 3, 3])
    """
    wanted = np.array([targets(example) for example in unseen.examples]).reshape(-1, len(EMOTIONS))
    least = wanted[wanted > 0].min(initial=1)
    times = np.rint(wanted / least).astype(int)
    clips, truth = np.nonzero(times)
    clips, truth = (np.repeat(values, times[clips, truth]) for values in (clips, truth))
    return Rows(
        truth=truth,
        probabilities=unseen.probabilities[clips],
        clips=clips,
        folds=unseen.folds[clips],
    )


def fit_answer(rows: Rows) -> AnswerCalibration:
    """Fit a temperature, and the thresholds of sets that hold the truth so often.

    The thresholds are split conformal prediction's: with new clips exchangeable with these, a set
    holds the truth at least so often. Speakers are not quite: scores on other folds tell.

    Source: Guo et al. 2017 for the temperature; Vovk et al. 2005 and Sadinle et al. 2019 for the
    sets.

    >>> few = Rows(truth=np.array([0]), probabilities=np.eye(8)[:1], clips=np.array([0]),
    ...            folds=np.array([0]))
    >>> fit_answer(few).clips
    0
    """
    clips = len(np.unique(rows.clips))
    if clips < FEWEST:
        return AnswerCalibration()
    temperature = round(fit_temperature(rows.truth, rows.probabilities), 4)
    tempered = AnswerCalibration(temperature=temperature).apply(rows.probabilities)
    likely = np.sort(tempered[np.arange(len(rows.truth)), rows.truth])
    thresholds = [_lowest(likely, clips=clips, rate=rate) for rate in RATES]
    return AnswerCalibration(temperature=temperature, clips=clips, thresholds=tuple(thresholds))


def _lowest(likely: np.ndarray, *, clips: int, rate: float) -> float:
    """Give what all but a few of the truths are at least as likely as."""
    outside = int(np.floor((clips + 1) * (1 - rate) + 1e-9) * len(likely) / clips)
    # Rounded down, so that printed digits let in what they let in here.
    return float(np.floor(likely[outside - 1] * 1e6) / 1e6) if outside else 0.0


def cross_scores(rows: Rows) -> dict[str, float]:
    """Score a calibration on each fold that was fitted on the others.

    Returns:
        ``clips``, ``ece`` and ``ece_before`` (calibration error with and without temperature),
        ``coverage`` (how often a set at 90 % holds the truth) and ``set_size`` (its mean); empty
        where there is too little to fit on.
    """
    tempered, held, sizes = [], [], []
    for rest, fold in _divided(rows):
        fitted = fit_answer(rest)
        if fitted.thresholds is None:
            return {}
        probabilities = fitted.apply(fold.probabilities)
        sets = [fitted.likely(row, rate=USUAL_RATE) or () for row in probabilities]
        names = (EMOTIONS[truth] for truth in fold.truth)
        held += [name in found for name, found in zip(names, sets, strict=True)]
        sizes += [len(found) for found in sets]
        tempered.append((fold.truth, probabilities))
    if not tempered:
        return {}
    truth, probabilities = (np.concatenate(parts) for parts in zip(*tempered, strict=True))
    return {
        "clips": len(np.unique(rows.clips)),
        "ece": round(expected_calibration_error(truth, probabilities), 4),
        "ece_before": round(expected_calibration_error(rows.truth, rows.probabilities), 4),
        "coverage": round(float(np.mean(held)), 4),
        "set_size": round(float(np.mean(sizes)), 2),
    }


def _divided(rows: Rows) -> Iterator[tuple[Rows, Rows]]:
    """Give each fold beside all others; clips that are of one fold are divided by number."""
    folds = rows.folds
    if len(np.unique(folds)) < 2:
        folds = rows.clips % PARTS
    for fold in np.unique(folds):
        inside = folds == fold
        if not inside.all():
            yield rows.of(~inside), rows.of(inside)


def _pairs(
    unseen: Mapping[str, Unseen], rows: Mapping[str, Rows], *, seed: int
) -> tuple[Rows, Rows]:
    """Give answers of audio and video, row by row for the same clip, or for the same emotion."""
    heard, seen = (
        {performance_of(example): place for place, example in enumerate(unseen[branch].examples)}
        for branch in ("audio", "video")
    )
    common = [name for name in heard if name in seen]
    if len(common) < FEWEST:
        return _by_emotion(rows["audio"], rows["video"], seed=seed)
    return (
        _chosen(unseen["audio"], [heard[name] for name in common]),
        _chosen(unseen["video"], [seen[name] for name in common]),
    )


def _chosen(unseen: Unseen, places: Sequence[int]) -> Rows:
    return unfolded(
        Unseen(
            examples=[unseen.examples[place] for place in places],
            probabilities=unseen.probabilities[places],
            folds=unseen.folds[places],
        )
    )


def _by_emotion(audio: Rows, video: Rows, *, seed: int) -> tuple[Rows, Rows]:
    chance = np.random.default_rng(seed)
    voices, faces = [], []
    for truth in np.intersect1d(audio.truth, video.truth):
        heard, seen = (np.flatnonzero(rows.truth == truth) for rows in (audio, video))
        voices.append(heard)
        faces.append(chance.choice(seen, len(heard)))
    nobody = np.zeros(0, int)
    return (
        audio.of(np.concatenate([nobody, *voices])),
        video.of(np.concatenate([nobody, *faces])),
    )


def _fused(
    audio: Rows, video: Rows, fitted: Mapping[str, AnswerCalibration], *, fusion: str
) -> Rows:
    heard = fitted["audio"].apply(audio.probabilities)
    seen = fitted["video"].apply(video.probabilities)
    fused = fuse(heard, seen, method=fusion)
    assert fused is not None  # noqa: S101 - both branches are given
    return replace(audio, probabilities=fused)
