from pathlib import Path, PurePosixPath

import pytest

from mien.emotions import EMOTIONS
from mien.lab import naming
from mien.lab.archives import StoredFile
from mien.lab.examples import Example
from mien.lab.naming import example_of, has_sound_and_picture


def named(name: str, *, song: bool = False) -> Example | None:
    file = StoredFile(name=PurePosixPath(name), path=Path("root") / name, size=1)
    return example_of(file, song=song)


def test_ravdess() -> None:
    assert named("Actor_12/03-01-05-02-01-02-12.wav") == Example(
        key="01-05-02-01-02-12",
        emotion="angry",
        corpus="ravdess",
        path=Path("root/Actor_12/03-01-05-02-01-02-12.wav"),
        speaker="12",
        sex="female",
        statement="01",
        intensity="strong",
        has_sound=True,
    )


@pytest.mark.parametrize(
    ("name", "sound", "picture"),
    [
        ("01-01-05-02-01-02-11.mp4", True, True),
        ("02-01-05-02-01-02-11.mp4", False, True),
        ("03-01-05-02-01-02-11.wav", True, False),
    ],
)
def test_kinds_of_ravdess(name: str, sound: bool, picture: bool) -> None:
    example = named(name)
    assert example is not None
    assert (example.has_sound, example.has_picture) == (sound, picture)
    assert (example.sex, example.key) == ("male", "01-05-02-01-02-11")


def test_songs_on_request() -> None:
    name = "03-02-05-01-01-02-12.wav"
    assert named(name) is None
    song = named(name, song=True)
    assert song is not None
    assert (song.key, song.intensity) == ("02-05-01-01-02-12", "normal")


@pytest.mark.parametrize(
    ("name", "emotion", "intensity", "picture"),
    [
        ("AudioWAV/1001_DFA_ANG_XX.wav", "angry", None, False),
        ("1091_IEO_DIS_LO.WAV", "disgust", "normal", False),
        ("VideoFlash/1001_IEO_FEA_MD.flv", "fearful", "normal", True),
        ("1001_IEO_HAP_HI.mp4", "happy", "strong", True),
        ("1001_ITS_NEU_XX.wav", "neutral", None, False),
        ("1040_ITH_SAD_X.wav", "sad", None, False),
    ],
)
def test_cremad(name: str, emotion: str, intensity: str | None, picture: bool) -> None:
    assert named(name) == Example(
        key=PurePosixPath(name).stem,
        emotion=emotion,
        corpus="cremad",
        path=Path("root") / name,
        speaker=PurePosixPath(name).stem[:4],
        statement=PurePosixPath(name).stem[5:8],
        intensity=intensity,
        has_sound=True,
        has_picture=picture,
    )


@pytest.mark.parametrize(
    ("name", "speaker", "emotion"),
    [
        ("DC_a01.wav", "DC", "angry"),
        ("ALL/JE_d15.wav", "JE", "disgust"),
        ("AudioData/JK/f02.wav", "JK", "fearful"),
        ("KL/h03.avi", "KL", "happy"),
        ("DC/n30.wav", "DC", "neutral"),
        ("DC/sa05.wav", "DC", "sad"),
        ("DC_su05.wav", "DC", "surprised"),
    ],
)
def test_savee(name: str, speaker: str, emotion: str) -> None:
    code = PurePosixPath(name).stem.split("_")[-1]
    assert named(name) == Example(
        key=f"{speaker}_{code}",
        emotion=emotion,
        corpus="savee",
        path=Path("root") / name,
        speaker=speaker,
        sex="male",
        has_sound=True,
        has_picture=name.endswith(".avi"),
    )


def test_fer2013() -> None:
    assert named("fer2013/public/fear/2.jpg") == Example(
        key="public/fear/2.jpg",
        emotion="fearful",
        corpus="fer2013",
        path=Path("root/fer2013/public/fear/2.jpg"),
        part="validation",
    )


@pytest.mark.parametrize(
    "name",
    [
        "readme.txt",
        "03-01-09-01-02-01-01.wav",
        "03-01-03-01-02-01-25.wav",
        "03-01-03-01-02-01-01.txt",
        "1001_DFA_ANG_XX.mp3",
        "1001_DFA_CAL_XX.wav",
        "2001_DFA_ANG_XX.wav",
        "1001_DFA_ANG.wav",
        "DC_a1.wav",
        "DC_x01.wav",
        "MK_a01.wav",
        "elsewhere/a01.wav",
        "a01.wav",
        "train/bored/1.jpg",
        "happy/1.jpg",
    ],
)
def test_names_of_no_corpus(name: str) -> None:
    assert named(name, song=True) is None


def test_a_member_of_a_zip_file_stays_one() -> None:
    for name in (
        "03-01-05-02-01-02-12.wav",
        "1001_DFA_ANG_XX.wav",
        "DC_a01.wav",
        "train/sad/1.jpg",
    ):
        example = example_of(
            StoredFile(name=PurePosixPath(name), path=Path("a.zip"), member=f"x/{name}", size=1)
        )
        assert example is not None
        assert (example.path, example.member) == (Path("a.zip"), f"x/{name}")


@pytest.mark.parametrize(
    "emotions", [naming.FER2013_EMOTIONS, naming.CREMAD_EMOTIONS, naming.SAVEE_EMOTIONS]
)
def test_emotions_of_other_corpora_are_among_the_eight(emotions: dict[str, str]) -> None:
    assert set(emotions.values()) <= set(EMOTIONS)
    assert len(set(emotions.values())) == len(emotions)


@pytest.mark.parametrize(
    ("name", "sound", "picture"),
    [
        ("a.wav", True, False),
        ("a.M4A", True, False),
        ("a.jpeg", False, False),
        ("a.mp4", True, True),
        ("a", True, True),
    ],
)
def test_what_a_suffix_says(name: str, sound: bool, picture: bool) -> None:
    assert has_sound_and_picture(PurePosixPath(name)) == (sound, picture)
