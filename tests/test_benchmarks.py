"""The scripts of ``benchmark/`` run, and print what they say they measure."""

import csv
import json
import random
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import averages
import batch
import calibration
import cold_start
import measuring
import memory
import peers
import service
import stages
import steadiness
import stills
import timeline
import training
import voices
from mien.bundle import DEFAULT_BUNDLE
from mien.emotions import EMOTIONS
from mien.media.stream import open_stream
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


@pytest.mark.slow
def test_service_for_a_moment(capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--seconds", "1", "--live", "3", "--clients", "4", "--mutated", "1", "--workers", "1"]
    assert service.main([str(GOLDEN_CLIP), *few]) == 0
    printed = capsys.readouterr().out
    for told in ("clips/s", "answers/s", "the next one 200", "open files"):
        assert told in printed


def test_service_of_no_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert service.main([str(tmp_path / "none.mp4")]) == 2
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
    for told in ("listener 4", "counter 4", "weigher 2", "all", "clear", "noisy"):
        assert told in printed


def test_a_job_ends_or_does_not() -> None:
    with subprocess.Popen(["sleep", "30"]) as job:
        assert not batch.ended(job, within_s=0.01)
        assert batch.kill_one(job.pid, random.Random(0)) == ["sleep"]
        assert batch.ended(job, within_s=20)
    assert batch.kill_one(job.pid, random.Random(0)) == []


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
    assert found["times_predict"] > 0
    assert 100 < found["peak_mib_by_minutes"]["0.05"] < 1000
    assert found["hardware"]["cores"] > 0


def test_timeline_of_what_is_no_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert timeline.main([str(tmp_path / "none.mp4")]) == 1
    assert "none.mp4" in capsys.readouterr().err


def results_of(folder: Path, name: str) -> list[dict[str, Any]]:
    """Read the rows that a benchmark has added."""
    (line,) = (folder / f"{name}.jsonl").read_text().splitlines()
    entry = json.loads(line)
    assert {"hardware", "versions", "git_commit", "time"} <= set(entry)
    rows: list[dict[str, Any]] = entry["rows"]
    return rows


def test_results_are_added_and_never_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seconds in (0.5, 1234.0):
        measuring.report("waiting", [{"what": "long", "seconds": seconds}], results=tmp_path)
    lines = (tmp_path / "waiting.jsonl").read_text().splitlines()
    assert [json.loads(line)["rows"][0]["seconds"] for line in lines] == [0.5, 1234.0]
    printed = capsys.readouterr().out
    assert "0.5" in printed
    assert "1234" in printed


def test_operations_of_a_product_are_counted(tmp_path: Path) -> None:
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        "product",
        [
            helper.make_tensor_value_info("a", kind, ["batch", 5, 3]),
            helper.make_tensor_value_info("b", kind, [3, 7]),
        ],
        [helper.make_tensor_value_info("c", kind, ["batch", 5, 7])],
    )
    onnx.save(helper.make_model(graph), tmp_path / "product.onnx")
    assert stages.operations(tmp_path / "product.onnx") == 2 * 5 * 3 * 7


def test_operations_of_the_default_networks_are_counted() -> None:
    for part in ("embedder", "audio", "video"):
        assert stages.operations(DEFAULT_BUNDLE / f"{part}.onnx") > 10_000


@pytest.mark.slow
def test_stages_of_the_default_bundle(tmp_path: Path) -> None:
    few = ["--clip", str(GOLDEN_CLIP), "--times", "1", "--results", str(tmp_path)]
    assert stages.main([*few, "--bundle", str(DEFAULT_BUNDLE)]) == 0
    rows = results_of(tmp_path, "stages")
    assert [row["stage"] for row in rows] == ["decode", "faces", "embed", "audio", "networks"]
    assert all(row["seconds"] > 0 and row["floor"] > 0 for row in rows)


@pytest.mark.slow
def test_starts_are_measured(tmp_path: Path) -> None:
    few = ["--clip", str(GOLDEN_CLIP), "--times", "1", "--clips", "2", "--results", str(tmp_path)]
    assert cold_start.main(few) == 0
    found = {row["what"]: row["seconds"] for row in results_of(tmp_path, "cold_start")}
    assert found["python -c pass"] < found["mien predict CLIP"]
    assert found["2 clips in one call"] < found["2 clips in 2 calls"]


def test_a_looped_clip_lasts_as_long_as_asked(tmp_path: Path) -> None:
    memory.looped(GOLDEN_CLIP, tmp_path / "long.mp4", seconds=19)
    with open_stream(tmp_path / "long.mp4", sample_rate=8_000) as stream:
        assert float(stream.duration) == pytest.approx(19, abs=0.5)
        assert stream.broken is None


@pytest.mark.slow
def test_memory_of_short_videos(tmp_path: Path) -> None:
    few = ["--clip", str(GOLDEN_CLIP), "--minutes", "0.1", "--results", str(tmp_path)]
    assert memory.main(few) == 0
    peaks = [row["peak MB"] for row in results_of(tmp_path, "memory")]
    assert len(peaks) == 2
    assert all(50 < peak < 2_000 for peak in peaks)


@pytest.mark.slow
def test_steps_of_training_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--steps", "1", "--networks", "paper video", "--results", str(tmp_path)]
    assert training.main([*few, "--ways", "jax float32", "none float32"]) == 0
    found, none = results_of(tmp_path, "training")
    assert found["clips a second"] > 0
    assert none["clips a second"] is None
    assert "did not run" in capsys.readouterr().err


def test_a_peer_that_cannot_be_installed_is_skipped_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: Any, **__: Any) -> float:
        raise subprocess.CalledProcessError(1, "pip", stderr="\nERROR: no matching distribution")

    monkeypatch.setattr(peers, "theirs_of", refused)
    few = ["--clip", str(GOLDEN_CLIP), "--peers", "fer", "--results", str(tmp_path)]
    assert peers.main(few) == 0
    assert "fer is skipped: ERROR: no matching distribution" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("peer", list(peers.PEERS))
def test_our_part_beside_a_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, peer: str) -> None:
    monkeypatch.setattr(peers, "theirs_of", lambda *_, **__: 2.0)
    few = ["--clip", str(GOLDEN_CLIP), "--times", "1", "--results", str(tmp_path)]
    assert peers.main([*few, "--peers", peer]) == 0
    (row,) = results_of(tmp_path, "peers")
    assert row["times faster"] == row["ours"] / 2


SMALL = {"width": 64, "depth": 2, "heads": 4, "inner": 128}


@pytest.fixture(scope="module")
def small_paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the paper's system with a small Vision Transformer."""
    pytest.importorskip("transformers", reason="comparing needs transformers: make reference")
    import random_paper

    folder = tmp_path_factory.mktemp("paper")
    random_paper.make(random_paper.VitSize(**SMALL), folder)
    return folder


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_straightforward_way_answers_alike(small_paper: Path, tmp_path: Path) -> None:
    import end_to_end

    few = ["--clip", str(GOLDEN_CLIP), "--times", "1", "--results", str(tmp_path)]
    assert end_to_end.main([*few, "--paper", str(small_paper)]) == 0
    rows = {row["way"]: row for row in results_of(tmp_path, "end_to_end")}
    assert list(rows) == ["naive", "default bundle", "paper, f32", "paper, auto"]
    assert rows["paper, f32"]["emotion"] == rows["naive"]["emotion"]
    assert rows["paper, f32"]["from f32"] == 0
    assert rows["paper, f32"]["from naive"] < 0.1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_an_accelerator_s_way_runs_without_one_too(small_paper: Path, tmp_path: Path) -> None:
    import accelerator

    few = ["--clip", str(GOLDEN_CLIP), "--times", "1", "--clips", "2", "--results", str(tmp_path)]
    assert accelerator.main([*few, "--any", "--paper", str(small_paper)]) == 0
    (row,) = results_of(tmp_path, "accelerator")
    assert row["clips a second"] > 0


def test_without_an_accelerator_it_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers", reason="comparing needs transformers: make reference")
    import accelerator

    monkeypatch.setattr("jax.default_backend", lambda: "cpu")
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    assert accelerator.main([]) == 0
    assert "finds one here" in capsys.readouterr().err
