import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from mien import EMOTIONS, Failure, Prediction
from mien.bundle import load_bundle
from mien.calibration import AnswerCalibration, Calibration
from mien.errors import InvalidArgument
from mien.windows import Branch
from mien.writers import TableWriter, bundle_panel, json_line, panel

HAPPY = dict.fromkeys(EMOTIONS, 0.04) | {"happy": 0.72}
PREDICTION = Prediction(
    clip="ünïcode, with comma.mp4",
    emotion="happy",
    confidence=0.72,
    abstained=False,
    set=("happy", "surprised"),
    set_rate=0.9,
    probabilities=HAPPY,
    audio=Branch(True, None, HAPPY),
    video=Branch(False, "a face in 2 of 22 frames", None),
    duration_s=3.35,
    faces_found=0.091,
    bundle={"name": "default", "sha256": "00"},
    seconds={"decode": 0.1, "faces": 0.2, "embed": 0.0, "audio": 0.01, "total": 0.31},
)
FAILURE = Failure("bad.mp4", "UnreadableClip", "bad.mp4: empty; copy it again")


def text_of(renderable: object, width: int = 100) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(renderable)
    console.file.close()
    return console.export_text()


@pytest.mark.parametrize("ending", [".jsonl", ".json"])
def test_json_lines_come_back(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    with TableWriter(path) as writer:
        writer.write(PREDICTION)
        writer.write(FAILURE)
    first, second = (json.loads(line) for line in path.read_text("utf-8").splitlines())
    assert first == PREDICTION.to_dict()
    assert second == {
        "clip": "bad.mp4",
        "error": {"type": "UnreadableClip", "message": "bad.mp4: empty; copy it again"},
    }


def test_table_has_the_contract_s_columns(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with TableWriter(path) as writer:
        writer.write(PREDICTION)
        writer.write(FAILURE)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["clip", *EMOTIONS]
    assert rows[0]["clip"] == PREDICTION.clip
    assert float(rows[0]["happy"]) == 0.72
    assert rows[1] == {"clip": "bad.mp4", **dict.fromkeys(EMOTIONS, "")}


def test_each_answer_is_on_disk_at_once(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with TableWriter(path) as writer:
        writer.write(PREDICTION)
        assert path.read_text("utf-8").endswith("}\n")


def test_other_endings_list_the_choices(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"\.jsonl, \.json or \.csv, not 'out\.xlsx'"):
        TableWriter(tmp_path / "out.xlsx")


def test_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="folder that exists"):
        TableWriter(tmp_path / "nowhere" / "out.csv")


def test_json_is_one_line() -> None:
    assert "\n" not in json_line(PREDICTION)


def test_panel_shows_bars_reasons_and_times() -> None:
    text = text_of(panel(PREDICTION))
    assert "happy 72%" in text
    assert "audio  used: sounds happy, 72%" in text
    assert "video  not used: a face in 2 of 22 frames" in text
    assert "total 0.31 s" in text
    bars = {line.split()[0]: line.count("█") for line in text.splitlines() if "%" in line}
    # Audio and fused show the same 72 % of twelve characters: eight whole ones each.
    assert bars["happy"] == 16
    assert bars["sad"] == 0


@pytest.mark.parametrize("width", [40, 50, 60, 80, 200])
def test_no_terminal_is_too_narrow_for_the_answer(width: int) -> None:
    lines = text_of(panel(PREDICTION, width=width), width=width).splitlines()
    (happy,) = (line for line in lines if line.startswith("happy  "))
    assert happy.count("72%") == 2


def test_panel_tells_the_set_and_what_it_promises() -> None:
    told = "set    happy, surprised  such sets hold the truth in 90% of clips"
    assert told in text_of(panel(PREDICTION))
    alone = replace(PREDICTION, set=("happy",), set_rate=0.5)
    assert "set    happy  such sets hold the truth in 50% of clips" in text_of(panel(alone))


def test_panel_of_a_bundle_without_calibration_says_so() -> None:
    assert "confidence is not calibrated" in text_of(panel(replace(PREDICTION, set=None)))


def test_panel_of_an_abstention_says_what_it_would_have_been() -> None:
    text = text_of(panel(replace(PREDICTION, emotion=None, abstained=True)))
    assert "not sure enough: happy 72%" in text
    # No emotion is shown as the answer.
    assert "happy 72%, or else" in text


def test_panel_without_an_answer_says_so() -> None:
    nothing = Prediction(
        **{
            **vars(PREDICTION),
            "emotion": None,
            "confidence": None,
            "set": None,
            "probabilities": None,
            "audio": Branch(False, "no audio stream", None),
        }
    )
    text = text_of(panel(nothing))
    assert "no answer" in text
    assert "set " not in text
    assert "audio  not used: no audio stream" in text


def test_bundle_panel_names_scores_and_terms() -> None:
    text = text_of(bundle_panel(load_bundle()), width=200)
    for word in ("audio", "video", "embedder", "held out", "licence", "calibrated"):
        assert word in text


@pytest.mark.parametrize("branches", [["audio"], ["audio", "video"]])
def test_bundle_panel_tells_how_it_is_calibrated(branches: list[str]) -> None:
    bundle = load_bundle()
    plain = Calibration.none(branches, fusion="log_average")
    text = text_of(bundle_panel(replace(bundle, calibration=plain)), width=200)
    assert "log_average" in text
    assert text.count("not calibrated: may be far") == len(plain.answers)
    fitted = AnswerCalibration(temperature=1.25, clips=480, thresholds=(0.1,) * 50)
    warmed = replace(plain, answers={**plain.answers, "audio": fitted})
    text = text_of(bundle_panel(replace(bundle, calibration=warmed)), width=200)
    (line,) = (line for line in text.splitlines() if line.startswith("confidence, audio"))
    assert "calibrated on 480 clips, temperature 1.25" in line
    assert text.count("not calibrated: may be far") == len(plain.answers) - 1


def test_bundle_panel_calls_held_out_only_what_was() -> None:
    bundle = load_bundle()
    scores = {"audio": {"clips": 3, "by": {"sex": {}}}, "audio calibrated": {"clips": 5}}
    found = replace(bundle, manifest={**bundle.manifest, "scores": scores})
    lines = [line.split("  ")[0] for line in text_of(bundle_panel(found), width=200).splitlines()]
    assert "held out, audio" in lines
    assert "audio calibrated" in lines
