"""Outcomes → scores: against numbers worked out by hand."""

from pathlib import Path

import mien.lab  # noqa: F401

# isort: split
import numpy as np
import pytest

from mien.emotions import EMOTIONS
from mien.lab.branches import Performance
from mien.lab.corpora import Example
from mien.lab.scoring import held_out_rows, protocol_scores, speaker_names
from mien.lab.study import Outcome, Part

NOTHING = np.full(8, np.nan)


def clip(number: int, *, speaker: str, corpus: str = "mine") -> Performance:
    example = Example(
        key=str(number),
        emotion=EMOTIONS[number % 2],
        corpus=corpus,
        path=Path(f"{number}.wav"),
        speaker=speaker,
        sex="female" if speaker == "a" else None,
        has_sound=True,
    )
    return Performance(key=example.key, sound=example, picture=None)


CLIPS = [clip(number, speaker="ab"[number // 4]) for number in range(8)]
LABELS = np.arange(8) % 2


def answers(*classes: int) -> np.ndarray:
    return np.stack([NOTHING if name < 0 else np.eye(8)[name] for name in classes])


def outcome(fold: str, *, test: range, systems: dict[str, np.ndarray]) -> Outcome:
    train = np.setdiff1d(np.arange(8), test)
    part = Part(protocol="loso24", seed=0, fold=fold, train=train, test=np.array(test), leaks=())
    return Outcome(
        part=part, inner=train[:1], labels=LABELS, systems=systems, chosen={}, networks={}
    )


# Two folds: the first tests speaker a, the second b. Audio has three of eight tested clips wrong
# and all others right; video has no answer for clip 3 and all others right.
AUDIO = (answers(0, 0, 0, 0, 0, 1, 0, 1), answers(0, 1, 0, 1, 1, 1, 0, 1))
VIDEO = (answers(0, 1, 0, -1, 0, 1, 0, 1), answers(0, 1, 0, -1, 0, 1, 0, 1))
OUTCOMES = [
    outcome(
        str(fold + 1),
        test=range(4 * fold, 4 * fold + 4),
        systems={"audio": AUDIO[fold], "video": VIDEO[fold], "average": VIDEO[fold]},
    )
    for fold in range(2)
]


def test_both_counts_are_what_they_say() -> None:
    scores = protocol_scores(OUTCOMES, CLIPS)
    audio = scores["systems"]["audio"]
    assert audio["held_out"]["clips"] == 8
    assert audio["held_out"]["accuracy"]["value"] == pytest.approx(5 / 8)
    # neutral: 3 of 4, calm: 2 of 4.
    assert audio["held_out"]["uar"]["value"] == pytest.approx((3 / 4 + 2 / 4) / 2)
    # Each fold's network is asked about all eight.
    assert audio["all_clips"]["clips"] == 16
    assert audio["all_clips"]["accuracy"]["value"] == pytest.approx(13 / 16)
    assert audio["confusion"][0][:2] == [3, 1]
    assert audio["confusion"][1][:2] == [2, 2]
    assert audio["by_speaker"] == {
        "a": {"clips": 4, "accuracy": 0.5, "uar": 0.5},
        "b": {"clips": 4, "accuracy": 0.75, "uar": 0.75},
    }
    assert audio["by_sex"] == {"female": {"clips": 4, "accuracy": 0.5, "uar": 0.5}}
    assert audio["by_intensity"] == {}
    assert set(audio["by_emotion"]) == {"neutral", "calm"}


def test_a_clip_without_an_answer_is_counted_nowhere() -> None:
    scores = protocol_scores(OUTCOMES, CLIPS)
    assert scores["systems"]["video"]["held_out"]["clips"] == 7
    assert scores["systems"]["video"]["held_out"]["accuracy"]["value"] == 1.0
    assert held_out_rows(OUTCOMES, "video").clips.tolist() == [0, 1, 2, 4, 5, 6, 7]


def test_systems_are_compared_on_the_clips_that_both_answered() -> None:
    tests = {test["b"]: test for test in protocol_scores(OUTCOMES, CLIPS)["tests"]}
    assert set(tests) == {"audio", "video"}
    # Of speaker a clips 0 to 2: audio has one wrong; of b one of four.
    assert tests["audio"]["difference"] == pytest.approx((1 / 3 + 1 / 4) / 2)
    assert tests["video"]["difference"] == 0


def test_folds_are_told() -> None:
    assert protocol_scores(OUTCOMES, CLIPS)["folds"] == [
        {"name": "1", "train": 3, "validation": 1, "test": 4, "speakers": ["a"]},
        {"name": "2", "train": 3, "validation": 1, "test": 4, "speakers": ["b"]},
    ]


def test_speakers_of_two_corpora_are_different_people() -> None:
    both = [clip(0, speaker="a"), clip(1, speaker="a", corpus="theirs")]
    assert speaker_names(both) == ["mine a", "theirs a"]
    assert speaker_names(both[:1]) == ["a"]
