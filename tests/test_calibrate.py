from pathlib import Path

import numpy as np
import pytest

from mien.calibration import FUSED, RATES, AnswerCalibration
from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument
from mien.fusion import temper
from mien.lab.calibrate import FEWEST, Rows, Unseen, calibrate, fit_answer, score_sets, unfolded
from mien.lab.corpora import Example


def drawn(clips: int, *, seed: int, spread: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Draw probabilities, and truths that follow them: they are calibrated by construction."""
    chance = np.random.default_rng(seed)
    powers = np.exp(spread * chance.normal(size=(clips, 8)))
    rows = powers / powers.sum(axis=1, keepdims=True)
    truth = (rows.cumsum(axis=1) > chance.random((clips, 1))).argmax(axis=1)
    return truth, rows


def rows_of(truth: np.ndarray, probabilities: np.ndarray) -> Rows:
    return Rows(truth=truth, probabilities=probabilities, clips=len(truth))


def example(number: int, emotion: str, *, corpus: str = "ravdess") -> Example:
    return Example(
        key=f"{number}",
        emotion=emotion,
        corpus=corpus,
        path=Path(f"{number}"),
        has_picture=corpus != "fer2013",
    )


def unseen(
    truth: np.ndarray,
    probabilities: np.ndarray,
    *,
    corpus: str = "ravdess",
    start: int = 0,
    folds: np.ndarray | None = None,
) -> Unseen:
    return Unseen(
        examples=[
            example(start + n, EMOTIONS[label], corpus=corpus) for n, label in enumerate(truth)
        ],
        probabilities=probabilities,
        folds=np.arange(len(truth)) % 5 if folds is None else folds,
    )


def strangers(clips: int, *, seed: int) -> Unseen:
    """Answers for faces of another corpus."""
    return unseen(*drawn(clips, seed=seed), corpus="savee", start=100_000)


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 2.0])
def test_the_temperature_that_was_put_in_is_found(true_temperature: float) -> None:
    truth, honest = drawn(4_000, seed=0)
    boasting = temper(honest, 1 / true_temperature)
    assert fit_answer(rows_of(truth, boasting)).temperature == pytest.approx(
        true_temperature, rel=0.06
    )


def held(fitted: AnswerCalibration, truth: np.ndarray, rows: np.ndarray, rate: float) -> float:
    sets = [fitted.likely(row, rate=rate) or () for row in fitted.apply(rows)]
    return float(np.mean([EMOTIONS[t] in found for t, found in zip(truth, sets, strict=True)]))


@pytest.mark.parametrize("rate", [0.8, 0.9, 0.99])
def test_sets_hold_the_truth_of_new_clips_as_often_as_asked(rate: float) -> None:
    fitted = fit_answer(rows_of(*drawn(2_000, seed=1)))
    assert held(fitted, *drawn(4_000, seed=2), rate) == pytest.approx(rate, abs=0.02)


def test_sets_on_few_clips_are_not_too_small() -> None:
    """Averaged over draws, the truth is held at least as often as asked, also by few clips."""
    found = [
        held(fit_answer(rows_of(*drawn(FEWEST, seed=seed))), *drawn(200, seed=1_000 + seed), 0.9)
        for seed in range(40)
    ]
    assert np.mean(found) >= 0.895


def test_doubled_rows_warrant_no_more_than_their_clips_do() -> None:
    truth, probabilities = drawn(150, seed=4)
    twice = np.repeat(np.arange(150), 2)
    doubled = Rows(truth=truth[twice], probabilities=probabilities[twice], clips=150)
    once, again = fit_answer(rows_of(truth, probabilities)), fit_answer(doubled)
    assert again.clips == 150
    assert again.temperature == pytest.approx(once.temperature, abs=1e-3)
    # At 51 %, (150 + 1) x 49 % = 73 truths lie below: 146 rows. Of 300 clips it would be 147 rows.
    assert again.thresholds == pytest.approx(once.thresholds, abs=1e-4)


def test_thresholds_are_a_truth_s_probability_counted_from_below() -> None:
    truth, rows = drawn(199, seed=3)
    fitted = fit_answer(rows_of(truth, rows))
    likely = np.sort(fitted.apply(rows)[np.arange(199), truth])
    assert fitted.thresholds is not None
    # (199 + 1) x 10 % = 20: nineteen truths lie below the twentieth.
    assert fitted.thresholds[RATES.index(0.9)] == pytest.approx(likely[19], abs=2e-6)
    assert fitted.thresholds[RATES.index(0.9)] <= likely[19]


def test_too_few_clips_are_left_as_they_are() -> None:
    few = drawn(FEWEST - 1, seed=0)
    assert fit_answer(rows_of(*few)) == AnswerCalibration()
    assert calibrate({"audio": unseen(*few)}, fusion="average", seed=0).scores == {}


def test_a_still_that_is_neutral_or_calm_counts_as_half_of_each() -> None:
    faces = Unseen(
        examples=[example(n, name, corpus="fer2013") for n, name in enumerate(("neutral", "sad"))],
        probabilities=np.eye(8)[[0, 3]],
        folds=np.array([1, 2]),
    )
    rows = unfolded(faces)
    assert rows.truth.tolist() == [0, 1, 3, 3]
    assert rows.clips == 2
    np.testing.assert_array_equal(rows.probabilities, np.eye(8)[[0, 0, 3, 3]])


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(InvalidArgument, match="must be of 1 clips"):
        Unseen(examples=[example(0, "sad")], probabilities=np.eye(8), folds=np.zeros(1))


def test_calibration_error_falls_on_folds_that_were_not_fitted_on() -> None:
    truth, honest = drawn(3_000, seed=5)
    found = calibrate({"audio": unseen(truth, temper(honest, 0.4))}, fusion="average", seed=0)
    scores = found.scores["audio"]
    assert scores["ece_before"] > 0.15
    assert scores["ece"] < 0.05
    assert scores["coverage"] == pytest.approx(0.9, abs=0.02)
    assert 1 <= scores["set_size"] <= 8
    assert scores["clips"] == 3_000


def test_a_fold_is_scored_by_what_was_fitted_on_the_others() -> None:
    """Half of the clips boast: fitted on each other, the halves' sets are too small and too large.

    Fitted on all clips, the boasting half would have seen its own wrong answers.
    """
    truth, honest = drawn(2_000, seed=6)
    half = np.arange(2_000) < 1_000
    mixed = np.where(half[:, None], temper(honest, 0.25), honest)
    folds = np.where(half, 1, 2)
    found = calibrate({"audio": unseen(truth, mixed, folds=folds)}, fusion="average", seed=0)
    apart = score_sets(
        [
            (fit_answer(rows_of(truth[~half], mixed[~half])), rows_of(truth[half], mixed[half])),
            (fit_answer(rows_of(truth[half], mixed[half])), rows_of(truth[~half], mixed[~half])),
        ]
    )
    together = fit_answer(rows_of(truth, mixed))
    leaky = score_sets([(together, rows_of(truth, mixed))])
    for name in ("ece", "coverage", "set_size"):
        assert found.scores["audio"][name] == pytest.approx(apart[name], abs=1e-3)
        assert abs(apart[name] - leaky[name]) > 0.01


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
    assert found.scores[FUSED]["paired_by"] == "performance"


def test_one_clip_is_in_one_fold_for_both_branches() -> None:
    """Whatever the branches' own folds: the fused answers are scored on clips never fitted on."""
    truth, rows = drawn(1_000, seed=14)
    audio = unseen(truth, rows)
    order = np.random.default_rng(0).permutation(1_000)
    video = Unseen(
        examples=[audio.examples[n] for n in order],
        probabilities=rows[order],
        folds=np.ones(1_000, int),
    )
    found = calibrate({"audio": audio, "video": video}, fusion="average", seed=0)
    assert found.scores[FUSED]["clips"] == 1_000
    assert found.scores[FUSED]["coverage"] == pytest.approx(
        found.scores["audio"]["coverage"], abs=0.005
    )


def test_voices_are_shown_beside_other_people_s_faces_of_the_same_emotion() -> None:
    """Independent answers multiply: the geometric mean of two is tempered to about a half."""
    found = calibrate(
        {"audio": unseen(*drawn(3_000, seed=9)), "video": strangers(3_000, seed=10)},
        fusion="log_average",
        seed=0,
    )
    assert found.calibration.fusion == "log_average"
    assert found.calibration.answers[FUSED].temperature == pytest.approx(0.5, abs=0.05)
    scores = found.scores[FUSED]
    assert scores["paired_by"] == "emotion"
    assert scores["ece"] < 0.03
    assert scores["coverage"] == pytest.approx(0.9, abs=0.02)
    assert scores["set_size"] < found.scores["audio"]["set_size"]


def test_pairs_follow_the_seed() -> None:
    branches = {"audio": unseen(*drawn(200, seed=11)), "video": strangers(200, seed=12)}
    first, again, other = (
        calibrate(branches, fusion="log_average", seed=seed) for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_pairs_are_as_many_as_there_are_faces() -> None:
    found = calibrate(
        {"audio": unseen(*drawn(3_000, seed=9)), "video": strangers(150, seed=10)},
        fusion="log_average",
        seed=0,
    )
    assert found.calibration.answers[FUSED].clips == 150


def test_one_branch_has_no_fused_answer() -> None:
    found = calibrate({"audio": unseen(*drawn(200, seed=0))}, fusion="average", seed=0)
    assert set(found.calibration.answers) == {"audio"} == set(found.scores)


@pytest.mark.parametrize("clips", [0, 3, FEWEST - 1])
def test_branches_with_next_to_nothing_are_not_calibrated(clips: int) -> None:
    found = calibrate(
        {"audio": unseen(*drawn(200, seed=0)), "video": strangers(clips, seed=1)},
        fusion="log_average",
        seed=0,
    )
    assert found.calibration.answers["video"] == AnswerCalibration()
    assert found.calibration.answers[FUSED] == AnswerCalibration()
    assert found.calibration.answers["audio"].clips == 200
    assert set(found.scores) == {"audio"}


def test_an_emotion_that_one_side_lacks_leaves_the_fusion_as_it_is() -> None:
    truth, probabilities = drawn(1_000, seed=1)
    found = calibrate(
        {
            "audio": unseen(*drawn(500, seed=0)),
            "video": unseen(
                truth[truth > 1], probabilities[truth > 1], corpus="savee", start=10_000
            ),
        },
        fusion="log_average",
        seed=0,
    )
    assert found.calibration.answers["video"].clips > FEWEST
    assert found.calibration.answers[FUSED] == AnswerCalibration()


def test_stills_are_left_out_where_there_are_clips() -> None:
    clips, stills = strangers(200, seed=1), drawn(1_000, seed=2)
    faces = unseen(stills[0], temper(stills[1], 0.3), corpus="fer2013", start=5_000)
    both = Unseen(
        examples=[*clips.examples, *faces.examples],
        probabilities=np.concatenate([clips.probabilities, faces.probabilities]),
        folds=np.concatenate([clips.folds, faces.folds]),
    )
    alone, mixed = (
        calibrate({"video": some}, fusion="average", seed=0).calibration.answers["video"]
        for some in (clips, both)
    )
    assert mixed == alone


def test_calm_and_neutral_can_both_be_the_fused_answer() -> None:
    """A face that cannot tell the two apart leaves it to the voice."""
    chance = np.random.default_rng(13)
    truth, voices = drawn(2_000, seed=13, spread=2.5)
    seen = chance.integers(0, 8, 2_000)
    faces = np.eye(8)[seen] * 0.6 + 0.05
    faces[seen <= 1] = 0.05
    faces[seen <= 1, :2] = 0.35
    still_face = [
        example(10_000 + n, EMOTIONS[0 if label <= 1 else label], corpus="fer2013")
        for n, label in enumerate(seen)
    ]
    video = Unseen(examples=still_face, probabilities=faces, folds=np.arange(2_000) % 5)
    fit = calibrate({"audio": unseen(truth, voices), "video": video}, fusion="log_average", seed=0)
    assert fit.calibration.answers[FUSED].clips
    still = np.full(8, 0.05, np.float32)
    still[:2] = 0.35
    for emotion in (0, 1):
        voice = np.full(8, 0.02, np.float32)
        voice[:2] = 0.28
        voice[emotion] = 0.6
        fused = fit.calibration.combine(voice, still).fused
        assert fused is not None
        assert fused.argmax() == emotion
