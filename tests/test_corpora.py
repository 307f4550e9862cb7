"""Which clips and stills are found in folders and zip files, and what is known of them."""

import os
import zipfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from mien.emotions import EMOTIONS
from mien.errors import TrainingDataError
from mien.lab.corpora import (
    Example,
    Exclusion,
    once_each,
    read_contents,
    read_corpus,
    targets,
)

RAVDESS = [
    "Actor_01/03-01-03-01-02-01-01.wav",
    "Actor_01/01-01-03-01-02-01-01.mp4",
    "Actor_01/02-01-03-01-02-01-01.mp4",
    "Actor_02/03-01-08-02-01-02-02.FLAC",
]
FER2013 = [
    "fer2013/train/happy/1.jpg",
    "fer2013/public/fear/2.jpg",
    "fer2013/private/surprise/3.jpg",
    "fer2013/train/neutral/4.jpg",
]
SONG = "Actor_01/03-02-03-01-02-01-01.wav"
UNKNOWN = [
    "README.md",
    SONG,
    "Actor_01/03-01-09-01-02-01-01.wav",  # no ninth emotion
    "Actor_01/03-01-03-01-02-01-01.txt",
    "Actor_01/03-01-03-01-02-01-01-copy.wav",
    "elsewhere/happy/1.jpg",
    "train/bored/1.jpg",
    "happy/1.jpg",
]
needs_data = pytest.mark.skipif(
    "MIEN_DATA" not in os.environ, reason="MIEN_DATA does not name the folder of the corpora"
)


def folder_of(names: Iterable[str], root: Path, *, empty: Iterable[str] = ()) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("" if name in empty else name)
    return root


def zip_of(names: Iterable[str], path: Path, *, empty: Iterable[str] = ()) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.mkdir("fer2013")
        for name in names:
            archive.writestr(name, "" if name in empty else name)
    return path


@pytest.fixture(params=["folder", "zip"])
def corpus(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    names = RAVDESS + FER2013 + UNKNOWN
    if request.param == "folder":
        return folder_of(names, tmp_path / "corpus")
    return zip_of(names, tmp_path / "corpus.zip")


def test_what_is_known_of_recordings(corpus: Path) -> None:
    found = [example for example in read_corpus(corpus).examples if example.corpus == "ravdess"]
    assert [
        (e.key, e.emotion, e.speaker, e.has_sound, e.has_picture, e.is_still, e.part) for e in found
    ] == [
        ("01-03-01-02-01-01", "happy", "01", True, True, False, None),
        ("01-03-01-02-01-01", "happy", "01", False, True, False, None),
        ("01-03-01-02-01-01", "happy", "01", True, False, False, None),
        ("01-08-02-01-02-02", "surprised", "02", True, False, False, None),
    ]


def test_what_is_known_of_stills(corpus: Path) -> None:
    found = [example for example in read_corpus(corpus).examples if example.corpus == "fer2013"]
    assert [(e.key, e.emotion, e.part, e.speaker, e.is_still) for e in found] == [
        ("private/surprise/3.jpg", "surprised", "test", None, True),
        ("public/fear/2.jpg", "fearful", "validation", None, True),
        ("train/happy/1.jpg", "happy", "train", None, True),
        ("train/neutral/4.jpg", "neutral", "train", None, True),
    ]


def test_what_is_found_can_be_read_and_nothing_else_is_found(corpus: Path) -> None:
    contents = [content.decode() for content in read_contents(read_corpus(corpus).examples)]
    assert sorted(contents) == sorted(RAVDESS + FER2013)


def test_titles_name_the_file(tmp_path: Path) -> None:
    (inside,) = read_corpus(zip_of(FER2013[:1], tmp_path / "a.zip")).examples
    (loose,) = read_corpus(folder_of(RAVDESS[:1], tmp_path / "b")).examples
    assert inside.title == f"{tmp_path / 'a.zip'}: {FER2013[0]}"
    assert loose.title == str(tmp_path / "b" / RAVDESS[0])


def test_zip_files_of_ravdess_are_read_in_place(tmp_path: Path) -> None:
    zip_of(RAVDESS[:1], tmp_path / "Audio_Speech_Actors_01-24.zip")
    zip_of([*RAVDESS[1:3], SONG], tmp_path / "videos" / "Video_Speech_Actor_01.zip")
    zip_of(FER2013, tmp_path / "not-asked-for.zip")
    corpus = read_corpus(tmp_path)
    contents = [content.decode() for content in read_contents(corpus.examples)]
    assert sorted(contents) == sorted(RAVDESS[:3])
    assert len(read_corpus(tmp_path, song=True).examples) == 4
    assert corpus.excluded == ()


def test_songs_on_request(tmp_path: Path) -> None:
    path = folder_of([*RAVDESS, SONG], tmp_path / "corpus")
    spoken = read_corpus(path).examples
    sung = set(read_corpus(path, song=True).examples) - set(spoken)
    assert [(e.key, e.emotion, e.statement) for e in sung] == [("02-03-01-02-01-01", "happy", "02")]


def test_several_corpora_in_one_folder(tmp_path: Path) -> None:
    names = [*RAVDESS, "1001_DFA_ANG_XX.wav", "DC/a01.wav", *FER2013]
    corpus = read_corpus(folder_of(names, tmp_path / "corpus"))
    assert Counter(example.corpus for example in corpus.examples) == {
        "ravdess": 4,
        "cremad": 1,
        "savee": 1,
        "fer2013": 4,
    }
    keys = [example.key for example in corpus.examples]
    assert keys == sorted(keys)


def test_a_table_of_clips(tmp_path: Path) -> None:
    folder_of(["a.wav"], tmp_path)
    path = tmp_path / "mine.CSV"
    path.write_text("clip,emotion,speaker\na.wav,joy,anna\n")
    (example,) = read_corpus(path).examples
    assert (example.corpus, example.key, example.emotion) == ("mine", "a.wav", "happy")


def test_a_doubled_folder_is_left_out_by_name(tmp_path: Path) -> None:
    again = [f"Actor_01 (copy)/{Path(name).name}" for name in RAVDESS[:3]]
    path = folder_of([*RAVDESS, *again], tmp_path / "corpus")
    corpus = read_corpus(path)
    kept = [example.path.relative_to(path).as_posix() for example in corpus.examples]
    assert sorted(kept) == sorted([*again, RAVDESS[3]])
    assert set(corpus.excluded) == {
        Exclusion(clip=str(path / name), reason=f"doubled: also at {path / other}")
        for name, other in zip(RAVDESS, again, strict=False)
    }


def test_the_same_sound_in_another_format_is_doubled(tmp_path: Path) -> None:
    path = folder_of([RAVDESS[0], RAVDESS[0].replace(".wav", ".flac")], tmp_path / "corpus")
    corpus = read_corpus(path)
    assert [example.path.suffix for example in corpus.examples] == [".flac"]
    assert [Path(exclusion.clip).suffix for exclusion in corpus.excluded] == [".wav"]


def test_what_is_both_loose_and_in_a_zip_file_is_doubled(tmp_path: Path) -> None:
    folder_of(RAVDESS[:1], tmp_path)
    zip_of(RAVDESS[:2], tmp_path / "Audio_Speech_Actors_01-24.zip")
    corpus = read_corpus(tmp_path)
    assert sorted(example.member or "" for example in corpus.examples) == ["", RAVDESS[1]]
    (excluded,) = corpus.excluded
    assert excluded.clip == f"{tmp_path / 'Audio_Speech_Actors_01-24.zip'}: {RAVDESS[0]}"


@pytest.mark.parametrize("make", [folder_of, zip_of])
def test_empty_files_are_left_out_by_name(make: type, tmp_path: Path) -> None:
    path = make([*RAVDESS, "Actor_02/03-01-08-02-01-01-02.wav"], tmp_path / "c", empty=RAVDESS[:1])
    corpus = read_corpus(path)
    assert [exclusion.reason for exclusion in corpus.excluded] == ["empty file"]
    assert corpus.excluded[0].clip.endswith(RAVDESS[0])
    assert len(corpus.examples) == 4


def test_of_two_the_one_that_is_not_empty_stays(tmp_path: Path) -> None:
    again = f"Actor_01 (copy)/{Path(RAVDESS[0]).name}"
    path = folder_of([RAVDESS[0], again], tmp_path / "corpus", empty=[again])
    corpus = read_corpus(path)
    assert [example.path for example in corpus.examples] == [path / RAVDESS[0]]
    assert corpus.excluded == (Exclusion(clip=str(path / again), reason="empty file"),)


def test_nothing_but_empty_files(tmp_path: Path) -> None:
    path = folder_of(RAVDESS, tmp_path / "corpus", empty=RAVDESS)
    with pytest.raises(TrainingDataError, match="all 4 clips are empty files, first"):
        read_corpus(path)


@pytest.mark.parametrize("make", [folder_of, zip_of])
def test_nothing_to_train_on_is_told(make: type, tmp_path: Path) -> None:
    path = make(UNKNOWN, tmp_path / "corpus")
    with pytest.raises(TrainingDataError, match=f"among its {len(UNKNOWN)} files"):
        read_corpus(path)


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="no such file or folder"):
        read_corpus(tmp_path / "nowhere")


def test_a_broken_zip_file(tmp_path: Path) -> None:
    path = zip_of(RAVDESS, tmp_path / "corpus.zip")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(TrainingDataError, match="neither a folder nor a zip file"):
        read_corpus(path)


def test_a_damaged_file_in_a_zip_file(tmp_path: Path) -> None:
    path = zip_of(RAVDESS[:1], tmp_path / "corpus.zip")
    # The first occurrence of its own name after the header is the content.
    content = path.read_bytes()
    place = content.index(RAVDESS[0].encode(), content.index(RAVDESS[0].encode()) + 1)
    path.write_bytes(content[:place] + b"!" + content[place + 1 :])
    with pytest.raises(TrainingDataError, match=r"03-01-03-01-02-01-01\.wav is damaged"):
        list(read_contents(read_corpus(path).examples))


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_targets_of_recordings_are_certain(emotion: str) -> None:
    example = Example(key="a", emotion=emotion, corpus="ravdess", path=Path("a"), has_sound=True)
    assert targets(example).tolist() == [float(name == emotion) for name in EMOTIONS]


def test_targets_of_a_still_face_are_shared_by_neutral_and_calm() -> None:
    wanted = targets(Example(key="a", emotion="neutral", corpus="fer2013", path=Path("a")))
    assert dict(zip(EMOTIONS, wanted, strict=True)) == {
        **dict.fromkeys(EMOTIONS, 0.0),
        "neutral": 0.5,
        "calm": 0.5,
    }
    assert wanted.dtype == np.float32


def test_one_file_of_each_performance_is_kept(tmp_path: Path) -> None:
    examples = read_corpus(folder_of(RAVDESS, tmp_path / "corpus")).examples
    again = read_corpus(zip_of(RAVDESS, tmp_path / "again.zip")).examples
    heard = once_each(e for e in examples + again if e.has_sound)
    seen = once_each(e for e in examples + again if e.has_picture)
    assert sorted(e.path.name for e in heard) == [
        "03-01-03-01-02-01-01.wav",
        "03-01-08-02-01-02-02.FLAC",
    ]
    assert [e.path.name for e in seen] == ["02-01-03-01-02-01-01.mp4"]


def test_keys_of_different_corpora_are_different_performances() -> None:
    examples = [
        Example(key="a", emotion="sad", corpus=corpus, path=Path("a")) for corpus in ("x", "y")
    ]
    assert once_each(examples) == examples


@needs_data
def test_all_of_ravdess() -> None:
    corpus = read_corpus(Path(os.environ["MIEN_DATA"]) / "ravdess")
    examples = corpus.examples
    assert corpus.excluded == ()
    assert len({example.key for example in examples}) == len(examples) == 1440
    assert set(Counter(example.speaker for example in examples).values()) == {60}
    assert Counter(example.sex for example in examples) == {"female": 720, "male": 720}
    assert Counter(example.intensity for example in examples) == {"normal": 768, "strong": 672}
    assert Counter(example.statement for example in examples) == {"01": 720, "02": 720}
    assert Counter(example.emotion for example in examples) == {
        emotion: 96 if emotion == "neutral" else 192 for emotion in EMOTIONS
    }


@needs_data
def test_all_of_fer2013() -> None:
    examples = read_corpus(Path(os.environ["MIEN_DATA"]) / "fer2013.zip").examples
    assert Counter(example.part for example in examples) == {
        "train": 28_709,
        "validation": 3_589,
        "test": 3_589,
    }
