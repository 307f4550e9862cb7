"""Plots of an evaluation: numbers → SVG text that stands inside an HTML page.

Each function returns one ``<svg>`` element with an ``aria-label``, without scripts, pictures or
links. The same numbers give the same text, and no two labels share an element's ``id``. Values
are shares, 0 to 1, drawn as percent; None and NaN are left out.

Colours: Okabe & Ito 2008, which people with any colour vision tell apart.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mien.lab.svg import INK, styled, to_svg

BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
PURPLE, SKY, ORANGE, BLACK = "#CC79A7", "#56B4E9", "#E69F00", "#000000"
PROTOCOL_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, SKY, ORANGE)
SYSTEM_COLOURS = (SKY, ORANGE, GREEN, PURPLE, BLUE, VERMILLION)
MARKERS = "osD^vP"
"""Tell the series apart where colours do not, as in a black and white print."""

WIDTH = 4.8
"""Inches, as for all figures: 460 pixels, so that a phone shrinks the 12-pixel text only to 9."""

LONGEST_LABEL = 14
MOST_NAMED_ROWS = 60


@dataclass(frozen=True)
class Estimate:
    """A score and its 95 % interval, as shares."""

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Curve:
    """The losses of one trained network, by epoch."""

    epochs: tuple[int, ...]
    loss: tuple[float, ...]
    validation_loss: tuple[float, ...]
    """NaN where there was no validation."""


@styled
def interval_plot(
    series: Mapping[str, Mapping[str, Estimate]],
    *,
    label: str,
    reference: tuple[str, float] | None = None,
) -> str:
    """Draw points with intervals: one row a system, one colour a series.

    Args:
        series: name of a series (a protocol) → system → estimate.
        label: what a screen reader says.
        reference: name and share of a vertical line.

    >>> interval_plot({"luna5": {"audio": Estimate(0.5, 0.4, 0.6)}}, label="Scores")[:4]
    '<svg'
    """
    rows = list(dict.fromkeys(system for points in series.values() for system in points))
    figure = Figure(figsize=(WIDTH, 0.8 + len(rows) * (0.16 + 0.14 * len(series))))
    axes = _percent_axes(figure, rows)
    shifts = _shifts(len(series))
    for place, (name, points) in enumerate(series.items()):
        for system, point in points.items():
            height = rows.index(system) + shifts[place]
            axes.plot([100 * point.low, 100 * point.high], [height] * 2, **_stroke(place))
        axes.plot(
            [100 * point.value for point in points.values()],
            [rows.index(system) + shifts[place] for system in points],
            MARKERS[place % len(MARKERS)],
            color=PROTOCOL_COLOURS[place % len(PROTOCOL_COLOURS)],
            label=_short(name),
            markersize=5,
            clip_on=False,
        )
    if reference is not None:
        text, share = reference
        axes.axvline(100 * share, color=BLACK, linestyle="--", linewidth=1, label=text, zorder=1.5)
    _legend(figure, axes)
    return to_svg(figure, label=label)


@styled
def confusion_matrix(counts: npt.ArrayLike, *, names: Sequence[str], label: str) -> str:
    """Draw how often each class was taken for each, in percent of its row.

    Args:
        counts: shape ``(classes, classes)``: row the truth, column the prediction.
        names: of the classes.
        label: what a screen reader says.

    >>> "67" in confusion_matrix([[2, 1], [0, 3]], names=["sad", "angry"], label="Confusion")
    True
    """
    table = np.asarray(counts, float)
    clips = table.sum(axis=1)
    shares = 100 * table / np.maximum(clips, 1)[:, None]
    # Smaller than the others: three stand side by side.
    figure = Figure(figsize=(4.1, 3.9))
    axes = figure.subplots()
    # Not imshow, which would put a picture in the page.
    axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=100, edgecolors="white", linewidth=0.8)
    for row, column in np.ndindex(*shares.shape):
        axes.text(
            column + 0.5,
            row + 0.5,
            f"{shares[row, column]:.0f}" if clips[row] else "-",
            ha="center",
            va="center",
            color="white" if shares[row, column] > 55 else INK,
            in_layout=False,
        )
    places = np.arange(len(names)) + 0.5
    axes.set_xticks(places, names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(
        places, [f"{name} ({count:.0f})" for name, count in zip(names, clips, strict=True)]
    )
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("recognised as")
    axes.set_ylabel("expressed (clips)")
    return to_svg(figure, label=label)


@styled
def grouped_bars(
    series: Mapping[str, Mapping[str, float | None]], *, quantity: str, label: str
) -> str:
    """Draw bars: one group a class of clips, one bar in it a system.

    Args:
        series: system → group → share.
        quantity: what the bars measure.
        label: what a screen reader says.

    >>> "happy" in grouped_bars({"audio": {"happy": 0.5}}, quantity="recall", label="Recall")
    True
    """
    groups = list(dict.fromkeys(group for values in series.values() for group in values))
    figure = Figure(figsize=(WIDTH, 0.8 + len(groups) * (0.12 + 0.17 * len(series))))
    axes = _percent_axes(figure, groups)
    axes.set_xlabel(f"{quantity}, %")
    # Room for the number behind a bar of 100.
    axes.set_xlim(0, 108)
    thickness = 0.8 / max(len(series), 1)
    for place, (name, values) in enumerate(series.items()):
        shift = (place + 0.5) * thickness - 0.4
        shares = [100 * _number(values.get(group)) for group in groups]
        heights = [number + shift for number in range(len(groups))]
        colour = SYSTEM_COLOURS[place % len(SYSTEM_COLOURS)]
        axes.barh(heights, np.nan_to_num(shares), thickness, color=colour, label=_short(name))
        for share, height in zip(shares, heights, strict=True):
            if math.isfinite(share):
                axes.text(
                    share + 1, height, f"{share:.0f}", va="center", fontsize=7, in_layout=False
                )
    _legend(figure, axes)
    return to_svg(figure, label=label)


@styled
def sorted_points(
    series: Mapping[str, Mapping[str, float | None]], *, quantity: str, label: str
) -> str:
    """Draw a row of points a speaker, sorted by the last series, the best at the top.

    Args:
        series: system → speaker → share.
        quantity: what the points measure.
        label: what a screen reader says.

    >>> sorted_points({"audio": {"01": 0.4, "02": 0.6}}, quantity="UAR", label="Actors")[:4]
    '<svg'
    """
    rows = list(dict.fromkeys(row for values in series.values() for row in values))
    leading = list(series.values())[-1]
    rows.sort(key=lambda row: (-np.nan_to_num(_number(leading.get(row)), nan=-1.0), row))
    named = len(rows) <= MOST_NAMED_ROWS
    figure = Figure(figsize=(WIDTH, 0.9 + 0.17 * min(len(rows), MOST_NAMED_ROWS)))
    axes = _percent_axes(figure, rows if named else [""] * len(rows))
    axes.set_xlabel(f"{quantity}, %")
    for place, (name, values) in enumerate(series.items()):
        axes.plot(
            [100 * _number(values.get(row)) for row in rows],
            range(len(rows)),
            MARKERS[place % len(MARKERS)],
            color=SYSTEM_COLOURS[place % len(SYSTEM_COLOURS)],
            label=_short(name),
            markersize=5 if named else 3,
            clip_on=False,
        )
    _legend(figure, axes)
    return to_svg(figure, label=label)


@styled
def reliability_curves(
    series: Mapping[str, Sequence[Mapping[str, float | None]]], *, label: str
) -> str:
    """Draw how often answers were right against how sure they were.

    Args:
        series: system → bins, each with ``confidence``, ``accuracy`` and ``clips``.
        label: what a screen reader says.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks".

    >>> bins = [{"confidence": 0.7, "accuracy": 0.5, "clips": 4}]
    >>> reliability_curves({"audio": bins}, label="Reliability")[:4]
    '<svg'
    """
    figure = Figure(figsize=(WIDTH, 4.5))
    axes = _percent_axes(figure, [])
    axes.plot([0, 100], [0, 100], color="#777777", linestyle="--", linewidth=1, label="exact")
    for place, (name, bins) in enumerate(series.items()):
        filled = [part for part in bins if part["clips"]]
        sure = [100 * _number(part["confidence"]) for part in filled]
        right = [100 * _number(part["accuracy"]) for part in filled]
        clips = np.array([_number(part["clips"]) for part in filled])
        colour = SYSTEM_COLOURS[place % len(SYSTEM_COLOURS)]
        marker = MARKERS[place % len(MARKERS)]
        axes.plot(sure, right, color=colour, linewidth=1, alpha=0.6)
        axes.scatter(
            sure,
            right,
            # A bin of few clips says little, and looks it.
            s=3 + 50 * clips / max(clips, default=1),
            color=colour,
            marker=marker,
            clip_on=False,
        )
        axes.plot([], [], marker, color=colour, label=_short(name), markersize=5)
    axes.set(xlim=(0, 100), ylim=(0, 100))
    axes.grid(visible=True, axis="both")
    axes.set_xlabel("confidence, %")
    axes.set_ylabel("of these right, %")
    _legend(figure, axes)
    return to_svg(figure, label=label)


@styled
def loss_curves(curves: Sequence[Curve], *, label: str) -> str:
    """Draw the losses of a network by epoch, a thin line each time it was trained.

    Args:
        curves: one a fold and seed.
        label: what a screen reader says.

    >>> loss_curves([Curve((1, 2), (2.0, 1.5), (2.0, 1.8))], label="Losses")[:4]
    '<svg'
    """
    figure = Figure(figsize=(WIDTH, 2.8))
    axes = figure.subplots()
    for place, curve in enumerate(curves):
        names = ("training", "validation") if place == 0 else (None, None)
        style: Any = {"linewidth": 1, "alpha": 0.75}
        axes.plot(curve.epochs, curve.loss, color=BLUE, label=names[0], **style)
        axes.plot(
            curve.epochs, curve.validation_loss, "--", color=VERMILLION, label=names[1], **style
        )
    axes.set_ylim(bottom=0)
    axes.grid(visible=True)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("cross-entropy")
    _legend(figure, axes)
    return to_svg(figure, label=label)


def _percent_axes(figure: Figure, rows: Sequence[str]) -> Axes:
    axes = figure.subplots()
    axes.set(xlim=(0, 100), xticks=range(0, 101, 20))
    axes.grid(visible=True, axis="x")
    if rows:
        axes.set_yticks(range(len(rows)), [_short(row) for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
    return axes


def _legend(figure: Figure, axes: Axes) -> None:
    names = axes.get_legend_handles_labels()[1]
    if names:
        columns = 4 if len("".join(names)) < 45 else 3
        figure.legend(
            loc="outside upper center", ncols=columns, columnspacing=1.2, handletextpad=0.5
        )


def _shifts(count: int) -> list[float]:
    """Spread the series of a row around its middle."""
    step = 0.7 / max(count, 1)
    return [(place - (count - 1) / 2) * step for place in range(count)]


def _stroke(place: int) -> Any:
    colour = PROTOCOL_COLOURS[place % len(PROTOCOL_COLOURS)]
    return {"color": colour, "linewidth": 1.6, "solid_capstyle": "butt"}


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 1]}…"


def _number(value: float | None) -> float:
    return math.nan if value is None else value
