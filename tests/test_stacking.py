"""mien.lab.stacking: what is fitted, on probabilities with known faults."""

from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression

from mien.errors import InvalidArgument, TrainingDataError
from mien.fusion import temper
from mien.lab.stacking import STACK_STRENGTH, Stack, fit_stack, fit_temperature, fit_weight


def calibrated(clips: int, *, seed: int, spread: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and truths drawn from them."""
    rng = np.random.default_rng(seed)
    probabilities = softmax(rng.normal(0, spread, (clips, 8)), axis=1)
    chance = rng.random((clips, 1))
    truth = (probabilities.cumsum(axis=1) < chance).sum(axis=1).clip(0, 7)
    return truth, probabilities


def heard_and_seen(clips: int, *, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, and two branches that make independent mistakes."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(8, size=clips)
    audio, video = (
        softmax(rng.normal(0, 1.3, (clips, 8)) + strength * np.eye(8)[truth], axis=1)
        for strength in (2.0, 2.5)
    )
    return truth, audio, video


def loss(truth: np.ndarray, probabilities: np.ndarray) -> float:
    return float(-np.log(probabilities[np.arange(len(truth)), truth]).mean())


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5, 6.0])
def test_the_temperature_that_was_put_on_is_taken_off(temperature: float) -> None:
    truth, probabilities = calibrated(4_000, seed=0)
    found = fit_temperature(truth, temper(probabilities, 1 / temperature))
    assert found == pytest.approx(temperature, rel=0.1)


def test_no_other_temperature_has_a_lower_loss() -> None:
    truth, probabilities = calibrated(300, seed=1)
    sure = temper(probabilities, 0.5)
    found = loss(truth, temper(sure, fit_temperature(truth, sure)))
    for other in np.geomspace(0.05, 20, 200):
        assert found <= loss(truth, temper(sure, float(other))) + 1e-6


def test_temperatures_stay_in_their_range() -> None:
    always_right, never_right = np.eye(8), np.eye(8)[::-1]
    unsure = 0.02 * always_right + 0.1225
    assert fit_temperature(range(8), unsure) == pytest.approx(0.05, rel=0.01)
    assert fit_temperature(range(8), 0.9 * never_right + 0.0125) == pytest.approx(20, rel=0.01)


def test_the_weight_goes_to_the_branch_that_knows() -> None:
    truth = np.arange(8)
    right, even = 0.9 * np.eye(8) + 0.0125, np.full((8, 8), 1 / 8)
    assert fit_weight(truth, right, even) == 1.0
    assert fit_weight(truth, even, right) == 0.0
    assert fit_weight(truth, right, right) == 0.5


def test_no_other_weight_has_a_lower_loss() -> None:
    truth, audio, video = heard_and_seen(200, seed=2)
    found = fit_weight(truth, audio, video)
    losses = {share / 20: loss(truth, share / 20 * audio + (1 - share / 20) * video)
              for share in range(21)}  # fmt: skip
    assert losses[found] == min(losses.values())
    assert 0 < found < 0.5


def test_the_stack_is_scikit_learn_s_regression() -> None:
    truth, audio, video = heard_and_seen(170, seed=3)
    stack = fit_stack(truth, audio, video)
    halves = [np.log(branch) for branch in (audio, video)]
    centred = [half - half.mean(axis=1, keepdims=True) for half in halves]
    features = np.hstack([half / half.std() for half in centred])
    model = LogisticRegression(C=STACK_STRENGTH, max_iter=1_000).fit(features, truth)
    np.testing.assert_allclose(
        stack.predict(audio, video), model.predict_proba(features), atol=1e-6
    )


def test_a_branch_that_is_surer_gets_no_more_say() -> None:
    truth, audio, video = heard_and_seen(170, seed=3)
    first = fit_stack(truth, audio, video).predict(audio, video)
    sure = temper(audio, 0.8)
    np.testing.assert_allclose(fit_stack(truth, sure, video).predict(sure, video), first, atol=1e-4)


def test_a_branch_that_always_says_the_same_has_no_say() -> None:
    truth, audio, video = heard_and_seen(170, seed=3)
    even = np.full_like(video, 1 / 8)
    stack = fit_stack(truth, audio, even)
    # Rounding errors are not taken for answers.
    assert np.abs(stack.coefficients).max() < 10
    answers = stack.predict(audio, even)
    assert (answers.argmax(axis=1) == truth).mean() > (audio.argmax(axis=1) == truth).mean() - 0.05


def test_the_stack_is_better_than_either_branch() -> None:
    stack = fit_stack(*heard_and_seen(170, seed=4))
    truth, audio, video = heard_and_seen(2_000, seed=5)
    answers = stack.predict(audio, video)
    right, heard, seen = ((p.argmax(axis=1) == truth).mean() for p in (answers, audio, video))
    assert right > max(heard, seen) + 0.05
    assert loss(truth, answers) < min(loss(truth, audio), loss(truth, video))


def test_the_stack_learns_which_branch_to_trust_for_what() -> None:
    # The voice tells the first four emotions apart, the face the other four.
    rng = np.random.default_rng(6)
    truth = rng.integers(8, size=800)
    signs = 4 * np.eye(8)[truth]
    audio = softmax(rng.normal(0, 1, (800, 8)) + signs * (np.arange(8) < 4), axis=1)
    video = softmax(rng.normal(0, 1, (800, 8)) + signs * (np.arange(8) >= 4), axis=1)
    stack = fit_stack(truth[:400], audio[:400], video[:400])
    own = np.abs(stack.coefficients)
    assert np.all(np.diag(own[:4, :4]) > np.diag(own[:4, 8:12]))
    assert np.all(np.diag(own[4:, 12:]) > np.diag(own[4:, 4:8]))


@pytest.mark.parametrize("classes", [[2, 5], [0, 3, 4]])
def test_classes_that_were_never_met_get_the_floor(classes: list[int]) -> None:
    truth, audio, video = heard_and_seen(400, seed=7)
    met = np.isin(truth, classes)
    stack = fit_stack(truth[met], audio[met], video[met])
    answers = stack.predict(audio[met], video[met])
    absent = [label for label in range(8) if label not in classes]
    np.testing.assert_allclose(answers[:, absent], 1e-7, rtol=1e-5)
    np.testing.assert_allclose(answers.sum(axis=1), 1, rtol=1e-12)
    assert (answers.argmax(axis=1) == truth[met]).mean() > 0.8


def test_where_a_branch_is_out_the_other_answers() -> None:
    truth, audio, video = heard_and_seen(100, seed=8)
    stack = fit_stack(truth, audio, video)
    both = stack.predict(audio, video)
    audio[0], video[1], audio[2], video[2] = np.nan, np.nan, np.nan, np.nan
    answers = stack.predict(audio, video)
    np.testing.assert_array_equal(answers[0], video[0])
    np.testing.assert_array_equal(answers[1], audio[1])
    assert np.isnan(answers[2]).all()
    np.testing.assert_allclose(answers[3:], both[3:])


def test_zeros_are_finite() -> None:
    stack = fit_stack(np.arange(8), np.eye(8), np.eye(8))
    answers = stack.predict(np.eye(8), np.eye(8)[::-1])
    assert np.isfinite(answers).all()
    assert np.all(answers > 0)


def test_prediction_by_hand() -> None:
    coefficients = np.zeros((8, 16))
    coefficients[:, :8] = 2 * np.eye(8)
    stack = Stack(classes=np.arange(8), coefficients=coefficients, intercepts=np.linspace(-1, 1, 8))
    _, audio, video = heard_and_seen(5, seed=9)
    expected = np.exp(log_softmax(2 * np.log(audio) + np.linspace(-1, 1, 8), axis=1))
    np.testing.assert_allclose(stack.predict(audio, video), expected, rtol=1e-12)


def test_one_emotion_alone_cannot_be_stacked() -> None:
    table = np.full((3, 8), 1 / 8)
    with pytest.raises(TrainingDataError, match="not of sad alone; give more clips, or"):
        fit_stack([3, 3, 3], table, table)


@pytest.mark.parametrize(
    ("truth", "audio", "message"),
    [
        ([], np.empty((0, 8)), "for 1 clip or more"),
        ([0, 1], np.eye(8)[:1], r"not of shape \(2,\) for 1 clips"),
        ([0], np.eye(7)[:1], r"must be of shape \(clips, 8\), not"),
        ([0], np.eye(8)[0], r"must be of shape \(clips, 8\), not"),
        ([8], np.eye(8)[:1], "truth must hold class numbers, 0 to 7, not"),
        (["sad"], np.eye(8)[:1], "truth must hold class numbers, 0 to 7, not"),
        ([0], np.full((1, 8), np.nan), "leave out clips for which a branch is out"),
        ([0], -np.eye(8)[:1], "0 or more"),
    ],
)
def test_what_does_not_fit_is_refused(truth: Any, audio: Any, message: str) -> None:
    for fit in (fit_weight, fit_stack):
        with pytest.raises(InvalidArgument, match=message):
            fit(truth, audio, audio)
    with pytest.raises(InvalidArgument, match=message):
        fit_temperature(truth, audio)


def test_branches_of_different_lengths_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="audio and video must have one shape, not"):
        fit_weight([0], np.eye(8)[:1], np.eye(8)[:2])
