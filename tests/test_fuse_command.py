"""mien fuse: what is printed and written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from mien.commands.fuse import fuse
from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument
from mien.fusion import fuse as fuse_branches
from mien.lab.intervals import scores
from mien.tables import PredictionTable, read_table, write_table

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(fuse)

KEYS = tuple(
    f"01-{emotion:02d}-01-01-01-{actor:02d}" for emotion in range(1, 9) for actor in range(1, 7)
)
TRUTH = np.repeat(np.arange(8), 6)
SPEAKERS = [key[-2:] for key in KEYS]


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "120"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def branch(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    weights = rng.gamma(0.5, size=(48, 8)) + 0.8 * np.eye(8)[TRUTH]
    probabilities: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return probabilities


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    path = tmp_path / "audio.csv"
    clips = tuple(f"Actor/03-{key}.wav" for key in KEYS)
    write_table(PredictionTable(clips=clips, probabilities=branch(0)), path)
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "video.csv"
    write_table(PredictionTable(clips=KEYS, probabilities=branch(1)), path)
    return path


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], {}),
        (["--method", "weighted", "--weights", "0.4,0.6"],
         {"method": "weighted", "weights": [0.4, 0.6]}),
        (["--method", "log_average"], {"method": "log_average"}),
    ],
)  # fmt: skip
def test_json_is_the_contract_s(
    audio: Path, video: Path, arguments: list[str], options: dict[str, object]
) -> None:
    result = run(audio, video, "--json", *arguments)
    fused = fuse_branches(branch(0), branch(1), **options)  # type: ignore[call-overload]
    expected = scores(TRUTH, fused, groups=SPEAKERS)
    found = json.loads(result.stdout)
    assert list(found) == ["clips", "accuracy", "uar", "f1_macro"]
    assert found["clips"] == 48
    for name in ("accuracy", "uar", "f1_macro"):
        assert list(found[name]) == ["value", "ci95"]
        assert found[name]["value"] == pytest.approx(expected[name]["value"], abs=1e-12)
        assert found[name]["ci95"] == pytest.approx(expected[name]["ci95"], abs=1e-12)
    assert result.stderr == ""


def test_people_see_each_table_and_the_fusion(audio: Path, video: Path) -> None:
    lines = run(audio, video).stdout.splitlines()
    assert lines[0].split() == ["clips", "accuracy", "UAR", "macro-F1"]
    for line, title, probabilities in zip(
        lines[1:],
        ["audio.csv", "video.csv", "fused, average"],
        [branch(0), branch(1), (branch(0) + branch(1)) / 2],
        strict=False,
    ):
        share = scores(TRUTH, probabilities, groups=SPEAKERS)["accuracy"]
        low, high = share["ci95"]
        assert line.startswith(title)
        assert f"48     {100 * share['value']:.1f} [{100 * low:.1f}, {100 * high:.1f}]" in line
    assert lines[4] == "In brackets: 95 % intervals, bootstrap over speakers."


def test_one_table_is_scored_alone(audio: Path) -> None:
    result = run(audio)
    assert len(result.stdout.splitlines()) == 3
    assert "fused" not in result.stdout


def test_files_of_one_name_are_told_apart_by_folder(audio: Path, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "audio.csv").write_bytes(audio.read_bytes())
    text = run(audio, tmp_path / "b" / "audio.csv").stdout.replace("\n", "")
    assert "b/audio.csv" in text.replace(" ", "")


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_the_fused_table_is_written(audio: Path, video: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"fused{ending}"
    run(audio, video, "--out", out)
    table = read_table(out)
    assert table.clips == KEYS
    assert table.truth == tuple(EMOTIONS[label] for label in TRUTH)
    np.testing.assert_allclose(table.probabilities, (branch(0) + branch(1)) / 2, rtol=1e-12)
    assert run(out, "--json").stdout == run(audio, video, "--json").stdout


def test_clips_of_one_table_are_fused_from_it_alone(audio: Path, tmp_path: Path) -> None:
    part = tmp_path / "part.csv"
    write_table(PredictionTable(clips=KEYS[:10], probabilities=branch(1)[:10]), part)
    out = tmp_path / "fused.csv"
    result = run(audio, part, "--out", out)
    assert "38 of 48 clips are only in one table" in result.stderr
    assert f"{part} lacks 38" in result.stderr
    assert str(audio) not in result.stderr
    fused = read_table(out).probabilities
    np.testing.assert_allclose(fused[10:], branch(0)[10:], rtol=1e-12)
    np.testing.assert_allclose(fused[:10], (branch(0) + branch(1))[:10] / 2, rtol=1e-12)


def test_of_three_tables_each_says_what_it_lacks(audio: Path, video: Path, tmp_path: Path) -> None:
    parts = []
    for number, kept in enumerate((slice(0, 40), slice(8, 48))):
        parts.append(tmp_path / f"part{number}.csv")
        write_table(
            PredictionTable(clips=KEYS[kept], probabilities=branch(number)[kept]), parts[-1]
        )
    stderr = run(video, *parts).stderr
    assert f"clips are not in every table ({parts[0]} lacks 8, {parts[1]} lacks 8)" in stderr


def test_clips_without_an_answer_are_told_and_not_scored(tmp_path: Path) -> None:
    probabilities = branch(0)
    probabilities[:3] = np.nan
    path = tmp_path / "table.csv"
    write_table(PredictionTable(clips=KEYS, probabilities=probabilities), path)
    result = run(path, "--json")
    assert "3 clips have no answer in any table; they are not scored" in result.stderr
    found = json.loads(result.stdout)
    right = (branch(0)[3:].argmax(axis=1) == TRUTH[3:]).mean()
    assert found["clips"] == 45
    assert found["accuracy"]["value"] == pytest.approx(right)


def test_truth_may_be_a_column(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    truth = tuple(EMOTIONS[label] for label in TRUTH[:-1])
    clips = tuple(f"clip {number}.mp4" for number in range(48))
    write_table(PredictionTable(clips=clips, probabilities=branch(0), truth=(*truth, None)), path)
    result = run(path)
    assert "the truth of 1 of 48 clips is not known" in result.stderr
    assert result.stdout.splitlines()[1].split()[:2] == ["table.csv", "47"]
    assert "bootstrap over clips" in result.stdout


def test_without_truth_the_table_is_written_and_no_scores_are_claimed(tmp_path: Path) -> None:
    path, out = tmp_path / "table.csv", tmp_path / "out.csv"
    write_table(PredictionTable(clips=("a.mp4",), probabilities=np.full((1, 8), 0.125)), path)
    result = run(path, "--out", out)
    assert result.stdout == ""
    assert "the truth of 1 of 1 clips is not known" in result.stderr
    assert read_table(out).truth is None
    found = json.loads(run(path, "--json").stdout)
    assert found == {"clips": 0, "accuracy": None, "uar": None, "f1_macro": None}


def test_a_table_is_not_overwritten(audio: Path, video: Path, tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(audio)
    before = audio.read_bytes()
    for out in (audio, tmp_path / "link.csv"):
        with pytest.raises(InvalidArgument, match="is one of the tables, which it would overwrite"):
            run(audio, video, "--out", out)
    assert audio.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weights", "a,b", "--method", "weighted"], "--weights must be numbers with commas"),
        (["--weights", "1,1"], "weights belong to the method weighted"),
        (["--method", "weighted"], "weights belong to the method weighted"),
        (["--weights", "1", "--method", "weighted"], "weights must be 2 numbers"),
        (["--method", "stacked"], "method must be one of average, weighted, log_average"),
        (["--out", "out.txt"], r"ends in \.csv or \.parquet"),
    ],
)
def test_wrong_usage(audio: Path, video: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        run(audio, video, *arguments)


def test_tables_that_differ_on_the_truth_are_refused(tmp_path: Path) -> None:
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for path, truth in zip(paths, ("sad", "calm"), strict=True):
        write_table(
            PredictionTable(clips=("x.mp4",), probabilities=np.eye(8)[:1], truth=(truth,)), path
        )
    with pytest.raises(InvalidArgument, match=r"differ on the truth of 1 clips: x\.mp4"):
        run(*paths)


def test_the_light_installation_is_enough(audio: Path, video: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('keras', 'jax', 'scipy', 'sklearn', 'pyarrow', 'librosa'):\n"
        "    sys.modules[name] = None\n"
        "import typer\n"
        "from mien.commands.fuse import fuse\n"
        "typer.run(fuse)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(audio), str(video), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(done.stdout)["clips"] == 48, done.stderr


def test_somebody_else_s_table_of_all_of_ravdess() -> None:
    if "MIEN_DATA" not in os.environ:
        pytest.skip("MIEN_DATA is not set: no table of RAVDESS")
    path = Path(os.environ["MIEN_DATA"]) / "tables" / "video_aus_bilstm_luna5.csv"
    found = json.loads(run(path, "--json").stdout)
    assert found["clips"] == 1_440
    assert found["accuracy"]["value"] == pytest.approx(0.624, abs=0.0005)
    low, high = found["accuracy"]["ci95"]
    assert 0.56 < low < 0.624 < high < 0.69
