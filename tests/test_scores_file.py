"""mien.lab.scores_file: what is read, and how damage is met."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mien.errors import InvalidArgument
from mien.lab.scores_file import read_history, read_scores
from sample_scores import sample_history, sample_scores, write_sample


@pytest.fixture(scope="module")
def scores() -> dict[str, Any]:
    return sample_scores()


def test_a_whole_file_is_read_as_it_is(scores: dict[str, Any], tmp_path: Path) -> None:
    assert read_scores(write_sample(tmp_path, scores)) == scores


@pytest.mark.parametrize("content", ["", "{", '{"schema": 1', "\xff\xfe", "[" * 100_000])
def test_a_damaged_file(content: str, tmp_path: Path) -> None:
    (tmp_path / "scores.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(InvalidArgument, match=r"is damaged .*run 'mien evaluate' again"):
        read_scores(tmp_path)


@pytest.mark.parametrize("content", ["[]", "3", "null", "{}", '{"schema": 2}', '{"schema": "1"}'])
def test_another_schema(content: str, tmp_path: Path) -> None:
    (tmp_path / "scores.json").write_text(content)
    with pytest.raises(InvalidArgument, match=r"must have schema 1, not .*; draw it with the mien"):
        read_scores(tmp_path)


def test_no_such_file_or_folder(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InvalidArgument, match="is missing; give the folder that"):
            read_scores(folder)
    (tmp_path / "file").touch()
    with pytest.raises(InvalidArgument, match="is missing; give the folder that"):
        read_scores(tmp_path / "file")


DAMAGES: dict[str, Callable[[Any], object]] = {
    "it has no 'command'": lambda scores: scores.pop("command"),
    "it has no 'protocols'": lambda scores: scores.pop("protocols"),
    "it has no protocol": lambda scores: scores["protocols"].clear(),
    "seconds is 'soon'": lambda scores: scores.update(seconds="soon"),
    "corpus.excluded.0 has no 'reason'": lambda scores: scores["corpus"]["excluded"][0].pop(
        "reason"
    ),
    "branches.audio has no 'recipe'": lambda scores: scores["branches"]["audio"].pop("recipe"),
    "protocols.luna5 has no system": lambda scores: scores["protocols"]["luna5"]["systems"].clear(),
    "protocols.luna5.folds.0 has no 'test'": lambda scores: scores["protocols"]["luna5"]["folds"][
        0
    ].pop("test"),
    "protocols.luna5.systems.audio has no 'held_out'": lambda scores: scores["protocols"]["luna5"][
        "systems"
    ]["audio"].pop("held_out"),
    "held_out.accuracy.value is '3'": lambda scores: scores["protocols"]["luna5"]["systems"][
        "audio"
    ]["held_out"]["accuracy"].update(value="3"),
    "audio.confusion is not 8 by 8 counts": lambda scores: scores["protocols"]["luna5"]["systems"][
        "audio"
    ]["confusion"][3].pop(),
}


@pytest.mark.parametrize(("message", "damage"), DAMAGES.items(), ids=DAMAGES)
def test_what_is_wrong_is_named(
    message: str, damage: Callable[[Any], object], scores: dict[str, Any], tmp_path: Path
) -> None:
    damaged = copy.deepcopy(scores)
    damage(damaged)
    with pytest.raises(InvalidArgument, match="is damaged") as caught:
        read_scores(write_sample(tmp_path, damaged))
    assert message in str(caught.value)


def test_curves_are_grouped_by_fold_and_seed(tmp_path: Path) -> None:
    write_sample(tmp_path, {}, sample_history())
    history = read_history(tmp_path / "history.csv")
    assert {name: sorted(networks) for name, networks in history.items()} == {
        "random80": ["attention", "audio", "early", "video"],
        "luna5": ["attention", "audio", "early", "video"],
    }
    assert len(history["random80"]["audio"]) == 1
    assert len(history["luna5"]["audio"]) == 5
    row = next(row for row in sample_history() if row["network"] == "video")
    curve = history["random80"]["video"][0]
    assert curve.epochs == tuple(range(1, 21))
    assert (curve.loss[0], curve.validation_loss[0]) == (row["loss"], row["val_loss"])


def test_epochs_are_sorted_and_validation_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    header = "protocol,fold,seed,network,epoch,loss,val_loss\n"
    path.write_text(header + "luna5,1,0,audio,2,0.5,\nluna5,1,0,audio,1,0.9,1.1\n")
    (curve,) = read_history(path)["luna5"]["audio"]
    assert curve.epochs == (1, 2)
    assert curve.loss == (0.9, 0.5)
    assert str(curve.validation_loss) == "(1.1, nan)"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("", "lacks epoch, fold, loss, network, protocol, seed, val_loss; run"),
        ("protocol,fold,seed,network,epoch,loss\n", "lacks val_loss; run 'mien evaluate' again"),
        (
            "protocol,fold,seed,network,epoch,loss,val_loss\nluna5,1,0,audio,one,1,1\n",
            "line 2: .*'one'.*; run 'mien evaluate' again",
        ),
        (
            "protocol,fold,seed,network,epoch,loss,val_loss\nl,1,0,audio,1,1,1\nl,1,0,au",
            "line 3: .*; run 'mien evaluate' again",
        ),
    ],
)
def test_a_damaged_history(rows: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text(rows)
    with pytest.raises(InvalidArgument, match=message):
        read_history(tmp_path / "history.csv")


def test_the_sample_is_json_as_it_would_be_written(scores: dict[str, Any]) -> None:
    assert json.loads(json.dumps(scores)) == scores
