"""A timeline → a figure for print: stacked probabilities over time, one panel a person."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mien.curves import Curve, curves
from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument
from mien.lab.files import write_atomically
from mien.lab.svg import styled
from mien.palette import EMOTION_COLOURS, rgb
from mien.timelines import Timeline
from mien.wording import clock, person_name

ENDINGS = (".png", ".pdf", ".svg")
WIDTH = 6.3
"""Inches: a page of A4 between its margins."""
PANEL_HEIGHT = 1.25
DOTS_PER_INCH = 300
HATCHES = dict(
    zip(EMOTIONS, ("", "....", "", "\\\\\\\\", "xxxx", "||||", "////", "----"), strict=True)
)
"""Tell the emotions apart where colours do not, as in a black and white print."""
_LIGHT = 120
"""Brightness, 0 to 255, from which a colour takes dark strokes."""


@styled
def plot_timeline(timeline: Timeline, path: Path) -> None:
    """Draw a timeline and write it, whole or not at all.

    Args:
        timeline: what to draw.
        path: .png (300 dots an inch), .pdf or .svg.

    Raises:
        InvalidArgument: another ending, a place that cannot be written to, or no answer to draw.

    >>> plot_timeline(Timeline("talk.csv", ()), Path("talk.gif"))
    Traceback (most recent call last):
    mien.errors.InvalidArgument: --out must end in .png, .pdf or .svg, not 'talk.gif'
    """
    if path.suffix not in ENDINGS:
        raise InvalidArgument(f"--out must end in .png, .pdf or .svg, not {path.name!r}")
    if not path.parent.is_dir():
        raise InvalidArgument(f"--out {path}: there is no folder {path.parent}; make it first")
    people = curves(timeline.windows)
    if not any(people.values()):
        raise InvalidArgument(f"{timeline.clip} holds no answer that could be drawn")
    figure = _drawn(people)
    # No date: the same table gives the same file.
    metadata: dict[str, Any] = {
        ".svg": {"Date": None},
        ".pdf": {"CreationDate": None},
    }.get(path.suffix, {})
    kind = path.suffix.removeprefix(".")

    def save(file: Any) -> None:
        figure.savefig(file, format=kind, dpi=DOTS_PER_INCH, metadata=metadata, transparent=False)

    write_atomically(path, save)


def _drawn(people: dict[int | None, list[Curve]]) -> Figure:
    figure = Figure(figsize=(WIDTH, 0.75 + PANEL_HEIGHT * len(people)))
    panels: list[Axes] = list(figure.subplots(len(people), sharex=True, squeeze=False)[:, 0])
    for axes, (person, found) in zip(panels, people.items(), strict=True):
        for curve in found:
            _bands(axes, curve)
        axes.set_title(person_name(person), loc="left", fontsize=9, pad=3)
        axes.set(ylim=(0, 1), yticks=(0, 0.5, 1))
    panels[0].set_xlim(0, max(curve.end_s for found in people.values() for curve in found))
    panels[-1].xaxis.set_major_locator(MaxNLocator(8, steps=[1, 1.5, 2, 3, 5, 6, 10]))
    panels[-1].xaxis.set_major_formatter(FuncFormatter(lambda time, _: clock(time)))
    panels[-1].set_xlabel("time")
    figure.supylabel("probability", fontsize=9)
    figure.legend(handles=_keys(), loc="outside upper center", ncols=4, handlelength=2.2)
    return figure


def _bands(axes: Axes, curve: Curve) -> None:
    below = [0.0] * len(curve.times_s)
    for number, emotion in enumerate(EMOTIONS):
        above = [low + shares[number] for low, shares in zip(below, curve.shares, strict=True)]
        axes.fill_between(curve.times_s, below, above, linewidth=0, **_look(emotion))
        axes.plot(curve.times_s, above, color="white", linewidth=0.5)
        below = above


def _keys() -> list[Patch]:
    return [Patch(label=emotion, linewidth=0, **_look(emotion)) for emotion in EMOTIONS]


def _look(emotion: str) -> dict[str, Any]:
    colour = EMOTION_COLOURS[emotion]
    red, green, blue = rgb(colour)
    light = 0.299 * red + 0.587 * green + 0.114 * blue > _LIGHT
    strokes = (0, 0, 0, 0.45) if light else (1, 1, 1, 0.6)
    return {"facecolor": colour, "edgecolor": strokes, "hatch": HATCHES[emotion]}
