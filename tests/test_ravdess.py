import re
from collections import Counter
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.errors import InvalidArgument
from mien.lab.ravdess import (
    ACTORS,
    ARCHIVE,
    CODES,
    broken_rule,
    parse_actors,
    parse_name,
    performances,
)

CODE = st.integers(0, 99).map("{:02d}".format)


@given(codes=st.lists(CODE, min_size=7, max_size=7))
def test_names_are_taken_apart_and_put_together(codes: list[str]) -> None:
    stem = "-".join(codes)
    name = parse_name(stem)
    assert name is not None
    assert name.stem == stem
    assert name.key == stem[3:]
    possible = [1 <= int(code) <= most for code, most in zip(codes, CODES.values(), strict=True)]
    assert len(name.impossible_codes) == possible.count(False)


@pytest.mark.parametrize(
    "stem",
    [
        "",
        "03-01-05-01-02-01",
        "03-01-05-01-02-01-12-01",
        "3-1-5-1-2-1-12",
        "03_01_05_01_02_01_12",
        "03-01-05-01-02-01-12 (1)",
        "٠٣-01-05-01-02-01-12",
    ],
)
def test_other_names(stem: str) -> None:
    assert parse_name(stem) is None


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("Actor_12/03-01-05-01-02-01-12.wav", None),
        ("Actor_12/03-01-05-01-02-01-12.FLAC", None),
        ("elsewhere/02-02-05-02-02-01-12.mp4", None),
        ("01-02-01-01-02-01-12.mp4", None),
        ("03-01-05-01-02-01-12 (1).wav", "not seven codes of two digits"),
        ("04-01-05-01-02-01-12.wav", "modality must be 01 to 03, not 04"),
        ("03-01-00-01-02-01-12.wav", "emotion must be 01 to 08, not 00"),
        (
            "03-01-09-01-02-01-25.wav",
            "emotion must be 01 to 08, not 09; actor must be 01 to 24, not 25",
        ),
        ("03-01-01-02-02-01-12.wav", "neutral has no strong intensity"),
        ("03-02-07-01-02-01-12.wav", "emotion 07 has no songs"),
        ("03-02-05-01-02-01-18.wav", "actor 18 has no songs"),
        ("03-01-05-01-02-01-12.mp4", "modality 03 is audio, in a .mp4 file"),
        ("02-01-05-01-02-01-12.wav", "modality 02 is video, in a .wav file"),
        ("01-01-05-01-02-01-12.flac", "modality 01 is audio-video, in a .flac file"),
        (
            "Actor_11/03-01-05-01-02-01-12.wav",
            "in the folder Actor_11, named for actor 12",
        ),
    ],
)
def test_rules(file: str, told: str | None) -> None:
    assert broken_rule(PurePosixPath(file)) == told


@pytest.mark.parametrize("modality", ["01", "02", "03"])
def test_what_there_is(modality: str) -> None:
    speech = list(performances(modality=modality, channel="01"))
    songs = list(performances(modality=modality, channel="02"))
    suffix = ".wav" if modality == "03" else ".mp4"
    assert all(
        broken_rule(PurePosixPath(f"Actor_{name.actor}/{name.stem}{suffix}")) is None
        for name in speech + songs
    )
    assert Counter(name.actor for name in speech) == {f"{n:02d}": 60 for n in ACTORS}
    assert Counter(name.actor for name in songs) == {f"{n:02d}": 44 for n in ACTORS if n != 18}
    assert len({name.stem for name in speech + songs}) == 2452


def test_all_of_the_corpus_is_7356_files() -> None:
    count = sum(
        1
        for modality in ("01", "02", "03")
        for channel in ("01", "02")
        for _ in performances(modality=modality, channel=channel)
    )
    assert count == 7356


def test_names_of_archives() -> None:
    names = ["Audio_Speech_Actors_01-24.zip", "Audio_Song_Actors_01-24.zip"]
    names += ["Video_Speech_Actor_07.zip", "Video_Song_Actor_24.zip"]
    assert all(ARCHIVE.fullmatch(name) for name in names)
    others = ["fer2013.zip", "Video_Speech_Actor_07.zip.part", "Audio_Speech_Actors_01-24 (1).zip"]
    assert not any(ARCHIVE.fullmatch(name) for name in others)


@given(actors=st.sets(st.sampled_from(ACTORS), min_size=1))
def test_numbers_of_actors(actors: set[int]) -> None:
    assert parse_actors(",".join(map(str, actors))) == tuple(sorted(actors))


@pytest.mark.parametrize(
    ("text", "actors"),
    [("1-24", ACTORS), ("07", (7,)), (" 2 - 3, 18,2", (2, 3, 18))],
)
def test_ranges_of_actors(text: str, actors: tuple[int, ...]) -> None:
    assert parse_actors(text) == actors


@pytest.mark.parametrize(
    "text", ["", "0", "25", "1-25", "3-1", "1-", "one", "1;2", "1,,2", "1-9999999"]
)
def test_actors_that_are_none(text: str) -> None:
    with pytest.raises(InvalidArgument, match=f"actors must be .* not {re.escape(repr(text))}"):
        parse_actors(text)
