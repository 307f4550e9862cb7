"""WebVTT, ELAN and JSON, read by the tools that they are for."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import pympi
import pytest
import webvtt

from made_windows import BUNDLE, scene, shares, window
from mien import EMOTIONS
from mien.stretches import stretches
from mien.timeline_files import TimelineFacts, open_writers
from mien.windows import Window

CLIP = "my talk & <more>.mp4"
FACTS = TimelineFacts(clip=Path(CLIP), window_s=4.0, hop_s=1.0, people="all", bundle=BUNDLE)
ROWS = list(scene(40))


def write(path: Path, rows: Sequence[Window] = ROWS) -> Path:
    facts = TimelineFacts(
        clip=path.parent / CLIP, window_s=4.0, hop_s=1.0, people="all", bundle=BUNDLE
    )
    with open_writers([path], facts) as (writer,):
        for row in rows:
            writer.write(row)
    return path


def test_webvtt_has_a_caption_a_person_and_stretch(tmp_path: Path) -> None:
    captions = list(webvtt.read(str(write(tmp_path / "t.vtt"))))
    expected = [
        (stretch.start_s, stretch.end_s, f"Person {row.person}", row.emotion)
        for stretch in stretches(ROWS)
        for row in stretch.windows
    ]
    found = [
        (seconds(caption.start), seconds(caption.end), caption.voice, caption.text.split()[0])
        for caption in captions
    ]
    assert found == expected


def seconds(clock: str) -> float:
    hours, minutes, rest = clock.split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(rest)


def test_captions_tell_how_sure_and_what_else(tmp_path: Path) -> None:
    mix = shares("happy", 0.6) | {"sad": 0.3}
    rows = [
        window(0, probabilities=mix),
        window(1, person=None, probabilities=mix, emotion=None),
        window(2, emotion=None),
    ]
    captions = list(webvtt.read(str(write(tmp_path / "t.vtt", rows))))
    assert [(caption.voice, caption.text) for caption in captions] == [
        ("Person 1", "happy 60 %, or else sad 30 %"),
        ("Voice", "not sure: happy 60 %, or else sad 30 %"),
    ]


def test_webvtt_is_whole_at_every_moment(tmp_path: Path) -> None:
    path = tmp_path / "t.vtt"
    with open_writers([path], FACTS) as (writer,):
        for count, start in enumerate((0, 1, 2)):
            writer.write(window(start))
            assert len(list(webvtt.read(str(path)))) == count
    assert len(list(webvtt.read(str(path)))) == 3


def test_webvtt_of_nothing_is_webvtt(tmp_path: Path) -> None:
    assert list(webvtt.read(str(write(tmp_path / "t.vtt", [])))) == []


def elan(path: Path) -> dict[str, list[tuple[int, int, str]]]:
    eaf = pympi.Eaf(str(path))
    return {tier: sorted(eaf.get_annotation_data_for_tier(tier)) for tier in eaf.get_tier_names()}


def annotations(rows: Sequence[Window], person: int) -> list[tuple[int, int, str]]:
    """Join neighbouring stretches of one emotion, in another way than the writer."""
    found: list[tuple[int, int, str]] = []
    for stretch in stretches(rows):
        for row in stretch.windows:
            if row.person != person or row.emotion is None:
                continue
            start, end = round(1000 * stretch.start_s), round(1000 * stretch.end_s)
            if found and found[-1][1:] == (start, row.emotion):
                start = found.pop()[0]
            found.append((start, end, row.emotion))
    return found


def test_elan_has_a_tier_a_person_and_one_for_speech(tmp_path: Path) -> None:
    tiers = elan(write(tmp_path / "t.eaf"))
    assert list(tiers) == ["person 1", "person 2", "speech"]
    for person in (1, 2):
        assert tiers[f"person {person}"] == annotations(ROWS, person)
    spoken = [s for s in stretches(ROWS) if (s.windows[0].speech or 0) >= 0.5]
    assert sum(end - start for start, end, _ in tiers["speech"]) == sum(
        round(1000 * (s.end_s - s.start_s)) for s in spoken
    )


def test_elan_file_is_the_same_after_pympi_has_read_and_written_it(tmp_path: Path) -> None:
    path = write(tmp_path / "t.eaf")
    again = tmp_path / "again.eaf"
    pympi.Eaf(str(path)).to_file(str(again))
    one, other = (canonical(each) for each in (path, again))
    assert one == other


def canonical(path: Path) -> str:
    root = ET.parse(path).getroot()
    # pympi forgets where the schema is; it says so nowhere.
    root.attrib.pop("{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation", None)
    return ET.canonicalize(ET.tostring(root, encoding="unicode"), strip_text=True)


def test_elan_finds_the_clip_and_offers_the_eight(tmp_path: Path) -> None:
    eaf = pympi.Eaf(str(write(tmp_path / "t.eaf")))
    (media,) = eaf.media_descriptors
    # ELAN takes it as it stands.
    assert media["RELATIVE_MEDIA_URL"] == "./my talk & <more>.mp4"
    assert str(tmp_path) not in (tmp_path / "t.eaf").read_text("utf-8")
    _, entries, _ = eaf.controlled_vocabularies["emotions"]
    assert [values[0][0] for values, _ in entries.values()] == list(EMOTIONS)
    assert eaf.linguistic_types["emotion"]["CONTROLLED_VOCABULARY_REF"] == "emotions"


def test_elan_leaves_out_what_has_no_answer(tmp_path: Path) -> None:
    rows = [window(0), window(1, emotion=None), window(2), window(3, person=None, speech=None)]
    tiers = elan(write(tmp_path / "t.eaf", rows))
    assert tiers["person 1"] == [(0, 2500, "happy"), (3500, 4500, "happy")]
    assert tiers["voice"] == [(4500, 7000, "happy")]
    assert elan(write(tmp_path / "t.eaf", []))["speech"] == []


def test_json_is_one_object(tmp_path: Path) -> None:
    told = json.loads(write(tmp_path / "t.json").read_text("ascii"))
    assert list(told) == ["clip", "bundle", "options", "windows"]
    assert told["clip"] == str(tmp_path / CLIP)
    assert told["bundle"] == BUNDLE
    assert told["options"] == {
        "window_s": 4.0,
        "hop_s": 1.0,
        "people": "all",
        "abstain_below": 0.0,
    }
    assert len(told["windows"]) == len(ROWS)
    first = told["windows"][0]
    assert first["probabilities"] == ROWS[0].probabilities
    assert first["audio"] == {
        "used": False,
        "reason": ROWS[0].audio.reason,
        "probabilities": None,
    }
    assert not {"sightings", "checkpoint"} & set(first)
    assert json.loads(write(tmp_path / "t.json", []).read_text())["windows"] == []


@pytest.mark.parametrize("ending", [".json", ".eaf", ".vtt", ".html", ".csv"])
def test_names_that_are_no_text(tmp_path: Path, ending: str) -> None:
    clip = tmp_path / "caf\udce9 --> {{data}}.mp4"
    facts = TimelineFacts(clip=clip, window_s=4.0, hop_s=1.0, people="all", bundle=BUNDLE)
    path = tmp_path / f"t{ending}"
    with open_writers([path], facts) as (writer,):
        writer.write(window(0))
    text = path.read_text("utf-8")
    if ending == ".html":
        assert "caf%E9" in text
    if ending == ".eaf":
        assert "./caf\\udce9" in text
    if ending == ".vtt":
        assert len(list(webvtt.read(str(path)))) == 1
        assert text.count("-->") == 1
