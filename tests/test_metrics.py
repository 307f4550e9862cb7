"""mien.lab.metrics against scikit-learn, stored golden numbers and answers known by hand."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
)

from mien.errors import InvalidArgument
from mien.lab.metrics import (
    ClassScores,
    ReliabilityBin,
    accuracy,
    brier,
    calibration_gaps,
    confusion,
    expected_calibration_error,
    macro_f1,
    macro_precision,
    measures,
    per_class,
    reliability,
    score,
    squared_distances,
    unweighted_average_recall,
)

LABELS = st.integers(0, 7)
TABLES = st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=60)
GOLDEN = json.loads((Path(__file__).parent / "data" / "golden_metrics.json").read_text("utf-8"))
"""48 clips of six classes, one of which is answered and never true; scores by scikit-learn 1.9.1,
and ECE by a loop over bins."""


def drawn(clips: int, *, seed: int = 0, classes: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Truth and probabilities that lean towards it."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=clips)
    weights = rng.gamma(0.5, size=(clips, classes)) + np.eye(classes)[truth]
    return truth, weights / weights.sum(axis=1, keepdims=True)


def error_by_loops(truth: np.ndarray, probabilities: np.ndarray, bins: int) -> float:
    """ECE as Guo et al. 2017 write it."""
    edges = [number / bins for number in range(bins + 1)]
    error = 0.0
    for low, high in pairwise(edges):
        members = [
            (row.max(), row.argmax() == label)
            for row, label in zip(probabilities, truth, strict=True)
            if low < row.max() <= high
        ]
        if members:
            confidence, right = np.mean(members, axis=0)
            error += len(members) / len(truth) * abs(right - confidence)
    return error


@settings(max_examples=40)
@given(TABLES)
def test_the_same_numbers_as_scikit_learn(table: list[tuple[int, int]]) -> None:
    truth, said = (list(column) for column in zip(*table, strict=True))
    counts = confusion(truth, said, classes=8)
    occurring: Any = {"labels": sorted(set(truth)), "average": "macro", "zero_division": 0}
    np.testing.assert_array_equal(counts, confusion_matrix(truth, said, labels=range(8)))
    assert accuracy(counts) == pytest.approx(accuracy_score(truth, said))
    assert unweighted_average_recall(counts) == pytest.approx(
        recall_score(truth, said, **occurring)
    )
    assert macro_f1(counts) == pytest.approx(f1_score(truth, said, **occurring))
    assert macro_precision(counts) == pytest.approx(precision_score(truth, said, **occurring))


@settings(max_examples=40)
@given(TABLES)
def test_each_class_has_the_scores_of_scikit_learn(table: list[tuple[int, int]]) -> None:
    truth, said = (list(column) for column in zip(*table, strict=True))
    found = per_class(confusion(truth, said, classes=8))
    every: Any = {"labels": range(8), "average": None, "zero_division": 0}
    assert [one.clips for one in found] == [truth.count(label) for label in range(8)]
    assert [one.recall for one in found] == pytest.approx(recall_score(truth, said, **every))
    assert [one.precision for one in found] == pytest.approx(precision_score(truth, said, **every))
    assert [one.f1 for one in found] == pytest.approx(f1_score(truth, said, **every))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("accuracy", accuracy),
        ("uar", unweighted_average_recall),
        ("f1_macro", macro_f1),
        ("precision_macro", macro_precision),
    ],
)
def test_golden_scores_of_answers(name: str, found: Any) -> None:
    said = np.argmax(GOLDEN["probabilities"], axis=1)
    counts = confusion(GOLDEN["truth"], said, classes=6)
    assert found(counts) == pytest.approx(GOLDEN[name], rel=0, abs=1e-12)
    assert measures(counts)[name] == pytest.approx(GOLDEN[name], rel=0, abs=1e-12)


@pytest.mark.parametrize(("name", "found"), [("brier", brier), ("ece", expected_calibration_error)])
def test_golden_scores_of_probabilities(name: str, found: Any) -> None:
    value = found(GOLDEN["truth"], GOLDEN["probabilities"])
    assert value == pytest.approx(GOLDEN[name], rel=0, abs=1e-12)


@given(TABLES)
def test_scores_are_shares_rounded_to_four_digits(table: list[tuple[int, int]]) -> None:
    truth, said = zip(*table, strict=True)
    scores = score(truth, said, classes=8)
    assert scores.pop("clips") == len(table)
    assert scores.keys() == {"accuracy", "uar", "f1_macro"}
    assert all(0 <= value <= 1 and value == round(value, 4) for value in scores.values())


def test_perfect() -> None:
    assert score(range(8), range(8), classes=8) == {
        "clips": 8,
        "accuracy": 1.0,
        "uar": 1.0,
        "f1_macro": 1.0,
    }
    assert macro_precision(np.eye(8, dtype=np.int64)) == 1.0
    assert brier(range(8), np.eye(8)) == 0.0
    assert expected_calibration_error(range(8), np.eye(8)) == 0.0


def test_all_wrong() -> None:
    assert score([0, 1, 2], [1, 2, 0], classes=8) == {
        "clips": 3,
        "accuracy": 0.0,
        "uar": 0.0,
        "f1_macro": 0.0,
    }
    wrong = np.eye(8)[[1, 2, 0]]
    assert macro_precision(confusion([0, 1, 2], [1, 2, 0], classes=8)) == 0.0
    assert brier([0, 1, 2], wrong) == 2.0
    assert expected_calibration_error([0, 1, 2], wrong) == 1.0


def test_a_class_absent_from_the_truth_costs_only_those_mistaken_for_it() -> None:
    # Class 2 never occurs; one clip of class 1 is taken for it.
    counts = confusion([0, 0, 1, 1], [0, 0, 1, 2], classes=3)
    assert unweighted_average_recall(counts) == pytest.approx((1 + 1 / 2) / 2)
    assert macro_f1(counts) == pytest.approx((1 + 2 / 3) / 2)
    assert macro_precision(counts) == 1.0
    assert per_class(counts)[2] == ClassScores(clips=0, recall=0.0, precision=0.0, f1=0.0)


def test_classes_weigh_the_same_however_many_clips_they_have() -> None:
    counts = confusion([0] * 99 + [1], [0] * 100, classes=2)
    assert accuracy(counts) == pytest.approx(0.99)
    assert unweighted_average_recall(counts) == pytest.approx(0.5)


def test_many_matrices_are_measured_as_each_of_them_is() -> None:
    rng = np.random.default_rng(0)
    # Some classes occur in some of the matrices alone.
    many = rng.integers(1, 6, (5, 4, 4)) * rng.integers(0, 2, (5, 4, 1))
    many[:, 0, 0] += 1
    found = measures(many)
    for place, counts in enumerate(many):
        for name, values in measures(counts).items():
            assert found[name][place] == values


@pytest.mark.parametrize("bins", [1, 4, 10, 15])
def test_calibration_error_as_the_paper_writes_it(bins: int) -> None:
    for seed in range(5):
        truth, probabilities = drawn(200, seed=seed)
        assert expected_calibration_error(truth, probabilities, bins=bins) == pytest.approx(
            error_by_loops(truth, probabilities, bins), rel=0, abs=1e-12
        )


def test_calibration_error_by_hand() -> None:
    # Two bins: two clips at .8 of which one is right, one at .5, on the edge, that is right.
    truth = [0, 1, 0]
    probabilities = [[0.8, 0.2], [0.8, 0.2], [0.5, 0.5]]
    expected = (abs(1.6 - 1) + abs(0.5 - 1)) / 3
    assert expected_calibration_error(truth, probabilities, bins=2) == pytest.approx(expected)
    np.testing.assert_allclose(
        calibration_gaps(truth, probabilities, bins=2), [[0, -0.2], [0, 0.8], [-0.5, 0]], atol=1e-15
    )


def test_reliability_by_hand() -> None:
    found = reliability([0, 1, 0], [[0.75, 0.25], [0.875, 0.125], [0.5, 0.5]], bins=2)
    assert found == (
        ReliabilityBin(low=0.0, high=0.5, clips=1, confidence=0.5, accuracy=1.0),
        ReliabilityBin(low=0.5, high=1.0, clips=2, confidence=0.8125, accuracy=0.5),
    )


def test_the_calibration_error_is_the_curve_s_distance_from_the_diagonal() -> None:
    truth, probabilities = drawn(300)
    curve = reliability(truth, probabilities)
    assert sum(part.clips for part in curve) == 300
    distance = sum(part.clips * abs(part.accuracy - part.confidence) for part in curve) / 300
    assert expected_calibration_error(truth, probabilities) == pytest.approx(distance)


def test_calibrated_answers_are_found_calibrated() -> None:
    _, probabilities = drawn(20_000, seed=3)
    chance = np.random.default_rng(4).random(20_000)
    truth = (probabilities.cumsum(axis=1) < chance[:, None]).sum(axis=1).clip(0, 7)
    assert expected_calibration_error(truth, probabilities) < 0.02


def test_a_sum_a_little_above_1_is_still_in_the_last_bin() -> None:
    sure = np.array([[1.0000001, 0.0]], np.float32)
    assert expected_calibration_error([0], sure) == pytest.approx(0, abs=1e-6)


def test_brier_is_that_of_scikit_learn() -> None:
    truth, probabilities = drawn(200)
    expected = brier_score_loss(truth, probabilities, labels=range(8), scale_by_half=False)
    assert brier(truth, probabilities) == pytest.approx(expected, rel=0, abs=1e-12)


def test_squared_distances_by_hand() -> None:
    found = squared_distances([0, 2], [[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(found, [0.25 + 0.0625 + 0.0625, 2.0])


@pytest.mark.parametrize(("truth", "said"), [([], []), ([0, 1], [0]), ([[0, 1]], [[0, 1]]), (0, 0)])
def test_shapes_that_do_not_fit_are_refused(truth: Any, said: Any) -> None:
    with pytest.raises(InvalidArgument, match="vectors of one length, not"):
        confusion(truth, said, classes=8)


@pytest.mark.parametrize(("truth", "said", "name"), [([8], [0], "truth"), ([0], [-1], "predicted")])
def test_classes_out_of_range_are_refused(truth: Any, said: Any, name: str) -> None:
    with pytest.raises(InvalidArgument, match=f"{name} must be 0 to 7, not"):
        confusion(truth, said, classes=8)


@pytest.mark.parametrize("said", [["sad"], [0.5], [True]])
def test_what_is_no_class_number_is_refused(said: Any) -> None:
    with pytest.raises(InvalidArgument, match="predicted must hold class numbers, not"):
        confusion([0], said, classes=8)


@pytest.mark.parametrize(
    ("truth", "probabilities", "message"),
    [
        ([], np.empty((0, 8)), r"not \(0,\) and \(0, 8\)"),
        ([0, 1], np.eye(8)[:1], r"not \(2,\) and \(1, 8\)"),
        ([0], np.eye(8)[0], r"not \(1,\) and \(8,\)"),
        ([8], np.eye(8)[:1], "truth must be 0 to 7"),
        ([0, 0], [[1.0, 0.0], [0.5, 0.25]], "in row 1; leave out clips without an answer"),
        ([0], [[1.5, -0.5]], "0 or more"),
        ([0], [[np.nan, np.nan]], "leave out clips without an answer"),
    ],
)
def test_what_is_no_probability_is_refused(truth: Any, probabilities: Any, message: str) -> None:
    for found in (brier, expected_calibration_error, reliability):
        with pytest.raises(InvalidArgument, match=message):
            found(truth, probabilities)


def test_no_bins_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="bins must be 1 or more, not 0"):
        reliability([0], [[1.0, 0.0]], bins=0)
