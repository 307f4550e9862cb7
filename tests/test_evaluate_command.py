"""``mien evaluate`` as it is typed: what it leaves behind, and what it refuses and why."""

import html
import logging
import sys
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mien.lab  # noqa: F401

# Keras reads its backend at import, so mien.lab, which chooses it, comes first.
# isort: split
import numpy as np
import pytest
import skimage.data
from pyarrow import parquet

from media_samples import write_clip
from mien import cli
from mien.lab import answers
from mien.lab.augment import add_noise
from mien.lab.scores_file import read_scores
from tiny_ravdess import RATE, tiny_ravdess, tone, unit_table

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword"
)

REFUSED = 2


@pytest.fixture(autouse=True)
def log() -> Iterator[None]:
    """Take the command's log away again: it writes to what is captured now."""
    logger = logging.getLogger("mien")
    before, level = logger.handlers, logger.level
    yield
    logger.handlers, logger.level = before, level


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_ravdess(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Callable[..., int]:
    """Run the command as a shell does and give its exit code."""

    def run(*arguments: str | Path) -> int:
        typed = ["mien", "evaluate", "--preset", "mien", "--cache", cache, *arguments]
        monkeypatch.setattr(sys, "argv", [str(word) for word in typed])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return int(stop.value.code or 0)

    return run


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(*_: Any, **__: Any) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr(answers, "fit", trained)


@pytest.mark.slow
def test_features_of_one_s_own_for_both_branches_and_two_seeds(
    corpus: Path, evaluated: Callable[..., int], tmp_path: Path
) -> None:
    clips = unit_table(tmp_path / "voice.csv", corpus)
    frames = unit_table(tmp_path / "face.csv", corpus, frames=5)
    out = tmp_path / "out"
    asked = ["--protocol", "random80, random80", "--fusion", "average,early", "--epochs", "1"]
    tables = ["--audio-features", clips, "--video-features", frames, "--seeds", "2"]
    assert evaluated(corpus, "--out", out, *asked, *tables) == 0
    scores = read_scores(out)
    assert list(scores["protocols"]) == ["random80"]
    assert scores["settings"]["seeds"] == [0, 1]
    assert f"evaluate --preset mien --cache {tmp_path.parent}" in scores["command"]
    assert {name: branch["network"] for name, branch in scores["branches"].items()} == {
        "audio": "clip_table",
        "video": "frame_table",
        "early": "early",
    }
    table = parquet.read_table(out / "predictions.parquet")
    assert table.num_rows == 4 * 2 * 30
    assert "<html" in (out / "report.html").read_text()


@pytest.mark.slow
def test_a_leak_let_pass_and_files_left_out_are_in_the_report(
    evaluated: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    root = tiny_ravdess(tmp_path / "corpus")
    sound = (root / "Actor_02" / "03-01-03-01-01-01-02.wav").read_bytes()
    (root / "Actor_03" / "03-01-03-01-01-01-03.wav").write_bytes(sound)
    (root / "Actor_10" / "03-01-03-01-01-01-10.wav").write_bytes(b"RIFF no sound at all")
    asked = [root, "--out", tmp_path / "out", "--protocol", "luna5", "--epochs", "1"]
    assert evaluated(*asked) == REFUSED
    told = capsys.readouterr().err
    assert "03-01-03-01-01-01-02.wav is tested, and its very sound" in told
    assert "--allow-leak WHY" in told
    assert not (tmp_path / "out").exists()

    assert evaluated(*asked, "--allow-leak", "only to see it") == 0
    report = html.unescape((tmp_path / "out" / "report.html").read_text())
    assert "only to see it" in report
    assert "03-01-03-01-01-01-02.wav is tested, and its very sound" in report
    assert "03-01-03-01-01-01-10.wav" in report
    scores = read_scores(tmp_path / "out")
    assert scores["corpus"]["clips"] == 29
    assert scores["protocols"]["luna5"]["leak_override"] == "only to see it"
    shown = capsys.readouterr().out
    assert "luna5: clips held out" in shown
    assert "all clips: accuracy with the training clips counted" in shown


def face(path: Path, *, light: float) -> Path:
    """Write a silent clip of a face under more or less light."""
    picture = skimage.data.astronaut()[:256, 96:352]
    image = np.clip(picture * light, 0, 255).astype(np.uint8)
    write_clip(path, size=(256, 256), image_of_frame=lambda _: image, frames=4)
    return path


@pytest.mark.slow
def test_sound_and_pixels_of_performances_in_files_of_their_own(
    evaluated: Callable[..., int], tmp_path: Path
) -> None:
    root = tiny_ravdess(tmp_path / "corpus", actors=(1, 2, 3))
    for place, sound in enumerate(sorted(root.rglob("*-01-01-??.wav"))):
        picture = sound.with_name(f"02{sound.stem[2:]}.mp4")
        # Of the first clip the picture is dark.
        face(picture, light=0.5 + 0.05 * place if place else 0)
    stills(root / "faces")
    out = tmp_path / "out"
    asked = ["--protocol", "loso24", "--epochs", "1", "--fusion", "average"]
    assert evaluated(root, "--out", out, *asked) == 0
    scores = read_scores(out)
    # Two statements of three emotions by each actor, of which the first is seen too.
    assert scores["corpus"]["clips"] == 18
    assert scores["branches"]["video"]["network"] == "light_video"
    held_out = {
        name: system["held_out"]["clips"]
        for name, system in scores["protocols"]["loso24"]["systems"].items()
    }
    assert held_out == {"audio": 18, "video": 8, "average": 18}
    reasons = {Path(e["clip"]).name: e["reason"] for e in scores["corpus"]["excluded"]}
    assert reasons == {
        "1.jpg": "a still; stills train embedders: mien train",
        "02-01-03-01-01-01-01.mp4": "a face in too few frames",
    }


def melody(seed: int) -> np.ndarray:
    """Make 2 s of three notes at a time, louder and softer, that no other melody is like."""
    chance = np.random.default_rng(seed)
    time = np.arange(RATE // 10) / RATE
    notes = [
        chance.uniform(0.1, 1) * np.sin(2 * np.pi * np.outer(chance.uniform(300, 3_000, 3), time))
        for _ in range(20)
    ]
    return np.concatenate([part.mean(axis=0) for part in notes]).astype(np.float32)


def recorded(path: Path, samples: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(np.clip(samples * 20_000, -32_768, 32_767).astype("<i2").tobytes())


def test_an_augmented_copy_in_training_is_refused_by_name(
    untrained: None,
    evaluated: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    sounds = {f"take{seed}.wav": melody(seed) for seed in range(3)}
    sounds["noisy.wav"] = add_noise(sounds["take0.wav"], rng=np.random.default_rng(0))
    rows = ["clip,emotion,speaker,split"]
    for name, samples in sounds.items():
        recorded(tmp_path / name, samples)
        rows.append(f"{name},happy,{name},{'test' if name == 'take0.wav' else 'train'}")
    manifest = tmp_path / "takes.csv"
    manifest.write_text("\n".join(rows))
    asked = [manifest, "--out", tmp_path / "out", "--protocol", "manifest"]
    assert evaluated(*asked) == REFUSED
    told = capsys.readouterr().err
    found = [line for line in told.splitlines() if "is tested," in line]
    assert len(found) == 1, told
    assert "take0.wav is tested, and a copy with noise, another pitch" in found[0]
    assert found[0].endswith("noisy.wav")
    assert not (tmp_path / "out").exists()


def one_speaker(folder: Path) -> Path:
    return tiny_ravdess(folder, actors=(2,))


def three_clips(folder: Path) -> Path:
    for name in ("03-01-03-01-01-01-02", "03-01-05-01-01-01-03", "03-01-05-01-01-01-10"):
        tone(folder / f"{name}.wav", 300)
    return folder


def fearful_actor(folder: Path) -> Path:
    """Let one actor alone be fearful."""
    tiny_ravdess(folder)
    for sound in folder.rglob("03-01-06-*"):
        if sound.parent.name != "Actor_02":
            sound.unlink()
    return folder


def bored(folder: Path) -> Path:
    tone(folder / "a.wav", 300)
    manifest = folder / "clips.csv"
    manifest.write_text("clip,emotion,speaker\na.wav,bored,x\n")
    return manifest


def stills(folder: Path) -> Path:
    path = folder / "train" / "happy" / "1.jpg"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not even read")
    return folder


def emptied(folder: Path) -> Path:
    for sound in tiny_ravdess(folder).rglob("*.wav"):
        sound.write_bytes(b"")
    return folder


def corrupt(folder: Path) -> Path:
    for sound in tiny_ravdess(folder).rglob("*.wav"):
        sound.write_bytes(b"RIFF no sound at all")
    return folder


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (one_speaker, "--protocol luna5", "add speakers, or use random80"),
        (one_speaker, "--protocol loso24", "needs at least two speakers"),
        (three_clips, "--protocol random80", "there are 3, of happy 1; give more clips"),
        (three_clips, "--protocol statement", "at least two statements"),
        (fearful_actor, "--protocol luna5", "tests fearful without a clip of it to train on"),
        (bored, "--protocol loso24", "line 2: emotion must be one of neutral, calm"),
        (stills, "--protocol luna5", "an evaluation needs sound or moving pictures"),
        (emptied, "--protocol luna5", "all 30 clips are empty files"),
        (corrupt, "--protocol luna5", "none of 30 clips can be read"),
        (lambda folder: folder / "nowhere", "--protocol luna5", "no such file"),
        (one_speaker, "--protocol luna6", "protocol must be of random80, luna5, emobox6"),
        (one_speaker, "--fusion middle", "fusion must be of average, weighted"),
        (one_speaker, "--preset papr", "preset must be of paper, mien, not papr"),
        (one_speaker, "--protocol ,", "at least one protocol"),
        (one_speaker, "--allow-leak=", "--allow-leak must say why"),
        (tiny_ravdess, "--protocol luna5 --video-features TABLE", "has none of the 30 clips"),
        (tiny_ravdess, "--protocol luna5 --audio-features none.csv", "none.csv: no such file"),
        (one_speaker, "--epochs 0", "--epochs"),
        (one_speaker, "--seeds 0", "--seeds"),
        (one_speaker, "--variants some", "--variants"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_with_its_cure(  # noqa: PLR0917
    make: Callable[[Path], Path],
    options: str,
    words: str,
    untrained: None,
    evaluated: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    table = tmp_path / "other.csv"
    table.write_text("clip,AU01\nx,1\n")
    data, out = make(tmp_path / "data"), tmp_path / "out"
    given = options.replace("TABLE", str(table)).split(" ")
    assert evaluated(data, "--out", out, *given) == REFUSED
    told = capsys.readouterr().err
    assert words in " ".join(told.split())
    assert "Traceback" not in told
    assert not out.exists()


def test_what_cannot_be_split_is_refused_before_hours_of_features(
    untrained: None, evaluated: Callable[..., int], tmp_path: Path
) -> None:
    asked = ["--protocol", "random80,luna5", "--cache", tmp_path / "cache"]
    assert evaluated(one_speaker(tmp_path / "data"), "--out", tmp_path / "out", *asked) == REFUSED
    assert not (tmp_path / "cache").exists()


def test_a_folder_of_something_else_stays_as_it_is(
    corpus: Path,
    untrained: None,
    evaluated: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    thesis = tmp_path / "thesis.tex"
    thesis.write_text("years of work")
    assert evaluated(corpus, "--out", tmp_path, "--protocol", "luna5") == REFUSED
    assert "out must be a new folder or that of an evaluation" in capsys.readouterr().err
    assert evaluated(corpus, "--out", thesis, "--protocol", "luna5") == REFUSED
    assert "out must be a folder" in capsys.readouterr().err
    assert [path.read_text() for path in tmp_path.iterdir()] == ["years of work"]
