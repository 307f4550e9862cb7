"""Late fusion of one fold: fitted on inner clips alone, whole where a branch is missing."""

import mien.lab  # noqa: F401

# isort: split
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.errors import TrainingDataError
from mien.fusion import temper
from mien.lab.late import LATE, fuse_late
from mien.lab.metrics import expected_calibration_error
from mien.lab.stacking import fit_temperature, fit_weight

CLIPS = 600
INNER = np.arange(300)


def made(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make labels, and two branches that each know something of them."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 8, CLIPS)
    branches = []
    for strength in (2.0, 2.2):
        logits = strength * np.eye(8)[labels] + generator.normal(0, 1, (CLIPS, 8))
        powers = np.exp(logits)
        branches.append(powers / powers.sum(axis=1, keepdims=True))
    return labels, branches[0], branches[1]


def test_every_fusion_is_better_than_either_branch() -> None:
    labels, audio, video = made()
    fused = fuse_late(audio, video, labels=labels, inner=INNER, fusions=LATE).probabilities
    assert list(fused) == list(LATE)
    rest = slice(300, None)

    def accuracy(probabilities: np.ndarray) -> float:
        return float((probabilities[rest].argmax(axis=1) == labels[rest]).mean())

    for name, probabilities in fused.items():
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
        assert accuracy(probabilities) > max(accuracy(audio), accuracy(video)), name


def test_the_average_is_the_paper_s() -> None:
    labels, audio, video = made()
    fused = fuse_late(audio, video, labels=labels, inner=INNER[:0], fusions=["average"])
    np.testing.assert_allclose(fused.probabilities["average"], (audio + video) / 2)
    assert list(fused.probabilities) == ["average"]
    assert fused.chosen == {}


def test_branches_are_calibrated_before_they_are_weighed() -> None:
    labels, audio, video = made()
    # One branch is too sure, the other not sure enough.
    audio, video = temper(audio, 0.4), temper(video, 1.8)
    fused = fuse_late(audio, video, labels=labels, inner=INNER, fusions=LATE)
    degrees = [fit_temperature(labels[INNER], branch[INNER]) for branch in (audio, video)]
    assert degrees[0] > 1.5 * degrees[1]
    heard, seen = temper(audio, degrees[0]), temper(video, degrees[1])
    weight = fit_weight(labels[INNER], heard[INNER], seen[INNER])
    assert weight != 0.5
    mixed = {"weighted": weight * heard + (1 - weight) * seen, "log_average": np.sqrt(heard * seen)}
    mixed["log_average"] /= mixed["log_average"].sum(axis=1, keepdims=True)
    assert set(fused.chosen) == {"audio", "video", *mixed}
    for branch, degree in zip(("audio", "video"), degrees, strict=True):
        assert fused.chosen[branch] == {"temperature": degree}
    assert fused.chosen["weighted"]["audio"] == weight
    # What comes of it is too modest, and is tempered once more.
    for name, table in mixed.items():
        degree = fused.chosen[name]["temperature"]
        assert degree == pytest.approx(fit_temperature(labels[INNER], table[INNER]), abs=1e-4)
        assert degree < 0.9
        np.testing.assert_allclose(fused.probabilities[name], temper(table, degree), atol=1e-5)


def test_fitted_means_are_as_sure_as_they_are_right() -> None:
    labels, audio, video = made()
    rest = slice(300, None)
    errors = {
        name: expected_calibration_error(labels[rest], probabilities[rest])
        for name, probabilities in fuse_late(
            audio, video, labels=labels, inner=INNER, fusions=LATE
        ).probabilities.items()
    }
    # The paper's mean is not tempered.
    assert errors["average"] > 0.1
    assert max(errors["weighted"], errors["log_average"]) < 0.07


@pytest.mark.parametrize(
    ("fusions", "given"),
    [(["early"], []), (["stacked", "early"], ["stacked"]), (["weighted", "average"], LATE[:2])],
)
def test_only_what_was_asked_for_is_given(fusions: list[str], given: list[str]) -> None:
    labels, audio, video = made()
    fused = fuse_late(audio, video, labels=labels, inner=INNER, fusions=fusions)
    assert list(fused.probabilities) == list(given)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99))
def test_labels_of_other_clips_change_nothing(seed: int) -> None:
    labels, audio, video = made()
    others = labels.copy()
    others[300:] = np.random.default_rng(seed).permutation(labels[300:])
    one = fuse_late(audio, video, labels=labels, inner=INNER, fusions=LATE)
    two = fuse_late(audio, video, labels=others, inner=INNER, fusions=LATE)
    assert one.chosen == two.chosen
    for name in LATE:
        np.testing.assert_array_equal(one.probabilities[name], two.probabilities[name])


def test_labels_of_inner_clips_change_what_is_fitted() -> None:
    labels, audio, video = made()
    others = labels.copy()
    others[:300] = np.random.default_rng(0).permutation(labels[:300])
    one = fuse_late(audio, video, labels=labels, inner=INNER, fusions=LATE)
    two = fuse_late(audio, video, labels=others, inner=INNER, fusions=LATE)
    assert one.chosen != two.chosen
    for name in LATE[1:]:
        assert np.abs(one.probabilities[name] - two.probabilities[name]).max() > 0.01, name


def test_a_clip_with_one_branch_gets_its_answer_and_one_without_any_none() -> None:
    labels, audio, video = made()
    audio[100], video[101], audio[102], video[102] = (np.nan,) * 4
    fused = fuse_late(audio, video, labels=labels, inner=INNER, fusions=LATE).probabilities
    for name in ("average", "stacked"):
        np.testing.assert_allclose(fused[name][100], video[100])
        np.testing.assert_allclose(fused[name][101], audio[101])
    for name in LATE:
        assert fused[name][100].argmax() == video[100].argmax()
        assert fused[name][101].argmax() == audio[101].argmax()
        assert np.isnan(fused[name][102]).all()
        assert not np.isnan(fused[name][:100]).any()


def test_without_inner_clips_of_both_branches_nothing_can_be_fitted() -> None:
    labels, audio, video = made()
    video[:300] = np.nan
    with pytest.raises(TrainingDataError, match=r"stacked: no inner clip has both .* average"):
        fuse_late(audio, video, labels=labels, inner=INNER, fusions=["stacked"])
