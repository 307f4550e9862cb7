from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.emotions import EMOTIONS
from mien.errors import TrainingDataError
from mien.lab.examples import Example, Exclusion
from mien.lab.manifest import SYNONYMS, read_manifest

CLIPS = ["a.wav", "b c.mp4", "deep/é.png", "03-01-05-01-02-01-12.wav"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in CLIPS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"content")
    return tmp_path


def manifest(folder: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path = folder / "mine.csv"
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(TrainingDataError) as caught:
        read_manifest(path)
    return str(caught.value)


def test_all_columns(folder: Path) -> None:
    path = manifest(
        folder,
        "Clip, speaker ,emotion,statement,split,sex,intensity,remark",
        "b c.mp4,anna,happy,first,train,Female,strong,x",
        "a.wav,bert,ANGER,,Test,,,",
        "",
    )
    corpus = read_manifest(path)
    assert corpus.excluded == ()
    assert corpus.examples == (
        Example(
            key="a.wav",
            emotion="angry",
            corpus="mine",
            path=folder / "a.wav",
            speaker="bert",
            part="test",
            has_sound=True,
        ),
        Example(
            key="b c.mp4",
            emotion="happy",
            corpus="mine",
            path=folder / "b c.mp4",
            speaker="anna",
            sex="female",
            statement="first",
            intensity="strong",
            part="train",
            has_sound=True,
            has_picture=True,
        ),
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["", "\r"])
def test_three_columns_are_enough(folder: Path, encoding: str, newline: str) -> None:
    path = manifest(
        folder,
        f"clip,emotion,speaker{newline}",
        f'"deep/é.png",sad,"anna, the first"{newline}',
        f"03-01-05-01-02-01-12.wav,calm,12{newline}",
        encoding=encoding,
    )
    recording, still = read_manifest(path).examples
    assert recording.key == "03-01-05-01-02-01-12.wav"
    assert (recording.emotion, recording.corpus, recording.part) == ("calm", "mine", None)
    assert still.is_still
    assert (still.key, still.speaker, still.sex) == ("deep/é.png", "anna, the first", None)


def test_clips_are_found_from_the_manifest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = manifest(folder / "deep", "clip,emotion,speaker", "../a.wav,sad,anna")
    monkeypatch.chdir(folder / "deep")
    for name in (path, Path("mine.csv")):
        (example,) = read_manifest(name).examples
        assert example.path.read_bytes() == b"content"
        assert example.key == "../a.wav"


@pytest.mark.parametrize("word", [*EMOTIONS, *SYNONYMS])
def test_words_for_emotions(folder: Path, word: str) -> None:
    path = manifest(folder, "clip,emotion,speaker", f"a.wav,{word.title()},anna")
    (example,) = read_manifest(path).examples
    assert example.emotion == SYNONYMS.get(word, word)
    assert example.emotion in EMOTIONS


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("nowhere.wav,sad,anna,train,,", "no such file: nowhere.wav"),
        ("deep,sad,anna,train,,", "no such file: deep"),
        (",sad,anna,train,,", "clip is empty"),
        ("a.wav,bored,anna,train,,", "emotion must be one of neutral, calm, .* not 'bored'"),
        ("a.wav,,anna,train,,", "emotion must be one of .* not ''"),
        ("a.wav,sad, ,train,,", "speaker is empty"),
        ("a.wav,sad,anna,dev,,", "split must be train, validation or test, not 'dev'"),
        ("a.wav,sad,anna,,,", "split must be train, validation or test, not ''"),
        ("a.wav,sad,anna,train,w,", "sex must be female or male, not 'w'"),
        ("a.wav,sad,anna,train,,high", "intensity must be normal or strong, not 'high'"),
        ("a.wav,sad,anna", "3 cells, not 6 as the first line"),
        ("a.wav,sad,anna,train,,,", "7 cells, not 6 as the first line"),
        ("a.wav,bored,,train,,", "emotion must be .*; speaker is empty"),
        ("./03-01-05-01-02-01-12.wav,sad,anna,train,,", "is doubled: also in line 2"),
    ],
)
def test_bad_rows_are_named(folder: Path, row: str, told: str) -> None:
    good = "03-01-05-01-02-01-12.wav,sad,anna,train,,"
    path = manifest(folder, "clip,emotion,speaker,split,sex,intensity", good, "", row)
    with pytest.raises(
        TrainingDataError, match=rf"mine\.csv: 1 of 2 rows are bad; mend them:\n  line 4: .*{told}"
    ):
        read_manifest(path)


def test_line_numbers_are_those_of_the_file(folder: Path) -> None:
    path = manifest(
        folder, "clip,emotion,speaker,remark", 'a.wav,sad,anna,"two', 'lines"', "x,sad,b,"
    )
    assert "\n  line 4: no such file: x" in refusal(path)


@given(count=st.integers(1, 40))
def test_of_many_bad_rows_the_first_ten_are_named(
    count: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("folder")
    told = refusal(manifest(folder, "clip,emotion,speaker", *(f"{n},sad,b" for n in range(count))))
    named = [line for line in told.splitlines() if line.startswith("  line ")]
    assert named == [f"  line {n + 2}: no such file: {n}" for n in range(min(count, 10))]
    assert told.startswith(f"{folder / 'mine.csv'}: {count} of {count} rows are bad")
    assert told.endswith(f"\n  and {count - 10} more rows") == (count > 10)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("file,emotion,speaker", "'file,emotion,speaker': clip missing"),
        ("", "clip, emotion, speaker missing"),
        ("clip,emotion,speaker,Emotion", "emotion doubled"),
        ("clip;emotion;speaker", "clip, emotion, speaker missing"),
    ],
)
def test_headers_that_are_none(folder: Path, header: str, told: str) -> None:
    assert told in refusal(manifest(folder, header, "a.wav,sad,anna"))


def test_nothing_listed(folder: Path) -> None:
    assert "no rows below the first line" in refusal(manifest(folder, "clip,emotion,speaker"))
    assert "no such file" in refusal(folder / "nowhere.csv")
    assert "no such file" in refusal(folder)


@pytest.mark.parametrize(
    "content", ["clip,emotion,speaker\né.wav,sad,b".encode("latin-1"), b'clip,emotion,speaker\n"a']
)
def test_files_that_are_no_table(folder: Path, content: bytes) -> None:
    (folder / "mine.csv").write_bytes(content)
    assert "must be a table with commas in UTF-8" in refusal(folder / "mine.csv")


def test_empty_clips_are_left_out_by_name(folder: Path) -> None:
    path = manifest(folder, "clip,emotion,speaker", "a.wav,sad,anna", "b c.mp4,sad,anna")
    (folder / "a.wav").write_bytes(b"")
    corpus = read_manifest(path)
    assert [example.key for example in corpus.examples] == ["b c.mp4"]
    assert corpus.excluded == (Exclusion(clip=str(folder / "a.wav"), reason="empty file"),)
    (folder / "b c.mp4").write_bytes(b"")
    assert "only 2 empty files" in refusal(path)
