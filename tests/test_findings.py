"""mien.lab.findings: what is said of known scores."""

import copy
from typing import Any

import pytest

from mien.lab.findings import best_system, findings, systems_in_focus


def system(accuracy: float | None, *, clips: int = 1440) -> dict[str, Any]:
    measure = {"value": accuracy, "ci95": None if accuracy is None else [0.1, 0.2]}
    return {
        "held_out": {
            "clips": clips,
            "accuracy": measure,
            "uar": {"value": 0.5, "ci95": None},
            "interval_over": "speakers",
        }
    }


def protocol(apart: bool, tests: list[Any] | None = None, /, **accuracies: Any) -> dict[str, Any]:
    return {
        "speakers_apart": apart,
        "tests": tests or [],
        "systems": {name: system(accuracy) for name, accuracy in accuracies.items()},
    }


def paired(a: str, b: str, difference: float | None, p: float | None) -> dict[str, Any]:
    measured = {"measure": "accuracy", "speakers": 24}
    return {"a": a, "b": b, "difference": difference, "p": p, **measured}


def told(protocols: dict[str, Any]) -> list[tuple[str, str]]:
    """Give headlines and texts with ordinary spaces."""
    return [
        (each.headline.replace("\N{NO-BREAK SPACE}", " "), each.text.replace("\xa0", " "))
        for each in findings({"protocols": protocols})
    ]


def test_the_fall_from_known_to_unseen_speakers_comes_first() -> None:
    random80 = protocol(False, audio=0.7, average=0.91)
    luna5 = protocol(True, audio=0.6, average=0.54)
    (headline, text), *_ = told({"random80": random80, "luna5": luna5})
    assert headline == "91.0 % on known speakers (random80), on unseen ones 54.0 % (luna5)"
    assert "The same system, average: 37.0 points lower." in text


def test_one_fall_names_all_strict_protocols() -> None:
    strict = {"luna5": protocol(True, audio=0.5), "loso24": protocol(True, audio=0.8)}
    (headline, text), *_ = told({"random80": protocol(False, audio=0.7), **strict})
    assert headline.endswith("on unseen ones 50.0 % (luna5) and 80.0 % (loso24)")
    assert "20.0 points lower and 10.0 points higher" in text


def test_the_fall_is_of_a_system_that_all_protocols_have() -> None:
    random80 = protocol(False, audio=0.7, attention=0.99)
    (headline, _), *_ = told({"random80": random80, "luna5": protocol(True, audio=0.5)})
    assert headline.startswith("70.0 %")


def test_scores_that_do_not_exist_make_no_step() -> None:
    (headline, text), *_ = told(
        {"random80": protocol(False, audio=0.7), "luna5": protocol(True, audio=None)}
    )
    assert headline.endswith("on unseen ones - (luna5)")
    assert text.startswith("The same system, audio. ")


def test_it_is_said_when_no_speaker_was_unseen() -> None:
    headlines = [headline for headline, _ in told({"random80": protocol(False, audio=0.7)})]
    assert headlines[0] == "Nothing here was measured on unseen speakers"
    assert not any("unseen ones" in headline for headline in headlines)


def test_nothing_falls_without_a_leaking_protocol() -> None:
    assert [headline for headline, _ in told({"luna5": protocol(True, audio=0.7)})] == [
        "luna5, unseen speakers: 70.0 % (10.0 to 20.0)"
    ]


def test_the_best_system_and_how_it_was_picked() -> None:
    ((headline, text),) = told({"luna5": protocol(True, audio=0.6, average=0.7, early=0.65)})
    assert headline == "luna5, unseen speakers: 70.0 % (10.0 to 20.0)"
    assert text == (
        "Accuracy of average, the best of 3 systems, picked by these very scores, on 1,440 "
        "held-out clips; unweighted average recall 50.0 %. In brackets: the 95 % interval over "
        "speakers."
    )


def test_shuffled_labels_are_told_first() -> None:
    protocols = {"luna5": protocol(True, audio=0.13)}
    shuffled, _ = findings({"protocols": protocols, "settings": {"shuffled_test_labels": True}})
    assert "shuffled on purpose" in shuffled.headline
    settings = {"shuffled_test_labels": False}
    assert len(findings({"protocols": protocols, "settings": settings})) == 1


def test_no_interval_where_there_is_none() -> None:
    scores = protocol(True, audio=0.6)
    scores["systems"]["audio"]["held_out"]["accuracy"]["ci95"] = [float("nan"), None]
    ((headline, text),) = told({"luna5": scores})
    assert headline == "luna5, unseen speakers: 60.0 %"
    assert "the only system" in text
    assert "interval" not in text


def test_the_fusion_against_branches_and_other_fusions() -> None:
    tests = [
        paired("average", "audio", 0.08, 0.0001),
        paired("average", "attention", 0.03, 0.2),
        paired("average", "early", -0.05, 0.04),
        paired("average", "log_average", 0.5, 0.0001),
    ]
    *_, (headline, text) = told({"luna5": protocol(True, tests, average=0.7, audio=0.6)})
    assert headline == (
        "luna5, average fusion: better than audio; worse than early; no clear difference from "
        "attention"
    )
    assert text.startswith(
        "Its accuracy is 8.0 points above audio (p < 0.001), 5.0 points below early (p = 0.04) "
        "and 3.0 points above attention (p = 0.2)."
    )
    assert "over 24 speakers" in text


def test_a_test_written_the_other_way_round_is_turned() -> None:
    tests = [paired("early", "average", -0.05, 0.01)]
    *_, (headline, text) = told({"luna5": protocol(True, tests, average=0.7, early=0.65)})
    assert headline == "luna5, average fusion: better than early"
    assert "5.0 points above early" in text


@pytest.mark.parametrize("p", [None, float("nan")])
def test_without_p_nothing_is_claimed(p: float | None) -> None:
    tests = [paired("average", "audio", 0.3, p)]
    *_, (headline, text) = told({"luna5": protocol(True, tests, average=0.7, audio=0.4)})
    assert headline == "luna5, average fusion: no clear difference from audio"
    assert "(not tested)" in text


def test_another_late_fusion_where_the_average_was_not_tested() -> None:
    tests = [paired("weighted", "audio", 0.1, 0.01), paired("stacked", "audio", 0.2, 0.01)]
    *_, (headline, _) = told({"luna5": protocol(True, tests, weighted=0.6, stacked=0.7, audio=0.5)})
    assert headline == "luna5, stacked fusion: better than audio"


def test_the_papers_average_is_told_of_even_where_another_is_better() -> None:
    tests = [paired("stacked", "audio", 0.2, 0.01), paired("average", "audio", 0.1, 0.01)]
    *_, (headline, _) = told({"luna5": protocol(True, tests, average=0.6, stacked=0.7, audio=0.5)})
    assert headline == "luna5, average fusion: better than audio"


def test_tests_without_a_late_fusion_are_not_told() -> None:
    tests = [paired("early", "audio", 0.1, 0.01)]
    assert len(told({"luna5": protocol(True, tests, early=0.7, audio=0.6)})) == 1


def test_the_best_of_equals_is_the_first_in_order() -> None:
    assert best_system(protocol(True, early=0.5, audio=0.5), among=["early", "audio"]) == "audio"
    assert best_system(protocol(True, audio=0.5), among=["early"]) is None
    assert best_system(protocol(True, audio=None, video=0.1), among=["audio", "video"]) == "video"


@pytest.mark.parametrize(
    ("systems", "focus"),
    [
        (
            {"average": 0.5, "stacked": 0.6, "attention": 0.9, "video": 0.1, "audio": 0.1},
            ["audio", "video", "stacked"],
        ),
        ({"audio": 0.5}, ["audio"]),
        ({"audio": 0.5, "early": 0.4}, ["audio", "early"]),
        ({"mine": 0.5, "theirs": 0.4}, ["mine", "theirs"]),
    ],
)
def test_branches_and_the_best_fusion_are_in_focus(
    systems: dict[str, float], focus: list[str]
) -> None:
    assert systems_in_focus(protocol(True, **systems)) == focus


def test_scores_are_left_as_they_were() -> None:
    tests = [paired("early", "average", -0.05, 0.01)]
    protocols = {"luna5": protocol(True, tests, average=0.7, early=0.65)}
    before = copy.deepcopy(protocols)
    findings({"protocols": protocols})
    assert protocols == before
