"""What notebooks show, and the tables of one prediction."""

import re
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace

import pandas
import pytest

from made_windows import scene, shares, window
from mien import EMOTIONS, Prediction, Timeline
from mien.displays import MOST_POINTS
from mien.errors import MissingDependency
from mien.windows import COLUMNS, Branch

HAPPY = shares("happy", 0.72)
PREDICTION = Prediction(
    clip="<b>ünïcode</b>, with comma.mp4",
    emotion="happy",
    confidence=0.72,
    abstained=False,
    set=("happy", "surprised"),
    set_rate=0.9,
    probabilities=HAPPY,
    audio=Branch(True, None, HAPPY),
    video=Branch(False, "a face in 2 of 22 frames", None),
    duration_s=3.35,
    faces_found=0.091,
    bundle={"name": "default", "sha256": "00"},
    seconds={"total": 0.31},
)


def parsed(html: str) -> ET.Element:
    """Read what is shown as XML, which forgives nothing; nothing in it may run or be loaded."""
    assert not re.search(r"<script|\son\w+=|https?:|url\(|<img|<link", html)
    return ET.fromstring(html)


def test_prediction_shows_itself() -> None:
    shown = parsed(PREDICTION._repr_html_())
    texts = ["".join(each.itertext()) for each in shown.iter("text")]
    assert set(EMOTIONS) <= set(texts)
    # By voice and both; the face is out.
    assert texts.count("72%") == 2
    told = "".join(shown.itertext())
    assert "happy 72 %, or else" in told
    assert "not used: video: a face in 2 of 22 frames" in told
    assert "<b>ünïcode</b>, with comma.mp4" in told


def test_prediction_without_an_answer_shows_itself() -> None:
    out = Branch(False, "silent", None)
    nothing = replace(
        PREDICTION, emotion=None, confidence=None, probabilities=None, audio=out, video=out
    )
    assert "no answer" in "".join(parsed(nothing._repr_html_()).itertext())


def test_timeline_shows_a_lane_a_person() -> None:
    shown = parsed(Timeline.gather(scene(60), clip="talk.mp4")._repr_html_())
    texts = ["".join(each.itertext()) for each in shown.iter("text")]
    assert texts[:2] == ["Person 1", "Person 2"]
    assert texts[-3:] == ["0:00", "0:30", "1:00"]
    # One run of the first person, two of the second, who is away in between.
    assert len(list(shown.iter("polygon"))) == 3 * len(EMOTIONS)
    parsed(Timeline("nothing.mp4", ())._repr_html_())


def test_long_timelines_stay_small() -> None:
    shown = parsed(
        Timeline.gather(scene(7200, people=(1,), hop=5.0), clip="talk.mp4")._repr_html_()
    )
    for polygon in shown.iter("polygon"):
        assert len(polygon.attrib["points"].split()) <= 2 * (MOST_POINTS + 1)


def test_bands_add_up_to_the_lane() -> None:
    rows = [window(0, probabilities=shares("sad", 0.5)), window(1, probabilities=shares("sad"))]
    shown = parsed(Timeline.gather(rows, clip="talk.mp4")._repr_html_())
    ys = [
        float(point.split(",")[1])
        for polygon in shown.iter("polygon")
        for point in polygon.attrib["points"].split()
    ]
    assert (min(ys), max(ys)) == (20, 84)


def test_prediction_as_a_table() -> None:
    table = PREDICTION.to_arrow()
    assert tuple(table.column_names) == ("clip", *COLUMNS)
    (row,) = table.to_pylist()
    assert (row["clip"], row["start_s"], row["end_s"]) == (PREDICTION.clip, 0, 3.35)
    assert row["happy"] == row["audio_happy"] == 0.72
    assert row["video_happy"] is row["person"] is row["speech"] is None
    assert row["reason"] == "video: a face in 2 of 22 frames"
    frame = pandas.concat([PREDICTION.to_pandas(), PREDICTION.to_pandas()])
    assert frame["faces_found"].tolist() == [0.091, 0.091]


@pytest.mark.parametrize("missing", ["pyarrow", "pandas"])
def test_missing_libraries_are_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingDependency, match=f"pip install {missing}|mien\\[tables\\]"):
        PREDICTION.to_pandas()
    with pytest.raises(MissingDependency):
        Timeline("talk.mp4", ()).to_pandas()
