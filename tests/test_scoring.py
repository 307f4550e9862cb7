"""Outcomes → scores: against numbers worked out by hand."""

from dataclasses import replace
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


def clip(number: int, *, speaker: str | None, corpus: str = "mine") -> Performance:
    example = Example(
        key=str(number),
        emotion=EMOTIONS[number % 2],
        corpus=corpus,
        path=Path(f"{number}.wav"),
        speaker=speaker,
        sex="female" if speaker == "a" else None,
        intensity="strong" if number == 7 else None,
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
    assert audio["by_intensity"] == {"strong": {"clips": 1, "accuracy": 1.0, "uar": 1.0}}
    assert set(audio["by_emotion"]) == {"neutral", "calm"}
    # 3 of 5 that are called neutral are, and 2 of 3 that are called calm.
    assert audio["by_emotion"]["calm"] == {
        "clips": 4, "recall": 0.5, "precision": pytest.approx(2 / 3), "f1": pytest.approx(4 / 7)
    }  # fmt: skip
    # All are sure: a wrong one is 2 away from the truth, and 3 of 8 are wrong.
    assert audio["held_out"]["brier"]["value"] == pytest.approx(2 * 3 / 8)
    assert audio["held_out"]["ece"]["value"] == pytest.approx(3 / 8)
    surest = audio["reliability"][-1]
    assert (surest["clips"], surest["confidence"], surest["accuracy"]) == (8, 1.0, 5 / 8)


def test_intervals_are_over_speakers() -> None:
    held_out = protocol_scores(OUTCOMES, CLIPS)["systems"]["audio"]["held_out"]
    assert held_out["interval_over"] == "speakers"
    # Of two speakers with 2 and 3 of 4 right, samples have one of them twice, or both.
    assert held_out["accuracy"]["ci95"] == [0.5, 0.75]


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


def twice() -> list[Outcome]:
    """Repeat all with another seed, under which video is always wrong and labels are swapped."""
    swapped = 1 - LABELS
    return [
        replace(
            one,
            part=replace(one.part, seed=1, test=one.part.test[:3]),
            labels=swapped,
            chosen={"audio": {"epoch": 4}},
            systems={name: np.eye(8)[LABELS] for name in one.systems}
            | {"audio": np.eye(8)[swapped]},
        )
        for one in OUTCOMES
    ]


def test_seeds_are_pooled_and_told_apart() -> None:
    scores = protocol_scores([*OUTCOMES, *twice()], CLIPS)
    audio, video = (scores["systems"][name] for name in ("audio", "video"))
    assert {seed: found["accuracy"] for seed, found in audio["by_seed"].items()} == {
        "0": 5 / 8,
        "1": 1.0,
    }
    assert {seed: found["accuracy"] for seed, found in video["by_seed"].items()} == {
        "0": 1.0,
        "1": 0.0,
    }
    assert audio["held_out"]["clips"] == 8 + 6
    assert audio["held_out"]["accuracy"]["value"] == pytest.approx(11 / 14)
    # Folds are told once; what was chosen, of each seed.
    assert [fold["test"] for fold in scores["folds"]] == [4, 4]
    assert [(row["fold"], row["seed"]) for row in scores["chosen"]] == [
        ("1", 0),
        ("2", 0),
        ("1", 1),
        ("2", 1),
    ]
    assert scores["chosen"][2] == {"fold": "1", "seed": 1, "audio": {"epoch": 4}}
    tests = {test["b"]: test for test in scores["tests"]}
    # The average has 3 of 3 right of speaker a with one seed and 0 of 3 with the other, 4 and 0 of
    # b; audio 2 of 3 and 3 of 3, 3 of 4 and 3 of 3.
    assert tests["audio"]["difference"] == pytest.approx((3 / 6 - 5 / 6 + 4 / 7 - 6 / 7) / 2)
    assert tests["audio"]["speakers"] == 2


def test_late_fusions_are_tested_against_branches_and_joint_networks() -> None:
    one = OUTCOMES[0]
    names = ("audio", "video", "early", "attention", "average", "weighted", "stacked")
    systems = dict.fromkeys(names, AUDIO[0])
    tests = protocol_scores([replace(one, systems=systems)], CLIPS)["tests"]
    assert [(test["a"], test["b"]) for test in tests] == [
        (late, other) for late in names[4:] for other in names[:4]
    ]
    assert {test["measure"] for test in tests} == {"accuracy"}


def test_clips_without_a_speaker_are_scored_but_are_nobody_s() -> None:
    clips = [clip(0, speaker=None), *CLIPS[1:]]
    scores = protocol_scores(OUTCOMES, clips)
    assert scores["folds"][0]["speakers"] == ["a"]
    audio = scores["systems"]["audio"]
    assert audio["held_out"]["clips"] == 8
    assert audio["by_speaker"]["a"]["clips"] == 3


def test_speakers_of_two_corpora_are_different_people() -> None:
    both = [clip(0, speaker="a"), clip(1, speaker="a", corpus="theirs")]
    assert speaker_names(both) == ["mine a", "theirs a"]
    assert speaker_names(both[:1]) == ["a"]
