"""mien.lab.intervals against sampling clip by clip, the normal law and SciPy."""

import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from mien.errors import InvalidArgument
from mien.lab import intervals
from mien.lab.intervals import Interval, PairedTest, bootstrap, paired_wilcoxon, scores
from mien.lab.metrics import (
    accuracy,
    brier,
    confusion,
    expected_calibration_error,
    macro_f1,
    macro_precision,
    unweighted_average_recall,
)

MEASURES = ("accuracy", "uar", "f1_macro", "precision_macro", "brier", "ece")


def drawn(clips: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Truth and probabilities that lean towards it."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(8, size=clips)
    weights = rng.gamma(0.5, size=(clips, 8)) + np.eye(8)[truth]
    return truth, weights / weights.sum(axis=1, keepdims=True)


def measured(truth: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    counts = confusion(truth, probabilities.argmax(axis=1), classes=8)
    return {
        "accuracy": accuracy(counts),
        "uar": unweighted_average_recall(counts),
        "f1_macro": macro_f1(counts),
        "precision_macro": macro_precision(counts),
        "brier": brier(truth, probabilities),
        "ece": expected_calibration_error(truth, probabilities),
    }


def resampled(
    truth: np.ndarray, probabilities: np.ndarray, groups: list[str]
) -> dict[str, list[float]]:
    """Intervals from 2,000 tables that are written out clip by clip."""
    names = list(dict.fromkeys(groups))
    members = [np.flatnonzero(np.array(groups) == name) for name in names]
    picks = np.random.default_rng(0).integers(len(names), size=(2_000, len(names)))
    samples = []
    for pick in picks:
        rows = np.concatenate([members[number] for number in pick])
        samples.append(measured(truth[rows], probabilities[rows]))
    return {
        name: np.percentile([sample[name] for sample in samples], [2.5, 97.5]).tolist()
        for name in MEASURES
    }


def test_intervals_are_those_of_tables_written_out_clip_by_clip() -> None:
    truth, probabilities = drawn(60)
    # Speakers of different sizes, not one after the other.
    groups = [f"{number % 7 % 5}" for number in range(60)]
    found = scores(truth, probabilities, groups=groups)
    assert (found["clips"], found["interval_over"]) == (60, "speakers")
    values, expected = measured(truth, probabilities), resampled(truth, probabilities, groups)
    for name in MEASURES:
        assert found[name]["value"] == pytest.approx(values[name], rel=0, abs=1e-12)
        assert found[name]["ci95"] == pytest.approx(expected[name], rel=0, abs=1e-12)


def test_keys_are_those_of_the_scores_file() -> None:
    found = scores(*drawn(20))
    assert list(found) == ["clips", "interval_over", *MEASURES]
    assert all(list(found[name]) == ["value", "ci95"] for name in MEASURES)
    assert all(isinstance(bound, float) for name in MEASURES for bound in found[name]["ci95"])


@pytest.mark.parametrize(
    ("groups", "over"),
    [
        (None, "clips"),
        ([None] * 20, "clips"),
        (["01"] * 20, "clips"),
        (["01"] * 10 + [None] * 10, "clips"),
        (["01"] * 10 + ["02"] * 10, "speakers"),
        (["01"] * 5 + ["02"] * 5 + [None] * 10, "speakers"),
    ],
)
def test_speakers_are_drawn_where_there_are_two(groups: Any, over: str) -> None:
    truth, probabilities = drawn(20)
    found = scores(truth, probabilities, groups=groups)
    assert found["interval_over"] == over
    if over == "clips":
        assert found == scores(truth, probabilities)


def test_clips_without_a_speaker_are_drawn_one_by_one() -> None:
    truth, probabilities = drawn(30)
    found = scores(truth, probabilities, groups=["01"] * 10 + ["02"] * 10 + [None] * 10)
    named = ["01"] * 10 + ["02"] * 10 + [f"alone {number}" for number in range(10)]
    assert found == scores(truth, probabilities, groups=named)


def test_over_clips_the_interval_is_that_of_the_normal_law() -> None:
    truth, probabilities = drawn(1_440)
    found = scores(truth, probabilities)["accuracy"]
    share = found["value"]
    half = 1.96 * np.sqrt(share * (1 - share) / 1_440)
    assert found["ci95"] == pytest.approx([share - half, share + half], abs=0.004)


def test_speakers_who_differ_widen_the_interval() -> None:
    # Half of the speakers are always recognised, the others never.
    speakers = np.repeat(np.arange(24), 60)
    truth = np.zeros(1_440, int)
    probabilities = np.eye(8)[speakers % 2]
    by_speaker = scores(truth, probabilities, groups=[str(one) for one in speakers])["accuracy"]
    by_clip = scores(truth, probabilities)["accuracy"]
    low, high = by_speaker["ci95"]
    assert high - low > 5 * (by_clip["ci95"][1] - by_clip["ci95"][0])
    assert low < by_speaker["value"] == by_clip["value"] == 0.5 < high


@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 1_000))
@settings(max_examples=20, deadline=None)
def test_intervals_lie_within_the_measures_bounds(clips: int, speakers: int, seed: int) -> None:
    truth, probabilities = drawn(clips, seed=seed)
    found = scores(truth, probabilities, groups=[str(n % speakers) for n in range(clips)])
    for name in MEASURES:
        low, high = found[name]["ci95"]
        assert 0 <= low <= high <= (2 if name == "brier" else 1) + 1e-12


def test_perfect_is_certain() -> None:
    found = scores(range(8), np.eye(8))
    assert found["accuracy"] == {"value": 1.0, "ci95": [1.0, 1.0]}
    assert found["brier"] == found["ece"] == {"value": 0.0, "ci95": [0.0, 0.0]}


def test_the_same_seed_gives_the_same_interval_however_many_are_drawn_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = np.random.default_rng(0).random((50, 1))

    def found(seed: int) -> Interval:
        return bootstrap(
            rows, lambda sums: {"sum": sums[..., 0]}, groups=range(50), draws=101, seed=seed
        )["sum"]

    first = found(1)
    monkeypatch.setattr(intervals, "CELLS_AT_ONCE", 500)
    again = found(1)
    assert (again.low, again.high) == pytest.approx((first.low, first.high))
    assert found(2) != again


def test_a_thousand_clips_take_no_time() -> None:
    truth, probabilities = drawn(1_440)
    groups = [f"{number // 60}" for number in range(1_440)]
    times = []
    for _ in range(5):
        start = time.perf_counter()
        scores(truth, probabilities, groups=groups)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.2


@pytest.mark.parametrize(
    ("rows", "groups"), [([], []), ([[1.0]], []), ([[1.0]], ["a", "b"]), ([1.0], ["a"])]
)
def test_groups_that_do_not_fit_are_refused(rows: Any, groups: Any) -> None:
    with pytest.raises(InvalidArgument, match="one of groups for each clip, not"):
        bootstrap(rows, lambda sums: {"sum": sums[..., 0]}, groups=groups)
    with pytest.raises(InvalidArgument, match=r"not .* with 2 groups"):
        scores([0], np.eye(8)[:1], groups=["01", "02"])


def test_what_is_no_probability_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="leave out clips without an answer"):
        scores([0, 1], np.full((2, 8), np.nan))


def clips_of(rights: list[int], of: int) -> tuple[list[bool], list[str]]:
    """Give as many right clips of each speaker as told."""
    correct = [number < right for right in rights for number in range(of)]
    return correct, [f"{speaker:02d}" for speaker in range(len(rights)) for _ in range(of)]


@pytest.mark.parametrize(
    "rights",
    [
        [(6, 0), (1, 0)],
        [(3, 2), (4, 2), (0, 3), (6, 2), (1, 6)],
        [(3, 3), (4, 2), (0, 3), (6, 6), (1, 5), (2, 1)],
        [(5, speaker % 7) for speaker in range(24)],
        [(speaker % 3, speaker % 2) for speaker in range(60)],
        [(2, 2), (0, 0), (6, 6)],
    ],
)
def test_paired_test_is_scipy_s_over_speakers(rights: list[tuple[int, int]]) -> None:
    first, groups = clips_of([a for a, _ in rights], 6)
    second, _ = clips_of([b for _, b in rights], 6)
    found = paired_wilcoxon(first, second, groups)
    differences = [a - b for a, b in rights]
    assert found.speakers == len(rights)
    assert found.difference == pytest.approx(np.mean(differences) / 6)
    if any(differences):
        # Differences in whole clips rank as those in shares of six do.
        expected = wilcoxon(differences, zero_method="wilcox").pvalue
        assert found.p == pytest.approx(expected)
    else:
        assert found.p == 1.0
    assert paired_wilcoxon(second, first, groups).p == found.p


def test_paired_test_by_hand() -> None:
    # All of six speakers are better heard by the first system: 2 of 2^6 orders are as uneven.
    first, groups = clips_of([9, 8, 7, 6, 5, 4], 10)
    second, _ = clips_of([3, 3, 3, 3, 3, 3], 10)
    found = paired_wilcoxon(first, second, groups)
    assert (found.speakers, found.p) == (6, 2 / 64)
    assert found.difference == pytest.approx(0.35)


def test_speakers_weigh_the_same_however_many_clips_they_have() -> None:
    found = paired_wilcoxon([1] * 9 + [0], [0] * 9 + [1], ["01"] * 9 + ["02"])
    assert found.difference == 0


def test_systems_that_are_equal_for_all_speakers() -> None:
    found = paired_wilcoxon([1, 0, 1, 0], [0, 1, 1, 0], ["01", "01", "02", "02"])
    assert found == PairedTest(speakers=2, difference=0.0, p=1.0)


@pytest.mark.parametrize(
    ("groups", "speakers", "difference"),
    [(["01", "01", "01"], 1, 1 / 3), (["01", "01", None], 1, 0.5), ([None] * 3, 0, 1 / 3)],
)
def test_fewer_than_two_speakers_are_not_tested(
    groups: list[str | None], speakers: int, difference: float
) -> None:
    found = paired_wilcoxon([1, 1, 1], [1, 0, 1], groups)
    assert (found.speakers, found.p) == (speakers, None)
    assert found.difference == pytest.approx(difference)


@pytest.mark.parametrize(
    ("first", "second", "groups"), [([], [], []), ([1], [1, 0], ["01"]), ([1], [1], ["01", "02"])]
)
def test_lengths_that_differ_are_refused(first: Any, second: Any, groups: Any) -> None:
    with pytest.raises(InvalidArgument, match="correct_a, correct_b and groups must be of one"):
        paired_wilcoxon(first, second, groups)


def test_scores_need_neither_keras_nor_scipy() -> None:
    code = (
        "import sys\n"
        "for name in ('keras', 'jax', 'scipy', 'sklearn', 'pyarrow'): sys.modules[name] = None\n"
        "from mien.lab.intervals import scores\n"
        "print(scores([0, 1], [[1.0, 0.0], [0.0, 1.0]])['clips'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "2\n", done.stderr
