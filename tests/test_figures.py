"""mien.lab.figures: what is drawn, where, and that nothing else can get into the page."""

import math
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pytest

from mien.emotions import EMOTIONS
from mien.lab.figures import (
    Curve,
    Estimate,
    confusion_matrix,
    grouped_bars,
    interval_plot,
    loss_curves,
    reliability_curves,
    sorted_points,
)

Shares = dict[str, dict[str, float | None]]

HOSTILE = 'a"><script>alert(1)</script>'

FIGURES: dict[str, Callable[[str, str], str]] = {
    "interval_plot": lambda name, label: interval_plot(
        {name: {"audio": Estimate(0.5, 0.4, 0.6), name: Estimate(0.6)}}, label=label
    ),
    "confusion_matrix": lambda name, label: confusion_matrix(
        [[3, 1], [0, 2]], names=["sad", name], label=label
    ),
    "grouped_bars": lambda name, label: grouped_bars(
        {name: {"happy": 0.5, name: None}}, quantity=name, label=label
    ),
    "sorted_points": lambda name, label: sorted_points(
        {name: {"01": 0.5, name: math.nan}}, quantity="accuracy", label=label
    ),
    "reliability_curves": lambda name, label: reliability_curves(
        {name: [{"confidence": 0.7, "accuracy": 0.5, "clips": 3}]}, label=label
    ),
    "loss_curves": lambda name, label: loss_curves(
        [Curve((1, 2), (2.0, 1.0), (math.nan, math.nan))], label=label
    ),
}
every_figure = pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)


def texts(svg: str) -> list[str]:
    return ["".join(each.itertext()) for each in ET.fromstring(svg).iter() if _is(each, "text")]


def _is(element: ET.Element, name: str) -> bool:
    return element.tag.rpartition("}")[2] == name


@every_figure
def test_one_svg_with_a_label_and_nothing_to_load(draw: Callable[[str, str], str]) -> None:
    root = ET.fromstring(draw("audio", "Accuracy & more"))
    assert _is(root, "svg")
    assert root.get("role") == "img"
    assert root.get("aria-label") == "Accuracy & more"
    assert {each.tag.rpartition("}")[2] for each in root.iter()} <= {
        *("svg", "g", "defs", "style", "clipPath", "rect", "path", "use", "text")
    }


@every_figure
def test_names_and_labels_stay_text(draw: Callable[[str, str], str]) -> None:
    svg = draw(HOSTILE, HOSTILE)
    assert "<script" not in svg
    assert ET.fromstring(svg).get("aria-label") == HOSTILE


@every_figure
def test_the_same_numbers_give_the_same_text(draw: Callable[[str, str], str]) -> None:
    assert draw("audio", "A") == draw("audio", "A")


@every_figure
def test_figures_of_a_page_share_no_id_and_miss_none(draw: Callable[[str, str], str]) -> None:
    one, other = draw("audio", "A"), draw("audio", "B")
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (one, other)]
    assert not ids[0] & ids[1]
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', one)) <= ids[0]


@every_figure
@pytest.mark.parametrize("name", ["$x_1$", r"$\frac", "演员", "", "a\nb"])
def test_any_name_can_be_drawn(name: str, draw: Callable[[str, str], str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ET.fromstring(draw(name, "Label"))


def test_dollar_signs_are_no_formula() -> None:
    assert "$x_1$" in texts(FIGURES["grouped_bars"]("$x_1$", "Label"))


def test_the_users_own_style_changes_nothing() -> None:
    plain = FIGURES["grouped_bars"]("audio", "A")
    with mpl.rc_context({"xtick.color": "red", "axes.labelpad": 30}):
        assert FIGURES["grouped_bars"]("audio", "A") == plain


def test_a_confusion_matrix_shows_percent_of_rows_and_clips() -> None:
    counts = np.eye(8, dtype=int) * 3
    counts[0, 1] = 1
    counts[7] = 0
    shown = texts(confusion_matrix(counts, names=EMOTIONS, label="A"))
    assert shown.count("75") == 1
    assert shown.count("25") == 1
    assert shown.count("100") == 6
    assert shown.count("-") == 8
    assert {"neutral (4)", "calm (3)", "surprised (0)"} <= set(shown)


def test_points_stand_at_their_values() -> None:
    def place(share: float) -> float:
        svg = interval_plot({"luna5": {"audio": Estimate(share)}}, label="A")
        marks = [each for each in ET.fromstring(svg).iter() if _is(each, "use")]
        blue = [float(each.get("x", "nan")) for each in marks if "#0072b2" in str(each.attrib)]
        # The second is the legend's.
        return blue[0]

    zero, half, one = place(0.0), place(0.5), place(1.0)
    assert zero < half < one
    assert half - zero == pytest.approx(one - half, abs=0.01)


def test_the_reference_line_is_named() -> None:
    points = {"luna5": {"audio": Estimate(0.5)}}
    line = ("human listeners, 62.4 %", 0.624)
    assert line[0] in texts(interval_plot(points, label="A", reference=line))
    assert line[0] not in texts(interval_plot(points, label="A"))


def test_speakers_are_sorted_by_the_last_series() -> None:
    series: Shares = {
        "audio": {"01": 0.9, "02": 0.2, "03": 0.5, "04": 0.1},
        "average": {"01": 0.1, "02": 0.7, "03": None, "04": 0.4},
    }
    shown = texts(sorted_points(series, quantity="accuracy", label="A"))
    assert [text for text in shown if text in series["audio"]] == ["02", "04", "01", "03"]


def test_too_many_speakers_go_without_names() -> None:
    many = {"audio": {f"speaker-{number}": number / 100 for number in range(91)}}
    shown = texts(sorted_points(many, quantity="accuracy", label="A"))
    assert not any(text.startswith("speaker-") for text in shown)


def test_bars_carry_their_values_and_skip_what_is_unknown() -> None:
    series: Shares = {"audio": {"happy": 0.312, "sad": None}, "video": {"happy": 0.678}}
    shown = texts(grouped_bars(series, quantity="recall", label="A"))
    assert {"31", "68", "recall, %"} <= set(shown)
    assert "nan" not in shown
    assert "0" in shown  # the axis; no bar has it
    assert shown.count("0") == 1


def test_empty_bins_of_a_reliability_curve_are_skipped() -> None:
    empty = {"confidence": None, "accuracy": None, "clips": 0}
    full = {"confidence": 0.7, "accuracy": 0.5, "clips": 4}
    with_empty = reliability_curves({"audio": [empty, full]}, label="A")
    assert with_empty == reliability_curves({"audio": [full]}, label="A")
    ET.fromstring(reliability_curves({"audio": [empty]}, label="A"))


def test_long_names_are_cut() -> None:
    shown = texts(interval_plot({"x" * 40: {"audio": Estimate(0.5)}}, label="A"))
    assert "x" * 13 + "…" in shown
