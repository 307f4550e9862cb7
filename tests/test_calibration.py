import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mien.calibration import (
    FUSED,
    RATES,
    USUAL_RATE,
    AnswerCalibration,
    Calibration,
    answers,
    rate_place,
)
from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument
from mien.fusion import fuse, temper

FALLING = tuple(round(0.6 - step / 100, 2) for step in range(50))
VOICE = np.array([0.5, 0.2, 0.1, 0.05, 0.05, 0.05, 0.03, 0.02], np.float32)
FACE = np.array([0.1, 0.1, 0.6, 0.1, 0.025, 0.025, 0.025, 0.025], np.float32)
FITTED = Calibration(
    fusion="log_average",
    answers={
        "audio": AnswerCalibration(temperature=2.0, clips=300, thresholds=FALLING),
        "video": AnswerCalibration(temperature=0.5, clips=40, thresholds=FALLING),
        FUSED: AnswerCalibration(temperature=0.8, clips=30, thresholds=FALLING),
    },
)


def test_both_branches_are_tempered_fused_and_tempered_again() -> None:
    found = FITTED.combine(VOICE, FACE)
    heard, seen = temper(VOICE, 2.0), temper(FACE, 0.5)
    assert found.audio is not None
    assert found.video is not None
    assert found.fused is not None
    np.testing.assert_array_equal(found.audio, heard)
    np.testing.assert_array_equal(found.video, seen)
    np.testing.assert_array_equal(found.fused, temper(fuse(heard, seen, method="log_average"), 0.8))
    assert found.by == FUSED


@pytest.mark.parametrize(("branch", "temperature"), [("audio", 2.0), ("video", 0.5)])
def test_one_branch_answers_by_its_own_temperature(branch: str, temperature: float) -> None:
    found = FITTED.combine(**{"audio": None, "video": None, branch: VOICE})
    assert found.by == branch
    assert found.fused is not None
    np.testing.assert_array_equal(found.fused, temper(VOICE, temperature))


def test_no_branch_no_answer() -> None:
    found = FITTED.combine(None, None)
    assert (found.audio, found.video, found.fused, found.by) == (None, None, None, None)


def test_without_calibration_the_paper_s_mean_is_left() -> None:
    found = Calibration.none(["audio", "video"]).combine(VOICE, FACE)
    assert found.fused is not None
    np.testing.assert_array_equal(found.fused, (VOICE + FACE) / 2)
    sure = np.array([1, 1e-9, 0, 0, 0, 0, 0, 0], np.float32)
    np.testing.assert_array_equal(AnswerCalibration().apply(sure), sure)


def test_it_comes_back_from_json() -> None:
    values = json.loads(json.dumps(FITTED.to_dict()))
    assert Calibration.from_dict(values, branches=["audio", "video"]) == FITTED


def test_a_set_holds_what_is_likely_enough_the_likeliest_first() -> None:
    fitted = AnswerCalibration(clips=30, thresholds=(0.4,) * 10 + (0.1,) * 39 + (0.0,))
    assert fitted.likely(FACE, rate=0.5) == ("happy",)
    assert fitted.likely(FACE, rate=0.9) == ("happy", "neutral", "calm", "sad")
    assert set(fitted.likely(FACE, rate=0.99) or ()) == set(EMOTIONS)


def test_a_set_is_never_empty() -> None:
    demanding = AnswerCalibration(clips=30, thresholds=(0.99,) * 50)
    assert demanding.likely(FACE, rate=0.5) == ("happy",)


def test_without_calibration_there_is_no_set() -> None:
    assert AnswerCalibration().likely(FACE, rate=0.9) is None


@pytest.mark.parametrize("rate", [0.49, 0.991, 1.0, 0, -1, float("nan"), True, "0.9", None])
def test_a_rate_out_of_range_is_named(rate: object) -> None:
    with pytest.raises(InvalidArgument, match=r"set_rate must be 0\.5 to 0\.99"):
        rate_place(rate)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="set_rate"):
        AnswerCalibration().likely(FACE, rate=rate)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [np.float32(0.9), np.float64(0.5), 0.99])
def test_a_rate_may_be_any_number(rate: float) -> None:
    assert rate_place(rate) in {0, 40, 41, 49}


@pytest.mark.parametrize("wrong", [{"clips": 480}, {"thresholds": FALLING}, {"clips": True}])
def test_clips_and_thresholds_belong_together(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="clips"):
        AnswerCalibration(**wrong)


def test_each_known_rate_is_found_and_others_rounded_up() -> None:
    assert [rate_place(rate) for rate in RATES] == list(range(50))
    assert RATES[rate_place(0.901)] == 0.91
    assert USUAL_RATE in RATES


def test_answers_of_one_and_of_two_branches() -> None:
    assert answers(["video"]) == ("video",)
    assert answers(["audio", "video"]) == ("audio", "video", "fused")


probabilities = arrays(np.float32, 8, elements=st.floats(0.0009765625, 1, width=32)).map(
    lambda row: row / row.sum()
)


@given(row=probabilities, low=st.integers(0, 49), more=st.integers(0, 49))
def test_a_higher_rate_never_makes_a_smaller_set(row: np.ndarray, low: int, more: int) -> None:
    small, large = (
        FITTED.answers["audio"].likely(row, rate=RATES[min(49, place)])
        for place in (low, low + more)
    )
    assert small is not None
    assert large is not None
    assert large[: len(small)] == small
    assert small[0] == EMOTIONS[int(row.argmax())]


@given(voice=probabilities, face=probabilities)
def test_calibrated_probabilities_are_probabilities(voice: np.ndarray, face: np.ndarray) -> None:
    found = FITTED.combine(voice, face)
    for row in (found.audio, found.video, found.fused):
        assert row is not None
        assert np.isfinite(row).all()
        assert row.sum() == pytest.approx(1, abs=1e-5)
