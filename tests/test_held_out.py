from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.errors import InvalidArgument
from mien.lab.corpora import Example
from mien.lab.held_out import held_out_scores


def example(emotion: str, **rest: Any) -> Example:
    given: dict[str, Any] = {"corpus": "mine", "key": emotion, "path": Path(emotion)}
    return Example(emotion=emotion, **given | rest)


def test_scores_by_group() -> None:
    clips = [
        example("happy", sex="female", intensity="strong"),
        example("happy", sex="male", intensity="normal"),
        example("calm", sex="female", intensity="normal"),
        example("angry", sex=None, intensity=None),
    ]
    found = held_out_scores(clips, np.eye(8)[[2, 3, 1, 4]])
    assert (found["clips"], found["accuracy"], found["classes"]) == (4, 0.75, 3)
    assert found["uar"] == pytest.approx((0.5 + 1 + 1) / 3, abs=1e-4)
    assert found["by"] == {
        "emotion": {
            "calm": {"clips": 1, "accuracy": 1.0},
            "happy": {"clips": 2, "accuracy": 0.5},
            "angry": {"clips": 1, "accuracy": 1.0},
        },
        "sex": {
            "female": {"clips": 2, "accuracy": 1.0},
            "male": {"clips": 1, "accuracy": 0.0},
        },
        "intensity": {
            "normal": {"clips": 2, "accuracy": 0.5},
            "strong": {"clips": 1, "accuracy": 1.0},
        },
    }
    assert found["speakers"] == 0
    # In the order of the labels, whatever the alphabet says.
    assert list(found["by"]["emotion"]) == ["calm", "happy", "angry"]


def test_what_no_clip_tells_is_left_out() -> None:
    assert list(held_out_scores([example("sad")], np.eye(8)[[3]])["by"]) == ["emotion"]


def test_a_corpus_that_cannot_tell_two_emotions_apart_scores_them_as_one() -> None:
    stills = [example(name, corpus="fer2013") for name in ("neutral", "neutral", "happy")]
    answers = np.full((3, 8), 0.1, np.float32)
    answers[0, 1] = answers[1, 0] = answers[2, 2] = 0.3
    found = held_out_scores(stills, answers)
    assert (found["clips"], found["accuracy"], found["uar"], found["classes"]) == (3, 1.0, 1.0, 2)
    assert list(found["by"]["emotion"]) == ["neutral", "happy"]
    # 0.21 and 0.21 for the two outweigh 0.3 for the one.
    answers[2] = [0.21, 0.21, 0.3, 0.05, 0.05, 0.05, 0.05, 0.05]
    assert held_out_scores(stills, answers)["accuracy"] == pytest.approx(2 / 3, abs=1e-4)


def test_emotions_that_are_told_apart_are_not_merged() -> None:
    clips = [example("neutral"), example("calm")]
    assert held_out_scores(clips, np.eye(8)[[1, 0]])["accuracy"] == 0.0


@pytest.mark.parametrize("shape", [(0, 8), (2, 8), (1, 7)])
def test_shapes_that_do_not_fit_are_named(shape: tuple[int, int]) -> None:
    with pytest.raises(InvalidArgument, match="answers must be of 1 clips"):
        held_out_scores([example("sad")], np.ones(shape))
    with pytest.raises(InvalidArgument, match="1 or more"):
        held_out_scores([], np.ones((0, 8)))


def test_speakers_are_counted() -> None:
    clips = [example("sad", speaker=name, key=name) for name in ("Ann", "Bob", "Ann")]
    assert held_out_scores(clips, np.eye(8)[[3, 3, 3]])["speakers"] == 2
