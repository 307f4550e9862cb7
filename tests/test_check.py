"""A made RAVDESS with known faults."""

import os
import shutil
import zipfile
from dataclasses import asdict
from pathlib import Path

import pytest

from media_samples import clip_bytes, sine, sound_bytes
from mien.errors import TrainingDataError
from mien.lab.check import Fault, RavdessCheck, check_ravdess
from mien.lab.ravdess import performances

WAV = sound_bytes(sine(400, seconds=0.05, rate=8000), rate=8000, audio_codec="pcm_s16le")
MP4 = clip_bytes(frames=2)
ARCHIVE = "Audio_Speech_Actors_01-24.zip"
needs_data = pytest.mark.skipif(
    "MIEN_DATA" not in os.environ, reason="MIEN_DATA does not name the folder of the corpora"
)


@pytest.fixture
def actor(tmp_path: Path) -> Path:
    """All of the sound of one actor's speech, whole."""
    folder = tmp_path / "Actor_12"
    folder.mkdir()
    for name in performances(modality="03", channel="01", actors=[12]):
        (folder / f"{name.stem}.wav").write_bytes(WAV)
    return folder


def check(folder: Path) -> RavdessCheck:
    return check_ravdess(folder.parent, actors=[12])


def test_a_whole_actor_is_good(actor: Path) -> None:
    (actor / "readme.txt").touch()
    (actor / "._03-01-01-01-01-01-12.wav").write_bytes(b"macOS's")
    assert check(actor) == RavdessCheck(
        folder=str(actor.parent),
        files={"audio speech": 60},
        missing={},
        doubled=(),
        truncated=(),
        misnamed=(),
    )
    assert check(actor).good


def test_all_actors_are_expected_unless_told_otherwise(actor: Path) -> None:
    missing = check_ravdess(actor.parent).missing
    assert {kind: len(stems) for kind, stems in missing.items()} == {"audio speech": 23 * 60}


def test_what_is_missing(actor: Path) -> None:
    (actor / "03-01-05-01-02-01-12.wav").unlink()
    (actor / "03-01-01-01-01-01-12.wav").unlink()
    found = check(actor)
    assert found.missing == {"audio speech": ("03-01-01-01-01-01-12", "03-01-05-01-02-01-12")}
    assert found.files == {"audio speech": 58}
    assert not found.good


def test_only_kinds_that_are_there_are_expected(actor: Path) -> None:
    (actor / "02-02-05-01-02-01-12.mp4").write_bytes(MP4)
    found = check(actor)
    assert found.files == {"audio speech": 60, "video song": 1}
    assert {kind: len(stems) for kind, stems in found.missing.items()} == {"video song": 43}


def test_what_is_doubled(actor: Path) -> None:
    copy = actor.with_name("copy of 12")
    copy.mkdir()
    name = "03-01-05-01-02-01-12.wav"
    (copy / name).write_bytes(WAV)
    found = check(actor)
    assert found.doubled == (Fault(str(copy / name), f"also at {actor / name}"),)
    assert found.files == {"audio speech": 60}
    assert not found.good


def test_the_modalities_of_a_performance_are_not_doubled(actor: Path) -> None:
    for modality in ("01", "02"):
        (actor / f"{modality}-01-05-01-02-01-12.mp4").write_bytes(MP4)
    assert check(actor).doubled == ()


def test_what_is_truncated(actor: Path) -> None:
    clips = {
        "03-01-01-01-01-01-12.wav": (b"", "empty file"),
        "03-01-02-01-01-01-12.wav": (WAV[:-1], f"cut off: {len(WAV) - 1} bytes of {len(WAV)}"),
        "01-01-02-01-01-01-12.mp4": (MP4[:-1], f"cut off: {len(MP4) - 1} bytes of {len(MP4)}"),
    }
    for name, (content, _) in clips.items():
        (actor / name).write_bytes(content)
    found = check(actor)
    assert set(found.truncated) == {
        Fault(str(actor / name), reason) for name, (_, reason) in clips.items()
    }
    assert not found.good
    assert found.files["audio speech"] == 60


def test_what_is_misnamed(actor: Path) -> None:
    (actor / "03-01-09-01-02-01-12.wav").write_bytes(WAV)
    (actor / "a song.mp4").write_bytes(MP4)
    shutil.move(actor / "03-01-05-01-02-01-12.wav", actor.with_name("Actor_11"))
    elsewhere = actor.parent / "Actor_13"
    elsewhere.mkdir()
    (actor / "03-01-06-01-02-01-12.wav").rename(elsewhere / "03-01-06-01-02-01-12.wav")
    found = check(actor)
    assert set(found.misnamed) == {
        Fault(str(actor / "03-01-09-01-02-01-12.wav"), "emotion must be 01 to 08, not 09"),
        Fault(str(actor / "a song.mp4"), "not seven codes of two digits"),
        Fault(
            str(elsewhere / "03-01-06-01-02-01-12.wav"),
            "in the folder Actor_13, named for actor 12",
        ),
    }
    assert found.missing["audio speech"] == ("03-01-05-01-02-01-12", "03-01-06-01-02-01-12")
    assert not found.good


def test_zip_files_are_looked_into(actor: Path) -> None:
    root = actor.parent
    with zipfile.ZipFile(root / ARCHIVE, "w") as archive:
        for path in sorted(actor.iterdir()):
            content = WAV[:-1] if path.name == "03-01-05-01-02-01-12.wav" else WAV
            archive.writestr(f"Actor_12/{path.name}", content)
    shutil.rmtree(actor)
    packed = (root / ARCHIVE).read_bytes()
    place = packed.index(WAV)
    (root / ARCHIVE).write_bytes(packed[: place + 60] + b"!" + packed[place + 61 :])
    found = check(actor)
    assert found.files == {"audio speech": 60}
    assert found.truncated == (
        Fault(
            f"{root / ARCHIVE}: Actor_12/03-01-01-01-01-01-12.wav",
            "damaged inside the zip file",
        ),
        Fault(
            f"{root / ARCHIVE}: Actor_12/03-01-05-01-02-01-12.wav",
            f"cut off: {len(WAV) - 1} bytes of {len(WAV)}",
        ),
    )
    assert not found.missing


def test_nothing_of_ravdess(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    with pytest.raises(TrainingDataError, match=r"no RAVDESS files .* its 1 sound and video"):
        check_ravdess(tmp_path)
    with pytest.raises(TrainingDataError, match="no such file or folder"):
        check_ravdess(tmp_path / "nowhere")


@needs_data
def test_all_of_ravdess_is_good() -> None:
    found = check_ravdess(Path(os.environ["MIEN_DATA"]) / "ravdess")
    assert found.good, asdict(found)
    assert found.files == {"audio speech": 1440}
