"""mien.lab.metrics against scikit-learn and against answers known by hand."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from mien.errors import InvalidArgument
from mien.lab.metrics import accuracy, confusion, macro_f1, score, unweighted_average_recall

LABELS = st.integers(0, 7)
TABLES = st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=60)


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


def test_all_wrong() -> None:
    assert score([0, 1, 2], [1, 2, 0], classes=8) == {
        "clips": 3,
        "accuracy": 0.0,
        "uar": 0.0,
        "f1_macro": 0.0,
    }


def test_a_class_absent_from_the_truth_costs_only_those_mistaken_for_it() -> None:
    # Class 2 never occurs; one clip of class 1 is taken for it.
    counts = confusion([0, 0, 1, 1], [0, 0, 1, 2], classes=3)
    assert unweighted_average_recall(counts) == pytest.approx((1 + 1 / 2) / 2)
    assert macro_f1(counts) == pytest.approx((1 + 2 / 3) / 2)


def test_classes_weigh_the_same_however_many_clips_they_have() -> None:
    counts = confusion([0] * 99 + [1], [0] * 100, classes=2)
    assert accuracy(counts) == pytest.approx(0.99)
    assert unweighted_average_recall(counts) == pytest.approx(0.5)


@pytest.mark.parametrize(("truth", "said"), [([], []), ([0, 1], [0]), ([[0, 1]], [[0, 1]]), (0, 0)])
def test_shapes_that_do_not_fit_are_refused(truth: Any, said: Any) -> None:
    with pytest.raises(InvalidArgument, match="vectors of one length, not"):
        confusion(truth, said, classes=8)


@pytest.mark.parametrize(("truth", "said", "name"), [([8], [0], "truth"), ([0], [-1], "predicted")])
def test_classes_out_of_range_are_refused(truth: Any, said: Any, name: str) -> None:
    with pytest.raises(InvalidArgument, match=f"{name} must be 0 to 7, not"):
        confusion(truth, said, classes=8)
