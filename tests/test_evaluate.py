"""From clips to scores, on a corpus small enough to train in seconds."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mien.lab  # noqa: F401

# Keras reads its backend at import, so mien.lab, which chooses it, comes first.
# isort: split
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from mien import cli
from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument, LeakError, MienError, TrainingDataError
from mien.lab import answers
from mien.lab.evaluate import EvaluationOptions, evaluate
from mien.lab.fit import fit
from mien.lab.scores_file import read_scores
from mien.lab.study import FUSIONS
from mien.tables import read_table
from tiny_ravdess import emotion_of, tiny_ravdess, tone, unit_table

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword"
)

SYSTEMS = ("audio", "video", "average")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_ravdess(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def units(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unit_table(tmp_path_factory.mktemp("tables") / "units.csv", corpus)


@pytest.fixture(scope="module")
def options(cache: Path, units: Path) -> EvaluationOptions:
    """Both branches on tables, which train in a second."""
    return EvaluationOptions(
        preset="mien",
        protocols=("luna5",),
        audio_features=units,
        video_features=units,
        epochs=30,
        cache=cache,
        command="mien evaluate",
    )


@pytest.fixture(scope="module")
def whole(
    corpus: Path, options: EvaluationOptions, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Everything at once: all fusions, two protocols."""
    out = tmp_path_factory.mktemp("whole") / "out"
    every = replace(options, fusions=FUSIONS, protocols=("luna5", "random80"))
    evaluate([corpus], out, options=every)
    return out


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Note what would be trained, and fail the test's run there."""
    seen: list[Any] = []

    def noted(*arguments: Any, **rest: Any) -> None:
        seen.append((arguments, rest))
        raise AssertionError("trained")

    monkeypatch.setattr(answers, "fit", noted)
    return seen


def predictions(out: Path) -> pa.Table:
    return parquet.read_table(out / "predictions.parquet")


@pytest.mark.slow
def test_what_is_written_can_be_read(whole: Path, corpus: Path) -> None:
    scores = read_scores(whole)
    assert scores["corpus"] == {
        "sources": ["ravdess"],
        "clips": 30,
        "speakers": 5,
        "emotions": {"happy": 10, "angry": 10, "fearful": 10},
        "excluded": [],
    }
    assert list(scores["protocols"]) == ["luna5", "random80"]
    for protocol in scores["protocols"].values():
        assert set(protocol["systems"]) == {"audio", "video", *FUSIONS}
    table = predictions(whole)
    assert table.column_names[:9] == [
        "protocol", "system", "seed", "fold", "corpus", "clip", "speaker", "sex", "intensity"
    ]  # fmt: skip
    assert table.column_names[-8:] == list(EMOTIONS)
    # luna5 asks each of five networks about all 30 clips, random80 one.
    assert table.num_rows == 8 * (5 * 30 + 30)
    held_out = table.filter(table.column("held_out"))
    assert held_out.num_rows == 8 * (30 + 6)
    history = (whole / "history.csv").read_text().splitlines()
    assert history[0] == "protocol,fold,seed,network,epoch,loss,val_loss"
    assert len(history) == 1 + (5 + 1) * 4 * 30


@pytest.mark.slow
def test_each_clip_is_tested_once_and_by_networks_that_never_met_its_speaker(
    whole: Path,
) -> None:
    table = predictions(whole).to_pylist()
    rows = [row for row in table if row["protocol"] == "luna5" and row["system"] == "audio"]
    tested = [row for row in rows if row["held_out"]]
    assert len({row["clip"] for row in tested}) == len(tested) == 30
    for fold in {row["fold"] for row in rows}:
        speakers: dict[bool, set[str]] = {True: set(), False: set()}
        for row in rows:
            if row["fold"] == fold:
                speakers[row["held_out"]].add(row["speaker"])
        assert speakers[True].isdisjoint(speakers[False])


@pytest.mark.slow
def test_features_that_tell_the_emotion_are_learned_and_both_counts_are_told(whole: Path) -> None:
    for name, protocol in read_scores(whole)["protocols"].items():
        for system in ("audio", "video", "average", "log_average"):
            found = protocol["systems"][system]
            assert found["held_out"]["accuracy"]["value"] > 0.7, (name, system)
            assert found["held_out"]["clips"] == {"luna5": 30, "random80": 6}[name]
            assert found["all_clips"]["clips"] == {"luna5": 150, "random80": 30}[name]
            assert np.sum(found["confusion"]) == found["held_out"]["clips"]


@pytest.mark.slow
def test_scores_are_those_of_the_predictions(whole: Path) -> None:
    scores = read_scores(whole)
    rows = [
        row
        for row in predictions(whole).to_pylist()
        if row["protocol"] == "luna5" and row["system"] == "stacked" and row["held_out"]
    ]
    said = [EMOTIONS[int(np.argmax([row[name] for name in EMOTIONS]))] for row in rows]
    right = np.mean([row["truth"] == guess for row, guess in zip(rows, said, strict=True)])
    value = scores["protocols"]["luna5"]["systems"]["stacked"]["held_out"]["accuracy"]["value"]
    assert value == pytest.approx(float(right))


@pytest.mark.slow
def test_late_fusion_is_tested_against_the_branches_and_the_joint_networks(whole: Path) -> None:
    tests = read_scores(whole)["protocols"]["luna5"]["tests"]
    pairs = {(test["a"], test["b"]) for test in tests}
    late = ("average", "weighted", "log_average", "stacked")
    assert pairs == {(a, b) for a in late for b in ("audio", "video", "early", "attention")}
    assert {test["speakers"] for test in tests} == {5}


@pytest.mark.slow
def test_tables_can_be_fused_again(whole: Path, tmp_path: Path) -> None:
    audio, video = (whole / "tables" / f"luna5-{name}.csv" for name in ("audio", "video"))
    fused = tmp_path / "fused.csv"
    done = CliRunner().invoke(cli.app, ["fuse", str(audio), str(video), "--out", str(fused)])
    assert done.exit_code == 0, done.output
    own, again = read_table(whole / "tables" / "luna5-average.csv"), read_table(fused)
    order = np.argsort(own.clips), np.argsort(again.clips)
    np.testing.assert_allclose(
        own.probabilities[order[0]], again.probabilities[order[1]], atol=1e-6
    )


@pytest.mark.slow
def test_nothing_looks_at_tested_labels(
    whole: Path,
    corpus: Path,
    options: EvaluationOptions,
    untrained: list[Any],
    tmp_path: Path,
) -> None:
    """With them permuted, no network is trained anew, nothing is chosen otherwise, scores fall."""
    out = tmp_path / "out"
    shutil.copytree(whole / "work", out / "work")
    control = replace(
        options,
        fusions=FUSIONS,
        protocols=("luna5", "random80"),
        shuffle_test_labels=True,
        resume=True,
    )
    evaluate([corpus], out, options=control)
    assert untrained == []
    mine, theirs = predictions(whole), predictions(out)
    for name in ("protocol", "system", "fold", "clip", *EMOTIONS):
        assert mine.column(name).equals(theirs.column(name))
    assert not mine.column("truth").equals(theirs.column("truth"))
    before, after = read_scores(whole)["protocols"], read_scores(out)["protocols"]
    for name, protocol in before.items():
        assert after[name]["chosen"] == protocol["chosen"]
    for system in ("audio", "average"):
        accuracy = after["luna5"]["systems"][system]["held_out"]["accuracy"]["value"]
        assert accuracy < 0.6 < before["luna5"]["systems"][system]["held_out"]["accuracy"]["value"]


def test_inner_labels_do_matter(corpus: Path, options: EvaluationOptions, tmp_path: Path) -> None:
    """The check above could not fail if labels did nothing: those of training clips do."""
    rows = ["clip,emotion,speaker,split"]
    for sound in sorted(corpus.rglob("*.wav")):
        part = "test" if sound.stem.endswith("02") else "train"
        emotion = emotion_of(sound)
        if part == "train":
            emotion = {"happy": "angry", "angry": "fearful", "fearful": "happy"}[emotion]
        rows.append(f"{sound},{emotion},{sound.stem[-2:]},{part}")
    manifest = tmp_path / "shifted.csv"
    manifest.write_text("\n".join(rows))
    scores = evaluate(
        [manifest], tmp_path / "out", options=replace(options, protocols=("manifest",))
    )
    found = scores["protocols"]["manifest"]["systems"]["audio"]["held_out"]
    assert found["accuracy"]["value"] < 0.2


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_result(
    whole: Path,
    corpus: Path,
    options: EvaluationOptions,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    every = replace(options, fusions=FUSIONS, protocols=("luna5", "random80"), resume=True)
    out, real = tmp_path / "out", fit
    # As a run leaves it that was stopped after four of six folds.
    shutil.copytree(whole / "work", out / "work")
    shutil.rmtree(out / "work" / "luna5" / "seed-0" / "5")
    shutil.rmtree(out / "work" / "random80")
    trained: list[str] = []

    def killed(network: Any, *arguments: Any, **rest: Any) -> Any:
        trained.append(network.name)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return real(network, *arguments, **rest)

    monkeypatch.setattr(answers, "fit", killed)
    with pytest.raises(KeyboardInterrupt):
        evaluate([corpus], out, options=every)
    assert [path.name for path in out.iterdir()] == ["work"]
    evaluate([corpus], out, options=every)
    fold = ["clip_table", "clip_table", "early", "attention"]
    assert trained == [*fold[:2], *fold[1:], *fold]
    for name in ("predictions.parquet", "history.csv"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    mine, theirs = read_scores(whole), read_scores(out)
    differs = {name for name, value in mine.items() if theirs[name] != value}
    assert differs <= {"created", "seconds", "git_commit"}


@pytest.mark.slow
def test_a_finished_run_takes_another_fusion_without_training(
    whole: Path,
    corpus: Path,
    options: EvaluationOptions,
    untrained: list[Any],
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole / "work", out / "work")
    fewer = replace(options, fusions=("stacked", "weighted"), resume=True)
    scores = evaluate([corpus], out, options=fewer)
    assert untrained == []
    assert set(scores["protocols"]["luna5"]["systems"]) == {"audio", "video", "weighted", "stacked"}


@pytest.mark.slow
def test_a_joint_network_added_to_a_finished_run_is_the_only_one_trained(
    whole: Path,
    corpus: Path,
    options: EvaluationOptions,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole / "work" / "random80", out / "work" / "random80")
    shutil.rmtree(out / "work" / "random80" / "seed-0" / "1" / "early")
    shutil.copytree(whole / "tables", out / "tables")
    trained: list[str] = []

    def noted(network: Any, *arguments: Any, **rest: Any) -> Any:
        trained.append(network.name)
        return fit(network, *arguments, **rest)

    monkeypatch.setattr(answers, "fit", noted)
    more = replace(options, fusions=("weighted", "early"), protocols=("random80",), resume=True)
    scores = evaluate([corpus], out, options=more)["protocols"]["random80"]["systems"]
    assert trained == ["early"]
    unbroken = read_scores(whole)["protocols"]["random80"]["systems"]
    systems = ("audio", "video", "early", "weighted")
    assert scores == {name: unbroken[name] for name in systems}
    # Tables of what this run was not asked for are gone.
    tables = {path.name for path in (out / "tables").iterdir()}
    assert tables == {f"random80-{name}.csv" for name in systems}


@pytest.mark.slow
def test_seeds_repeat_everything_and_are_told_apart(
    corpus: Path, options: EvaluationOptions, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    twice = replace(options, protocols=("random80",), seeds=2, epochs=2)
    scores = evaluate([corpus], out, options=twice)
    found = scores["protocols"]["random80"]["systems"]["audio"]
    assert set(found["by_seed"]) == {"0", "1"}
    assert found["held_out"]["clips"] == 12
    names = {path.name for path in (out / "tables").iterdir()}
    assert names == {f"random80-{name}-seed-{seed}.csv" for name in SYSTEMS for seed in (0, 1)}


@pytest.mark.slow
def test_a_table_of_frames_and_sound_together(
    corpus: Path, options: EvaluationOptions, tmp_path: Path
) -> None:
    frames = unit_table(tmp_path / "frames.csv", corpus, frames=5)
    mixed = replace(
        options, audio_features=None, video_features=frames, epochs=1, protocols=("random80",)
    )
    scores = evaluate([corpus], tmp_path / "out", options=mixed)
    assert scores["branches"]["audio"]["network"] == "light_audio"
    assert scores["branches"]["video"]["network"] == "frame_table"
    assert scores["branches"]["video"]["input"] == "3 columns of frames.csv, one row a frame"
    assert set(scores["protocols"]["random80"]["systems"]) == set(SYSTEMS)


def doubled(root: Path) -> Path:
    """Let an actor of another fold say what actor 02 has said."""
    sound = (root / "Actor_02" / "03-01-03-01-01-01-02.wav").read_bytes()
    (root / "Actor_03" / "03-01-03-01-01-01-03.wav").write_bytes(sound)
    return root


def test_equal_sound_on_both_sides_is_refused_by_name(
    options: EvaluationOptions, untrained: list[Any], tmp_path: Path
) -> None:
    root = doubled(tiny_ravdess(tmp_path / "corpus"))
    heard = replace(options, audio_features=None, video_features=None)
    with pytest.raises(LeakError) as refused:
        evaluate([root], tmp_path / "out", options=heard)
    assert "03-01-03-01-01-01-02.wav" in str(refused.value)
    assert "03-01-03-01-01-01-03.wav" in str(refused.value)
    assert untrained == []
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_bad_files_are_left_out_by_name_and_counted(
    options: EvaluationOptions, tmp_path: Path
) -> None:
    root = tiny_ravdess(tmp_path / "corpus")
    (root / "Actor_02" / "03-01-03-01-01-01-02.wav").write_bytes(b"RIFF no sound at all")
    (root / "Actor_03" / "03-01-03-01-01-01-03.wav").write_bytes(b"")
    shutil.copytree(root / "Actor_01", root / "again" / "Actor_01")
    heard = replace(options, audio_features=None, video_features=None, epochs=1)
    scores = evaluate([root], tmp_path / "out", options=heard)
    assert scores["corpus"]["clips"] == 28
    reasons = {Path(e["clip"]).name: e["reason"] for e in scores["corpus"]["excluded"]}
    assert len(scores["corpus"]["excluded"]) == 2 + 6
    assert reasons["03-01-03-01-01-01-03.wav"] == "empty file"
    assert "doubled" in reasons["03-01-05-01-01-01-01.wav"]
    assert "03-01-03-01-01-01-02.wav" in reasons


def no_class_to_train_on(folder: Path) -> Path:
    root = tiny_ravdess(folder / "corpus")
    for actor in ("03", "10", "08", "01"):
        for sound in (root / f"Actor_{actor}").glob("03-01-06-*"):
            sound.unlink()
    return root


def unknown_emotion(folder: Path) -> Path:
    tone(folder / "a.wav", 300)
    path = folder / "clips.csv"
    path.write_text("clip,emotion,speaker\na.wav,bored,x\n")
    return path


def stills(folder: Path) -> Path:
    path = folder / "fer" / "train" / "happy" / "1.jpg"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not even read")
    return folder / "fer"


@pytest.mark.parametrize(
    ("make", "changes", "error", "words"),
    [
        (tiny_ravdess, {"protocols": ("luna6",)}, InvalidArgument, "protocol must be of random80"),
        (tiny_ravdess, {"preset": "papr"}, InvalidArgument, "preset must be of paper, mien"),
        (tiny_ravdess, {"fusions": ("late",)}, InvalidArgument, "fusion must be of average"),
        (tiny_ravdess, {"protocols": ()}, InvalidArgument, "at least one protocol"),
        (tiny_ravdess, {"seeds": 0}, InvalidArgument, "one seed"),
        (tiny_ravdess, {"allow_leak": " "}, InvalidArgument, "must say why"),
        (tiny_ravdess, {"protocols": ("manifest",)}, TrainingDataError, "needs a part for each"),
        (
            lambda folder: tiny_ravdess(folder / "corpus", actors=(2,)),
            {"protocols": ("loso24",)},
            TrainingDataError,
            "speaker",
        ),
        (
            lambda folder: tone(folder / "Actor_02/03-01-03-01-01-01-02.wav", 300).parent,
            {"protocols": ("random80",)},
            TrainingDataError,
            "random80 needs",
        ),
        (no_class_to_train_on, {}, TrainingDataError, "fearful"),
        (unknown_emotion, {}, TrainingDataError, "line 2.*bored"),
        (stills, {}, TrainingDataError, "needs sound or moving pictures"),
        (lambda folder: folder / "nowhere", {}, TrainingDataError, "no such file"),
    ],
)
def test_what_cannot_be_evaluated_is_told_before_anything_is_trained(  # noqa: PLR0917
    make: Callable[[Path], Path],
    changes: dict[str, Any],
    error: type[MienError],
    words: str,
    options: EvaluationOptions,
    untrained: list[Any],
    tmp_path: Path,
) -> None:
    data = make(tmp_path / "data")
    with pytest.raises(error, match=words):
        evaluate([data], tmp_path / "out", options=replace(options, **changes))
    assert untrained == []
    assert not (tmp_path / "out").exists()


def test_a_table_of_other_clips_and_one_that_is_not_there(
    corpus: Path, options: EvaluationOptions, untrained: list[Any], tmp_path: Path
) -> None:
    other = tmp_path / "other.csv"
    other.write_text("clip,AU01\nx,1\n")
    with pytest.raises(TrainingDataError, match="has none of the 30 clips"):
        evaluate([corpus], tmp_path / "out", options=replace(options, video_features=other))
    with pytest.raises(InvalidArgument, match="no such file"):
        evaluate(
            [corpus], tmp_path / "out", options=replace(options, video_features=tmp_path / "no.csv")
        )
    trained_alone = tmp_path / "train.csv"
    rows = [row for row in options.video_features.read_text().splitlines() if "-02," not in row]  # type: ignore[union-attr]
    trained_alone.write_text("\n".join(rows))
    with pytest.raises(TrainingDataError, match="fold 1: video has inputs of none of the 6 clips"):
        evaluate([corpus], tmp_path / "out", options=replace(options, video_features=trained_alone))
    assert untrained == []


def test_a_folder_of_something_else_is_not_written_into(
    corpus: Path, options: EvaluationOptions, untrained: list[Any], tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InvalidArgument, match="which holds other files"):
        evaluate([corpus], tmp_path, options=options)
    with pytest.raises(InvalidArgument, match="not the file"):
        evaluate([corpus], tmp_path / "thesis.tex", options=options)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.slow
def test_scores_are_plain_json(whole: Path) -> None:
    text = (whole / "scores.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["schema"] == 1
