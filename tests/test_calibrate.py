from pathlib import Path

import numpy as np
import pytest

from mien.calibration import FUSED, RATES, AnswerCalibration
from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument
from mien.fusion import temper
from mien.lab.calibrate import (
    FEWEST,
    Rows,
    Unseen,
    calibrate,
    cross_scores,
    fit_answer,
    unfolded,
)
from mien.lab.corpora import Example


def drawn(clips: int, *, seed: int, spread: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Draw probabilities, and truths that follow them: they are calibrated by construction."""
    chance = np.random.default_rng(seed)
    powers = np.exp(spread * chance.normal(size=(clips, 8)))
    rows = powers / powers.sum(axis=1, keepdims=True)
    truth = (rows.cumsum(axis=1) > chance.random((clips, 1))).argmax(axis=1)
    return truth, rows


def rows_of(truth: np.ndarray, probabilities: np.ndarray, *, folds: int = 5) -> Rows:
    places = np.arange(len(truth))
    return Rows(truth=truth, probabilities=probabilities, clips=places, folds=places % folds)


def example(number: int, emotion: str, *, corpus: str = "ravdess") -> Example:
    return Example(key=f"{number}", emotion=emotion, corpus=corpus, path=Path(f"{number}"))


def unseen(
    truth: np.ndarray, probabilities: np.ndarray, *, corpus: str = "ravdess", start: int = 0
) -> Unseen:
    return Unseen(
        examples=[
            example(start + n, EMOTIONS[label], corpus=corpus) for n, label in enumerate(truth)
        ],
        probabilities=probabilities,
        folds=np.arange(len(truth)) % 5,
    )


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 2.0])
def test_the_temperature_that_was_put_in_is_found(true_temperature: float) -> None:
    truth, honest = drawn(4_000, seed=0)
    boasting = temper(honest, 1 / true_temperature)
    assert fit_answer(rows_of(truth, boasting)).temperature == pytest.approx(
        true_temperature, rel=0.06
    )


def test_sets_hold_the_truth_of_new_clips_as_often_as_asked() -> None:
    fitted = fit_answer(rows_of(*drawn(2_000, seed=1)))
    truth, rows = drawn(4_000, seed=2)
    rows = fitted.apply(rows)
    for rate in (0.8, 0.9, 0.99):
        sets = [fitted.likely(row, rate=rate) or () for row in rows]
        held = np.mean([EMOTIONS[t] in found for t, found in zip(truth, sets, strict=True)])
        assert held == pytest.approx(rate, abs=0.02)


def test_sets_on_few_clips_are_not_too_small() -> None:
    """Averaged over draws, the truth is held at least as often as asked, also by few clips."""
    held = []
    for seed in range(60):
        fitted = fit_answer(rows_of(*drawn(FEWEST, seed=seed)))
        truth, rows = drawn(200, seed=1_000 + seed)
        sets = [fitted.likely(row, rate=0.9) or () for row in fitted.apply(rows)]
        held += [EMOTIONS[t] in found for t, found in zip(truth, sets, strict=True)]
    assert np.mean(held) >= 0.89


def test_a_rate_that_so_few_clips_cannot_warrant_gives_all_emotions() -> None:
    fitted = fit_answer(rows_of(*drawn(50, seed=0)))
    assert fitted.thresholds is not None
    # Of 50 clips, 99 % leaves less than half a clip outside.
    assert fitted.thresholds[-1] == 0.0
    assert fitted.thresholds[0] > 0.0


def test_thresholds_are_a_truth_s_probability_counted_from_below() -> None:
    truth, rows = drawn(99, seed=3)
    fitted = fit_answer(rows_of(truth, rows))
    likely = np.sort(fitted.apply(rows)[np.arange(99), truth])
    assert fitted.thresholds is not None
    # (99 + 1) x 10 % = 10: nine truths lie below the tenth.
    assert fitted.thresholds[RATES.index(0.9)] == pytest.approx(likely[9], abs=2e-6)
    assert fitted.thresholds[RATES.index(0.9)] <= likely[9]


def test_too_few_clips_are_left_as_they_are() -> None:
    few = rows_of(*drawn(FEWEST - 1, seed=0))
    assert fit_answer(few) == AnswerCalibration()
    assert cross_scores(few) == {}


def test_a_still_that_is_neutral_or_calm_counts_as_half_of_each() -> None:
    faces = Unseen(
        examples=[example(n, name, corpus="fer2013") for n, name in enumerate(("neutral", "sad"))],
        probabilities=np.eye(8)[[0, 3]],
        folds=np.array([1, 2]),
    )
    rows = unfolded(faces)
    assert rows.truth.tolist() == [0, 1, 3, 3]
    assert rows.clips.tolist() == [0, 0, 1, 1]
    assert rows.folds.tolist() == [1, 1, 2, 2]
    np.testing.assert_array_equal(rows.probabilities, np.eye(8)[[0, 0, 3, 3]])


def test_stills_and_clips_weigh_the_same() -> None:
    both = Unseen(
        examples=[example(0, "neutral", corpus="fer2013"), example(1, "neutral")],
        probabilities=np.eye(8)[[0, 1]],
        folds=np.zeros(2, int),
    )
    assert unfolded(both).truth.tolist() == [0, 1, 0, 0]


def test_doubled_rows_count_as_one_clip() -> None:
    truth, rows = drawn(400, seed=4)
    once = rows_of(truth, rows)
    twice = once.of(np.repeat(np.arange(400), 2))
    first, second = fit_answer(once), fit_answer(twice)
    assert second.clips == first.clips == 400
    assert second.temperature == pytest.approx(first.temperature, abs=1e-3)
    assert second.thresholds == pytest.approx(first.thresholds, abs=5e-3)


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(InvalidArgument, match="must be of 1 clips"):
        Unseen(examples=[example(0, "sad")], probabilities=np.eye(8), folds=np.zeros(1))


def test_calibration_error_falls_on_folds_that_were_not_fitted_on() -> None:
    truth, honest = drawn(3_000, seed=5)
    found = cross_scores(rows_of(truth, temper(honest, 0.4)))
    assert found["ece_before"] > 0.15
    assert found["ece"] < 0.05
    assert found["coverage"] == pytest.approx(0.9, abs=0.02)
    assert 1 <= found["set_size"] <= 8
    assert found["clips"] == 3_000


def test_a_fold_is_scored_by_what_was_fitted_on_the_others() -> None:
    """One group whose answers are always wrong is not mended by having been looked at."""
    truth, _ = drawn(1_000, seed=6)
    wrong = rows_of((truth + 1) % 8, np.eye(8)[truth] * 0.92 + 0.01, folds=1)
    right = rows_of(truth, np.eye(8)[truth] * 0.92 + 0.01, folds=1)
    mixed = Rows(
        truth=np.concatenate([right.truth, wrong.truth[:100]]),
        probabilities=np.concatenate([right.probabilities, wrong.probabilities[:100]]),
        clips=np.arange(1_100),
        folds=np.repeat([0, 1, 2], [500, 500, 100]),
    )
    # The 100 wrong ones are missed: those right alone, which the others are, need no second choice.
    assert cross_scores(mixed)["coverage"] == pytest.approx(1_000 / 1_100, abs=0.01)


def test_clips_of_one_fold_are_divided_to_be_scored() -> None:
    truth, rows = drawn(1_000, seed=7)
    assert cross_scores(rows_of(truth, rows, folds=1))["coverage"] == pytest.approx(0.9, abs=0.03)


def test_the_same_clips_are_fused_with_themselves() -> None:
    truth, rows = drawn(300, seed=8)
    found = calibrate(
        {"audio": unseen(truth, rows), "video": unseen(truth, rows)}, fusion="average", seed=0
    )
    # Fused with itself by the mean, an answer stays what it is.
    alone = found.calibration.answers["audio"]
    fused = found.calibration.answers[FUSED]
    assert fused.temperature == pytest.approx(1.0, abs=0.01)
    assert fused.clips == alone.clips == 300
    assert fused.thresholds == pytest.approx(alone.thresholds, abs=2e-3)


def test_voices_are_shown_beside_other_people_s_faces_of_the_same_emotion() -> None:
    """Independent answers multiply: the geometric mean of two is tempered to about a half."""
    voices, faces = drawn(3_000, seed=9), drawn(3_000, seed=10)
    found = calibrate(
        {
            "audio": unseen(*voices),
            "video": unseen(*faces, corpus="savee", start=10_000),
        },
        fusion="log_average",
        seed=0,
    )
    assert found.calibration.fusion == "log_average"
    assert found.calibration.answers[FUSED].temperature == pytest.approx(0.5, abs=0.05)
    assert found.scores[FUSED]["ece"] < 0.03
    assert found.scores[FUSED]["coverage"] == pytest.approx(0.9, abs=0.02)
    assert found.scores[FUSED]["set_size"] < found.scores["audio"]["set_size"]


def test_pairs_follow_the_seed() -> None:
    branches = {
        "audio": unseen(*drawn(200, seed=11)),
        "video": unseen(*drawn(200, seed=12), corpus="savee", start=10_000),
    }
    first, again, other = (
        calibrate(branches, fusion="log_average", seed=seed) for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_one_branch_has_no_fused_answer() -> None:
    found = calibrate({"audio": unseen(*drawn(100, seed=0))}, fusion="average", seed=0)
    assert set(found.calibration.answers) == {"audio"} == set(found.scores)


@pytest.mark.parametrize("clips", [0, 3])
def test_branches_with_next_to_nothing_are_not_calibrated(clips: int) -> None:
    found = calibrate(
        {
            "audio": unseen(*drawn(100, seed=0)),
            "video": unseen(*drawn(clips, seed=1), corpus="savee", start=1_000),
        },
        fusion="log_average",
        seed=0,
    )
    assert found.calibration.answers["video"] == AnswerCalibration()
    assert found.calibration.answers["audio"].clips == 100
    assert "video" not in found.scores
    assert not found.calibration.fitted


def test_calm_and_neutral_can_both_be_the_fused_answer() -> None:
    """A face that cannot tell the two apart leaves it to the voice."""
    chance = np.random.default_rng(13)
    truth, voices = drawn(2_000, seed=13, spread=2.5)
    seen = chance.integers(0, 8, 2_000)
    faces = np.eye(8)[seen] * 0.6 + 0.05
    faces[seen <= 1, :2] = 0.35
    still_face = [
        example(10_000 + n, EMOTIONS[0 if label <= 1 else label], corpus="fer2013")
        for n, label in enumerate(seen)
    ]
    video = Unseen(examples=still_face, probabilities=faces, folds=np.arange(2_000) % 5)
    fit = calibrate({"audio": unseen(truth, voices), "video": video}, fusion="log_average", seed=0)
    still = np.full(8, 0.05, np.float32)
    still[:2] = 0.35
    for emotion in (0, 1):
        voice = np.full(8, 0.02, np.float32)
        voice[:2] = 0.28
        voice[emotion] = 0.6
        fused = fit.calibration.combine(voice, still).fused
        assert fused is not None
        assert fused.argmax() == emotion
