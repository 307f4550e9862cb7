import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data

import mien
from media_samples import claim_duration, clip_bytes, sine, sound_bytes, still_bytes
from mien import cli
from mien.bundle import DEFAULT_BUNDLE
from mien.calibration import USUAL_RATE
from mien.commands import shared
from mien.errors import BundleNotFound, InvalidArgument
from mien.lab.evaluate import EvaluationOptions
from mien.lab.study import FUSIONS
from mien.lab.training_data import TrainingOptions

EXAMPLE = DEFAULT_BUNDLE.parent / "astronaut.mp4"
SECONDS = 10
BYTES = 10**9


def run(*arguments: str | Path) -> int:
    """Run the command line in this process and give its exit code."""
    original = sys.argv
    sys.argv = ["mien", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        sys.argv = original
    return 0


def run_measured(*arguments: str | Path) -> tuple[subprocess.CompletedProcess[str], int]:
    """Run the command line as users do; give what it printed and its peak memory in bytes."""
    # Not getrusage: a child's peak starts with its parent's, and tests make large clips.
    script = (
        "import atexit, os, pathlib; from mien.cli import main; "
        "status = pathlib.Path('/proc/self/status'); "
        "atexit.register(lambda: os.write(1, status.read_bytes())); main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    printed, _, status = done.stdout.partition("Name:")
    done.stdout = printed
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return done, int(peak) * 1024


def test_predict_prints_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("predict", EXAMPLE) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    for word in ("audio", "video", "fused", "surprised", "used: sounds ", "total"):
        assert word in printed.out


def test_predict_abstains_when_it_is_not_sure_enough(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("predict", EXAMPLE, "--abstain-below", "1", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["emotion"], answer["abstained"]) == (None, True)
    assert answer["confidence"] == max(answer["probabilities"].values())


@pytest.mark.parametrize(("asked", "told"), [((), USUAL_RATE), (("--set-rate", "0.75"), 0.75)])
def test_set_rate_is_as_in_python(
    asked: tuple[str, ...], told: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []

    def noted(*_: object, set_rate: float, **__: object) -> None:
        given.append(set_rate)
        raise InvalidArgument("far enough")

    monkeypatch.setattr("mien.recognise.Recogniser", noted)
    assert run("predict", EXAMPLE, *asked) == 2
    assert given == [told]


def test_predict_prints_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("predict", EXAMPLE, "missing.mp4", EXAMPLE, "--json") == cli.SOME_CLIP_FAILED
    first, failed, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert failed["error"]["type"] == "UnreadableClip"
    assert first["clip"] == last["clip"] == str(EXAMPLE)
    assert first["probabilities"] == last["probabilities"]


def test_predict_writes_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "table.csv"
    assert run("predict", EXAMPLE, "--json", "--out", out) == 0
    (row,) = csv.DictReader(out.read_text("utf-8").splitlines())
    printed = json.loads(capsys.readouterr().out)
    assert float(row["happy"]) == printed["probabilities"]["happy"]


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_file_names_that_are_no_text(tmp_path: Path, options: list[str]) -> None:
    names = [os.fsdecode(b"caf\xe9.mp4"), "[bold] smile.mp4", "-dash\nline.mp4"]
    for name in names:
        (tmp_path / name).write_bytes(EXAMPLE.read_bytes())
    broken = tmp_path / os.fsdecode(b"\xff.mp4")
    broken.write_bytes(b"nothing")
    clips = [*(tmp_path / name for name in names), broken]
    done, _ = run_measured("predict", *clips, *options, "--out", tmp_path / "out.csv")
    assert done.returncode == cli.SOME_CLIP_FAILED
    assert "Traceback" not in done.stderr
    assert (tmp_path / "out.csv").read_bytes().count(b"caf\xe9.mp4") == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--device", "cuda"], "onnxruntime-gpu"),
        (["--device", "abacus"], "cpu, cuda"),
        (["--bundle", "nowhere"], "no bundle here"),
        (["--detector", "dlib"], "haar"),
        (["--detector", "yunet"], "yunet"),
        (["--detector-model", "yunet.onnx"], "--detector yunet"),
        (["--detector", "yunet", "--detector-model", "none.onnx"], "none.onnx"),
        (["--out", "table.xlsx"], ".jsonl, .json or .csv"),
        (["--abstain-below", "1.5"], "a probability, 0 to 1"),
        (["--abstain-below", "nan"], "a probability, 0 to 1"),
        (["--set-rate", "1"], "set_rate must be 0.5 to 0.99"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if told == "onnxruntime-gpu" and _has_cuda():
        pytest.skip("this ONNX Runtime can compute on CUDA")
    assert run("predict", EXAMPLE, *arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert told in printed.err
    assert len(printed.err.splitlines()) == 1


def _has_cuda() -> bool:
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def test_out_never_overwrites_a_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = tmp_path / "clip.csv"
    clip.write_bytes(EXAMPLE.read_bytes())
    assert run("predict", clip, "--out", clip) == 2
    assert "overwrite" in capsys.readouterr().err
    assert clip.read_bytes() == EXAMPLE.read_bytes()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "full.csv"
    out.symlink_to("/dev/full")
    assert run("predict", EXAMPLE, "--json", "--out", out) == 2
    assert "No space left" in capsys.readouterr().err


def test_terminal_that_is_not_utf_8() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mien", "predict", EXAMPLE],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "surprised" in done.stdout


def test_training_needs_the_jax_backend(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert run("train", ".", "--out", "b") == 2
    assert "KERAS_BACKEND must be jax" in capsys.readouterr().err


def test_unknown_option_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("predict", EXAMPLE, "--loud") == 2
    assert "--loud" in capsys.readouterr().err


@pytest.mark.parametrize("place", [0, 4])
def test_debug_shows_where_an_error_arose(place: int) -> None:
    arguments = ["predict", str(EXAMPLE), "--bundle", "nowhere"]
    arguments.insert(place, "--debug")
    with pytest.raises(BundleNotFound):
        run(*arguments)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"mien {mien.__version__}\n"


def test_bundle_show_and_verify(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bundle", "show") == 0
    assert "held out" in capsys.readouterr().out
    assert run("bundle", "verify", DEFAULT_BUNDLE) == 0
    assert "good" in capsys.readouterr().out
    assert run("bundle", "verify", "nowhere") == 2


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info") == 0
    assert "onnxruntime" in capsys.readouterr().out


def test_lab_commands_say_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shared, "find_spec", lambda name: None)
    for command in (
        ["train", ".", "--out", "b"],
        ["evaluate", ".", "--out", "e"],
        ["report", "."],
        ["embedder", "convert", "vit", "--out", "e.onnx"],
    ):
        assert run(*command) == 2
        assert "pip install 'mien[lab]'" in capsys.readouterr().err


def test_training_passes_its_options_on_and_can_be_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    seen: list[TrainingOptions] = []

    def interrupted(data: list[Path], out: Path, *, options: TrainingOptions) -> None:
        seen.append(options)
        raise KeyboardInterrupt

    monkeypatch.setattr("mien.lab.train.train_bundle", interrupted)
    out = tmp_path / "bundle"
    asked = ["--preset", "mien", "--hold-out", "02, 05", "--epochs", "3", "--resume", "--song"]
    assert run("train", tmp_path, "--out", out, *asked) == shared.INTERRUPTED
    assert "--resume goes on" in capsys.readouterr().err
    assert seen == [
        TrainingOptions(
            work=tmp_path / "bundle.work",
            preset="mien",
            hold_out=("02", "05"),
            epochs=3,
            resume=True,
            song=True,
        )
    ]


def test_evaluation_passes_its_options_on_and_can_be_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    seen: list[EvaluationOptions] = []

    def interrupted(data: list[Path], out: Path, *, options: EvaluationOptions) -> None:
        seen.append(options)
        raise KeyboardInterrupt

    monkeypatch.setattr("mien.lab.evaluate.evaluate", interrupted)
    asked = [
        "--protocol",
        "luna5, loso24",
        "--fusion",
        "all",
        "--seeds",
        "2",
        "--allow-leak",
        "why",
    ]
    assert run("evaluate", tmp_path, "--out", tmp_path / "e", *asked) == shared.INTERRUPTED
    assert "--resume goes on" in capsys.readouterr().err
    (options,) = seen
    assert options.protocols == ("luna5", "loso24")
    assert options.fusions == FUSIONS
    assert (options.preset, options.seeds, options.allow_leak) == ("paper", 2, "why")
    assert options.command.startswith(f"mien evaluate {tmp_path} --out")


def test_training_takes_a_fold_or_speakers_not_both(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    both = ["--protocol", "luna5", "--hold-out", "02"]
    assert run("train", tmp_path, "--out", tmp_path / "b", *both) == 2
    assert "give one" in capsys.readouterr().err


def bad_inputs(folder: Path) -> dict[str, Path]:
    """Everything that users have fed to tools of this kind and should not have."""
    good = clip_bytes(frames=20, waveform=sine(300, seconds=2, rate=22_050))
    contents = {
        "empty.mp4": b"",
        "text.mp4": b"hello, this is no video\n" * 99,
        "truncated.mp4": EXAMPLE.read_bytes()[:90_000],
        "no_moov.mp4": good[: good.index(b"moov") - 4],
        "ten_hours.mp4": claim_duration(clip_bytes(frames=10, fps=10), 36_000),
        "one_frame.mp4": clip_bytes(frames=1),
        "all_zero.wav": sound_bytes(np.zeros((1, 22_050), np.float32), rate=22_050),
        "header_only.wav": b"RIFF\0\0\0\0WAVEfmt ",
        "tiny.png": still_bytes(np.zeros((16, 16, 3), np.uint8)),
        "huge.png": still_bytes(np.zeros((4320, 7680, 3), np.uint8)),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "folder.mp4").mkdir()
    os.mkfifo(folder / "pipe.mp4")
    return {path.name: path for path in sorted(folder.iterdir())} | {
        "missing.mp4": folder / "missing.mp4"
    }


def test_bad_input_gets_a_reason_and_the_others_go_on(tmp_path: Path) -> None:
    bad = bad_inputs(tmp_path)
    clips = [EXAMPLE, *bad.values(), EXAMPLE]
    done, memory = run_measured("predict", *clips, "--json")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == cli.SOME_CLIP_FAILED
    assert done.stderr == ""
    assert memory < BYTES, memory
    assert [answer["clip"] for answer in answers] == list(map(str, clips))
    assert answers[0]["probabilities"] == answers[-1]["probabilities"]
    for answer in answers[1:-1]:
        if "error" in answer:
            message = answer["error"]["message"]
            assert answer["clip"] in message
            assert len(message.splitlines()) == 1
        else:
            assert answer["seconds"]["total"] < SECONDS
            assert answer["audio"]["reason"] or answer["audio"]["used"]
            assert answer["video"]["reason"] or answer["video"]["used"]
            assert answer["video"]["probabilities"] is None
    failed = {Path(answer["clip"]).name for answer in answers if "error" in answer}
    readable = {"ten_hours.mp4", "one_frame.mp4", "tiny.png", "huge.png", "truncated.mp4"}
    assert failed >= set(bad) - readable
    assert failed.isdisjoint({"ten_hours.mp4", "one_frame.mp4", "tiny.png", "huge.png"})


@pytest.mark.slow
def test_8k_video_with_a_face_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "8k.mp4"
    face = np.kron(skimage.data.astronaut()[:288], np.ones((15, 15, 1), np.uint8))
    path.write_bytes(clip_bytes(frames=24, size=(7680, 4320), image_of_frame=lambda _: face))
    done, memory = run_measured("predict", path, "--json")
    assert json.loads(done.stdout)["faces_found"] == 1.0
    assert memory < BYTES, memory
