"""From corpora to a bundle that answers: tiny runs, and what stops them before they start."""

import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mien.lab  # noqa: F401

# Keras reads its backend at import, so mien.lab, which chooses it, comes first.
# isort: split
import numpy as np
import pytest

from mien.bundle import load_bundle
from mien.config import FacesConfig
from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument, LeakError, MienError, NoEmbedder, TrainingDataError
from mien.lab import calibrate, train
from mien.lab.corpora import read_corpus
from mien.lab.fit import Recipe
from mien.lab.train import train_bundle
from mien.lab.training_data import TrainingData, TrainingOptions
from mien.recognise import Recogniser
from mien.verify import verify_bundle
from tiny_fer2013 import embedder, fer2013

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword"
)

RATE = 22_050
CODES = {"03": 500.0, "05": 1500.0}
"""Happy and angry, and the pitch that tells them apart here."""


def ravdess(root: Path, *, actors: int = 4) -> Path:
    """Make a recording of both emotions by each actor."""
    time = np.arange(RATE // 2) / RATE
    for actor in range(1, actors + 1):
        folder = root / f"Actor_{actor:02d}"
        folder.mkdir(parents=True)
        for code, hertz in CODES.items():
            samples = 16_000 * np.sin(2 * np.pi * (hertz + 20 * actor) * time)
            with wave.open(str(folder / f"03-01-{code}-01-01-01-{actor:02d}.wav"), "wb") as file:
                file.setparams((1, 2, RATE, 0, "NONE", ""))
                file.writeframes(samples.astype("<i2").tobytes())
    return root


def options(folder: Path, **changes: Any) -> TrainingOptions:
    given: dict[str, Any] = {
        "work": folder / "work",
        "cache": folder / "cache",
        "preset": "mien",
        "epochs": 1,
    }
    return TrainingOptions(**(given | changes))


@pytest.mark.slow
def test_the_mien_preset_makes_a_bundle_that_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "FEWEST", 20)
    data = [ravdess(tmp_path / "ravdess", actors=24), fer2013(tmp_path / "f.zip", stills=16)]
    out = tmp_path / "new" / "tiny"
    bundle = train_bundle(data, out, options=options(tmp_path, hold_out=("02",)))
    checks = {(check.what, check.reference) for check in verify_bundle(out)}
    for branch in ("audio", "video"):
        assert (f"the golden input's {branch}", "Keras") in checks
    assert len([what for what, _ in checks if what.startswith("the golden clip's")]) == 4
    assert load_bundle(out).sha256 == bundle.sha256
    assert bundle.name == "tiny"
    assert {name: scores["clips"] for name, scores in bundle.manifest["scores"].items()} == {
        "audio": 2,
        "video": 32,
        "expression": 32,
        "audio out of fold": 46,
        "audio calibrated": 46,
        "video calibrated": 32,
    }
    # Neither the voices nor the stills that are tested were calibrated on; their emotions differ,
    # so that no voice has a face to be fused with.
    clips = {name: answer.clips for name, answer in bundle.calibration.answers.items()}
    assert clips == {"audio": 46, "video": 32, "fused": 0}
    assert bundle.calibration.fusion == "log_average"
    card = bundle.file("card")
    assert card
    for told in ("# Model card: tiny", "not for commercial use", "audio out of fold, 2 classes"):
        assert told in card.read_text()
    training = bundle.manifest["training"]
    assert training["corpora"] == {"fer2013": 96, "ravdess": 48}
    assert "speakers 02 held out" in training["protocol"]
    assert {r["epochs"] for r in training["recipes"].values()} == {1}
    # Nothing is left beside the bundle.
    assert [path.name for path in out.parent.iterdir()] == ["tiny"]
    answer = Recogniser(out).predict(tmp_path / "ravdess/Actor_02/03-01-03-01-01-01-02.wav")
    assert answer.audio.used
    assert answer.emotion in EMOTIONS
    assert answer.set is not None
    assert answer.set[0] == answer.emotion


@pytest.mark.slow
def test_the_paper_preset_makes_a_bundle(tmp_path: Path) -> None:
    data = [ravdess(tmp_path / "ravdess"), fer2013(tmp_path / "fer2013.zip", stills=2)]
    given = embedder(tmp_path / "rows.onnx")
    bundle = train_bundle(
        data,
        tmp_path / "out",
        options=options(tmp_path, preset="paper", embedder=given, hold_out=("04",)),
    )
    assert verify_bundle(tmp_path / "out")
    assert bundle.config.embedding.width == 16
    assert {name: entry["architecture"] for name, entry in bundle.manifest["networks"].items()} == {
        "audio": "paper_audio",
        "video": "paper_video",
    }
    assert (tmp_path / "out" / "embedder.onnx").read_bytes() == given.read_bytes()


def test_sound_alone_makes_a_bundle_and_goes_on_when_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = [ravdess(tmp_path / "ravdess")], tmp_path / "out"

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(train, "export_onnx", stopped)
        train_bundle(data, out, options=options(tmp_path))
    assert not out.exists()
    state = (tmp_path / "work" / "audio" / "state.json").read_bytes()

    first = train_bundle(data, out, options=options(tmp_path, resume=True))
    assert (tmp_path / "work" / "audio" / "state.json").read_bytes() == state
    assert set(first.manifest["networks"]) == {"audio"}
    assert first.manifest["embedder"] is None
    assert set(first.manifest["scores"]) == {"audio out of fold"}
    assert first.calibration.answers["audio"].clips == 0

    # An older bundle is replaced, by the same bytes as nothing was trained anew.
    (out / "of the older one").touch()
    second = train_bundle(data, out, options=options(tmp_path, resume=True))
    assert second.sha256 == first.sha256
    assert not (out / "of the older one").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"ravdess", "work", "cache", "out"}

    # Another hold-out would score an actor who was trained on.
    with pytest.raises(TrainingDataError, match="on other data"):
        train_bundle(data, out, options=options(tmp_path, resume=True, hold_out=("02",)))
    assert load_bundle(out).sha256 == first.sha256


class Reached(Exception):
    """Training would begin here."""


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Note what would be trained on, and stop there."""
    seen: list[Any] = []

    def noted(network: Any, batches: Any, **rest: Any) -> None:
        seen.append((network, batches, rest))
        raise Reached

    monkeypatch.setattr(train, "fit", noted)
    return seen


def test_a_performance_is_heard_once(trained: list[Any], tmp_path: Path) -> None:
    data = ravdess(tmp_path / "ravdess")
    for sound in sorted(data.rglob("03-*.wav")):
        # Its twins: the same with a picture, and the same again elsewhere.
        sound.with_name("01" + sound.name[2:]).write_bytes(b"not even read")
        copy = data / "again" / sound.name
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(sound.read_bytes())
    given = embedder(tmp_path / "rows.onnx")
    with pytest.raises(Reached):
        train_bundle([data, data], tmp_path / "out", options=options(tmp_path, embedder=given))
    ((_, batches, rest),) = trained
    # Four actors, four variants of two recordings; nobody chooses an epoch.
    assert batches.arrays.inputs.shape == (4 * 2 * 4, 6528)
    assert rest["validation"] is None


def test_held_out_speakers_are_not_trained_on(trained: list[Any], tmp_path: Path) -> None:
    data = [ravdess(tmp_path / "ravdess")]
    with pytest.raises(Reached):
        train_bundle(data, tmp_path / "out", options=options(tmp_path, hold_out=("01", "03")))
    ((_, batches, _),) = trained
    assert len(batches.arrays.inputs) == 2 * 2 * 4


def test_an_epoch_that_is_chosen_is_chosen_by_speakers_of_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    examples = read_corpus(ravdess(tmp_path / "ravdess")).examples
    data = TrainingData([tmp_path / "ravdess"], options(tmp_path, protocol="loso24", fold="3"))
    split = data.split(examples, recipe=Recipe(keep="best"))
    speakers = [{e.speaker for e in part} for part in (split.train, split.validation, split.test)]
    assert speakers[2] == {"03"}
    assert (len(speakers[0]), len(speakers[1])) == (2, 1)
    assert set.union(*speakers) == {"01", "02", "03", "04"}


def test_a_manifest_s_own_parts_are_heeded_by_its_own_protocol_alone(tmp_path: Path) -> None:
    root = ravdess(tmp_path / "ravdess")
    files = sorted(root.rglob("*.wav"))
    rows = ["clip,emotion,speaker,split"]
    for file in files:
        code, speaker = file.stem.split("-")[2], file.stem[-2:]
        part = {"03": "validation", "04": "test"}.get(speaker, "train")
        rows.append(f"{file.relative_to(tmp_path)},{EMOTIONS[int(code) - 1]},{speaker},{part}")
    manifest = tmp_path / "clips.csv"
    manifest.write_text("\n".join(rows))
    for protocol, kept in ((None, 4), ("manifest", 4), ("loso24", 6)):
        data = TrainingData([manifest], options(tmp_path, protocol=protocol))
        split = data.split(data.sounding, recipe=Recipe(keep="last"))
        assert len(split.train) == kept, protocol
    data = TrainingData([root], options(tmp_path, protocol="manifest"))
    with pytest.raises(TrainingDataError, match="needs a part for each clip"):
        data.split(data.sounding, recipe=Recipe())


def test_leaks_are_refused_before_training_and_may_be_let_pass(
    trained: list[Any], tmp_path: Path
) -> None:
    root = ravdess(tmp_path / "ravdess")
    sound = (root / "Actor_01/03-01-03-01-01-01-01.wav").read_bytes()
    (root / "Actor_02/03-01-03-01-01-01-02.wav").write_bytes(sound)
    with pytest.raises(LeakError, match="its very sound trained on"):
        train_bundle([root], tmp_path / "out", options=options(tmp_path, hold_out=("01",)))
    assert trained == []
    allowed = options(tmp_path, hold_out=("01",), allow_leak="to see it run")
    with pytest.raises(Reached):
        train_bundle([root], tmp_path / "out", options=allowed)


def test_a_fold_of_a_protocol_is_not_trained_on(trained: list[Any], tmp_path: Path) -> None:
    data = [ravdess(tmp_path / "ravdess")]
    with pytest.raises(Reached):
        changes: dict[str, Any] = {"protocol": "loso24", "fold": "3"}
        train_bundle(data, tmp_path / "out", options=options(tmp_path, **changes))
    ((_, batches, _),) = trained
    assert len(batches.arrays.inputs) == 3 * 2 * 4


def test_the_paper_s_recipe_chooses_no_epoch_and_sets_nothing_aside(
    trained: list[Any], tmp_path: Path
) -> None:
    data = [ravdess(tmp_path / "ravdess")]
    with pytest.raises(Reached):
        train_bundle(
            data, tmp_path / "out", options=options(tmp_path, preset="paper", hold_out=("01",))
        )
    ((_, batches, rest),) = trained
    assert rest["validation"] is None
    assert len(batches.arrays.inputs) == 3 * 2 * 4
    assert batches.variants == 1


def test_one_variant_of_a_clip_an_epoch(trained: list[Any], tmp_path: Path) -> None:
    data = [ravdess(tmp_path / "ravdess")]
    with pytest.raises(Reached):
        train_bundle(data, tmp_path / "out", options=options(tmp_path, variants="one"))
    ((_, batches, _),) = trained
    assert (batches.variants, len(batches.arrays.inputs)) == (4, 4 * 2 * 4)


def test_epochs_and_limit_are_heeded(trained: list[Any], tmp_path: Path) -> None:
    data = [ravdess(tmp_path / "ravdess")]
    changes: dict[str, Any] = {"epochs": 7, "limit": 6}
    with pytest.raises(Reached):
        train_bundle(data, tmp_path / "out", options=options(tmp_path, **changes))
    ((_, batches, rest),) = trained
    assert rest["recipe"].epochs == 7
    assert len(batches.arrays.inputs) == 6 * 4


@pytest.mark.parametrize(("song", "clips"), [(False, 8), (True, 9)])
def test_songs_are_trained_on_when_asked(
    song: bool, clips: int, trained: list[Any], tmp_path: Path
) -> None:
    data = ravdess(tmp_path / "ravdess")
    spoken = data / "Actor_01" / "03-01-03-01-01-01-01.wav"
    # A sound of its own, as a copy would be a leak or a double.
    sung = (data / "Actor_02" / "03-01-05-01-01-01-02.wav").read_bytes()
    spoken.with_name("03-02-03-01-01-01-01.wav").write_bytes(sung)
    with pytest.raises(Reached):
        train_bundle([data], tmp_path / "out", options=options(tmp_path, song=song))
    ((_, batches, _),) = trained
    assert len(batches.arrays.inputs) == clips * 4


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"preset": "papr"}, InvalidArgument, "preset must be one of paper, mien, not 'papr'"),
        ({"epochs": 0}, InvalidArgument, "epochs must be at least 1, not 0"),
        ({"protocol": "luna6"}, InvalidArgument, "protocol must be one of random80, luna5"),
        ({"fold": "2"}, InvalidArgument, "fold '2' needs a protocol"),
        (
            {"protocol": "loso24", "fold": "9"},
            InvalidArgument,
            "fold must be one of 1, 2 of loso24",
        ),
        ({"limit": -1}, InvalidArgument, "limit must be at least 1, not -1"),
        ({"preset": "paper"}, InvalidArgument, "'paper' needs --embedder"),
        ({"hold_out": ("07",)}, TrainingDataError, "no clip of the speakers 07"),
        ({"embedder": Path("nowhere.onnx")}, NoEmbedder, "no such embedder"),
    ],
)
def test_wrong_options_are_told_before_training(
    changes: dict[str, Any], error: type[MienError], words: str, trained: list[Any], tmp_path: Path
) -> None:
    data = [ravdess(tmp_path / "ravdess", actors=2), fer2013(tmp_path / "fer2013.zip")]
    with pytest.raises(error, match=words):
        train_bundle(data, tmp_path / "out", options=options(tmp_path, **changes))
    assert trained == []
    assert not (tmp_path / "out").exists()


def test_an_embedder_for_other_crops_is_refused(trained: list[Any], tmp_path: Path) -> None:
    given = embedder(tmp_path / "rows.onnx", size=32)
    with pytest.raises(InvalidArgument, match="crops of 48 pixels, not 32"):
        train_bundle(
            [fer2013(tmp_path / "fer2013.zip")],
            tmp_path / "out",
            options=options(tmp_path, embedder=given),
        )
    assert FacesConfig().crop_size == 48


def test_videos_without_stills_need_an_embedder(trained: list[Any], tmp_path: Path) -> None:
    (tmp_path / "01-01-03-01-01-01-01.mp4").write_bytes(b"not even read")
    with pytest.raises(InvalidArgument, match="trains its embedder on stills, and there are none"):
        train_bundle([tmp_path], tmp_path / "out", options=options(tmp_path))


def a_folder(out: Path) -> None:
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")


def a_file(out: Path) -> None:
    out.write_text("years of work")


def a_damaged_bundle(out: Path) -> None:
    out.mkdir()
    (out / "bundle.json").write_text("{}")


@pytest.mark.parametrize("make", [a_folder, a_file, a_damaged_bundle])
def test_what_is_no_bundle_is_not_replaced(
    make: Callable[[Path], None], trained: list[Any], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    make(out)
    before = {path: path.is_dir() or path.read_text() for path in (out, *out.rglob("*"))}
    with pytest.raises(InvalidArgument, match="out must be a new folder or that of a bundle"):
        train_bundle([ravdess(tmp_path / "ravdess")], out, options=options(tmp_path))
    assert trained == []
    assert {path: path.is_dir() or path.read_text() for path in (out, *out.rglob("*"))} == before
