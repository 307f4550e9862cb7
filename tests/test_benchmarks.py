"""The scripts of ``benchmark/`` run, and print what they say they measure."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import averages
import calibration
import steadiness
import stills
import timeline
import voices
from mien.emotions import EMOTIONS
from mien.verify import GOLDEN_CLIP
from tiny_fer2013 import embedder, fer2013
from tiny_ravdess import tiny_ravdess


def study(folder: Path, *, clips: int = 480) -> Path:
    """Make the tables of a study: two branches, each right most of the time."""
    chance = np.random.default_rng(0)
    (folder / "tables").mkdir(parents=True)
    truth = np.arange(clips) % 8
    for name in ("audio", "video"):
        rows = np.exp(2 * np.eye(8)[truth] + chance.normal(size=(clips, 8)))
        rows /= rows.sum(axis=1, keepdims=True)
        with (folder / "tables" / f"luna5-{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["clip", "fold", "truth", *EMOTIONS])
            for number, row in enumerate(rows):
                emotion = EMOTIONS[truth[number]]
                writer.writerow([f"{number}.wav", number // 8 % 5, emotion, *row.tolist()])
    return folder


def test_calibration_of_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert calibration.main([str(study(tmp_path))]) == 0
    printed = capsys.readouterr().out
    for told in ("faces of strangers", "on true pairs", "abstain below", "480"):
        assert told in printed


def test_calibration_without_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert calibration.main([str(tmp_path)]) == 2
    assert "luna5-audio.csv" in capsys.readouterr().err


def test_steadiness_of_a_clip(capsys: pytest.CaptureFixture[str]) -> None:
    assert steadiness.main([str(GOLDEN_CLIP)]) == 0
    assert "happy" in capsys.readouterr().out


def test_steadiness_of_what_is_no_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert steadiness.main([str(tmp_path / "none.mp4")]) == 1
    assert "none.mp4" in capsys.readouterr().err


def test_swing_is_the_largest_distance() -> None:
    rows = np.eye(8)[[0, 0, 1]]
    assert steadiness.swing(rows[:2]) == 0
    assert steadiness.swing(rows) == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
def test_averages_of_a_narrow_voice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_ravdess(tmp_path / "corpus")
    cache = str(tmp_path / "cache")
    few = ["--divide", "128", "--epochs", "1", "--cache", cache]
    assert averages.main([str(tmp_path / "corpus"), *few]) == 0
    assert "measured" in capsys.readouterr().out


def test_averages_of_no_corpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert averages.main([str(tmp_path / "none")]) == 2
    assert "none" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
def test_voices_of_a_small_corpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_ravdess(tmp_path / "corpus")
    assert voices.main([str(tmp_path / "corpus"), "--epochs", "1", "--cache", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    for told in ("listener 4", "counter 2", "all", "running", "measured"):
        assert told in printed


def test_voices_of_no_corpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert voices.main([str(tmp_path / "none")]) == 2
    assert "none" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
def test_stills_by_frozen_features(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faces, given = fer2013(tmp_path / "fer2013.zip"), embedder(tmp_path / "rows.onnx")
    few = ["--epochs", "1", "--train", "4", "--cache", str(tmp_path / "cache")]
    assert stills.main([str(faces), "--embedder", str(given), *few]) == 0
    words = capsys.readouterr().out.split()
    # Four of the six were trained on, and all six of the test part scored.
    assert words[words.index("rows") + 2 : words.index("rows") + 5 : 2] == ["4", "6"]


def test_stills_without_an_embedder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faces = fer2013(tmp_path / "fer2013.zip", stills=1)
    assert stills.main([str(faces), "--embedder", str(tmp_path / "none.onnx")]) == 2
    assert "no such embedder" in capsys.readouterr().err


def test_stills_of_a_corpus_without_parts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = embedder(tmp_path / "rows.onnx")
    assert stills.main([str(tiny_ravdess(tmp_path / "corpus")), "--embedder", str(given)]) == 2
    assert "must hold parts" in capsys.readouterr().err


@pytest.mark.slow
def test_timeline_of_a_short_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results" / "timeline.jsonl"
    few = ["--minutes", "0.1", "--memory-minutes", "0.05", "--results", str(results)]
    results.parent.mkdir()
    results.write_text("{}\n")
    assert timeline.main([str(GOLDEN_CLIP), *few]) == 0
    printed = capsys.readouterr().out
    for told in ("of real time", "as fast as predict", "MiB in 0.05 min"):
        assert told in printed
    earlier, found = map(json.loads, results.read_text().splitlines())
    assert earlier == {}
    # The clip of 3.8 s twice, a twentieth of a second apart.
    assert found["windows"] == 5
    assert found["seconds"] == pytest.approx(7.65, abs=0.1)
    assert found["times_predict"] > 1
    assert 100 < found["peak_mib_by_minutes"]["0.05"] < 1000
    assert found["hardware"]["cores"] > 0


def test_timeline_of_what_is_no_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert timeline.main([str(tmp_path / "none.mp4")]) == 1
    assert "none.mp4" in capsys.readouterr().err
