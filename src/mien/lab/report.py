"""``scores.json`` and ``history.csv`` → ``report.html``: one file that needs no network.

The page is made of the templates beside this module. Every text of the evaluation is escaped in
it, figures are inline SVG, and its content security policy forbids scripts and anything loaded.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
from markupsafe import Markup

from mien.emotions import EMOTIONS
from mien.lab import figures
from mien.lab.figures import Curve, Estimate
from mien.lab.files import write_atomically
from mien.lab.findings import Scores, best_system, findings, in_order, seeds_of, systems_in_focus
from mien.lab.scores_file import read_history, read_scores
from mien.lab.wording import (
    count,
    decimal,
    decimal_interval,
    described,
    duration,
    finite_ends,
    is_number,
    p_value,
    percent,
    percent_interval,
    shown,
    signed,
)

WRITTEN: tuple[Callable[..., str], ...] = (
    count,
    decimal,
    decimal_interval,
    described,
    duration,
    p_value,
    percent,
    percent_interval,
    shown,
    signed,
)
"""Filters of the templates."""

HUMAN_LISTENERS = ("human listeners, 62.4 %", 0.624)
"""RAVDESS speech, Livingstone & Russo 2018, doi:10.1371/journal.pone.0196391."""


@dataclass(frozen=True)
class Drawing:
    """A figure and what stands under it."""

    title: str
    svg: Markup
    caption: str = ""


@dataclass(frozen=True)
class ProtocolView:
    """What the page shows of one protocol."""

    name: str
    scores: Scores
    systems: list[str]
    focus: list[str]
    """The branches and the best fusion: drawn at once; the others fold away."""
    best: str | None
    confusions: dict[str, Drawing]
    """System → matrix."""
    drawings: list[Drawing]
    losses: list[Drawing]


def write_report(folder: Path) -> Path:
    """Draw the report of an evaluation, or draw it again.

    Args:
        folder: with ``scores.json`` and, where networks were trained, ``history.csv``.

    Returns:
        Where it is: ``report.html`` in that folder. The same scores give the same bytes.

    Raises:
        InvalidArgument: a file is missing, damaged or of another mien.

    >>> write_report(Path("nowhere"))
    Traceback (most recent call last):
    mien.errors.InvalidArgument: nowhere/scores.json is missing; give the folder that 'mien ...
    """
    page = render(read_scores(folder), history=read_history(folder / "history.csv"))
    path = folder / "report.html"
    write_atomically(path, lambda file: file.write(page.encode()))
    return path


def render(scores: Scores, *, history: Mapping[str, Mapping[str, Sequence[Curve]]]) -> str:
    """Make the page from what ``read_scores`` and ``read_history`` give."""
    protocols = scores["protocols"]
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            title=_title(scores),
            scores=scores,
            findings=findings(scores),
            protocols=[
                _view(name, protocol, curves=history.get(name, {}))
                for name, protocol in protocols.items()
            ],
            systems=in_order({name for each in protocols.values() for name in each["systems"]}),
            held_out=_side_by_side(scores, "held_out", title="Accuracy on held-out clips"),
            all_clips=_side_by_side(scores, "all_clips", title="Accuracy on all clips, inflated"),
            of_ravdess=_of_ravdess(scores),
            emotions=EMOTIONS,
            seeds=seeds_of(scores),
        )
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mien.lab"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for written in WRITTEN:
        environment.filters[written.__name__] = written
    return environment


def _title(scores: Scores) -> str:
    preset = scores["settings"].get("preset")
    what = f"the {preset} preset" if preset else "predictions"
    return f"Evaluation of {what} on {', '.join(map(str, scores['corpus']['sources']))}"


def _of_ravdess(scores: Scores) -> bool:
    return "ravdess" in scores["corpus"]["sources"]


def _side_by_side(scores: Scores, counted: str, *, title: str) -> Drawing:
    series = {
        name: {
            shown(system): _estimate(protocol["systems"][system][counted]["accuracy"])
            for system in in_order(protocol["systems"])
        }
        for name, protocol in scores["protocols"].items()
    }
    reference = HUMAN_LISTENERS if _of_ravdess(scores) else None
    return Drawing(title, _inline(figures.interval_plot(series, label=title, reference=reference)))


def _estimate(measure: Scores) -> Estimate:
    value = measure["value"] if is_number(measure["value"]) else math.nan
    return Estimate(value, *(finite_ends(measure["ci95"]) or ()))


def _view(name: str, protocol: Scores, *, curves: Mapping[str, Sequence[Curve]]) -> ProtocolView:
    systems = in_order(protocol["systems"])
    focus = systems_in_focus(protocol)
    return ProtocolView(
        name=name,
        scores=protocol,
        systems=systems,
        focus=focus,
        best=best_system(protocol, among=systems),
        confusions={system: _confusion(name, protocol, system) for system in systems},
        drawings=_drawings(name, protocol, focus),
        losses=[_losses(name, network, curves[network]) for network in in_order(curves)],
    )


def _confusion(name: str, protocol: Scores, system: str) -> Drawing:
    counts = np.asarray(protocol["systems"][system]["confusion"])
    mistake = _worst_mistake(counts)
    label = f"{name}, {shown(system)}: confusion matrix. {mistake}"
    svg = figures.confusion_matrix(counts, names=EMOTIONS, label=label)
    return Drawing(shown(system), _inline(svg), mistake)


def _worst_mistake(counts: np.ndarray) -> str:
    """Tell which emotion is most often taken for which other."""
    mistakes = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    shares = mistakes / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    truth, said = np.unravel_index(np.argmax(shares), shares.shape)
    if not mistakes[truth, said]:
        return "No mistakes."
    share = percent(float(shares[truth, said]))
    return f"Most often mistaken: {EMOTIONS[truth]} for {EMOTIONS[said]}, {share} of its clips."


def _drawings(name: str, protocol: Scores, focus: Sequence[str]) -> list[Drawing]:
    systems = {shown(system): protocol["systems"][system] for system in focus}
    emotions = _by(systems, ("by_emotion",), "recall")
    groups = _by(systems, ("by_intensity", "by_sex"), "accuracy")
    speakers = _by(systems, ("by_speaker",), "accuracy")
    drawn = []
    if any(emotions.values()):
        title = "Recall by emotion"
        svg = figures.grouped_bars(emotions, quantity="recall", label=f"{name}: {title}")
        drawn.append(Drawing(title, _inline(svg)))
    if any(groups.values()):
        title = "Accuracy by intensity and sex"
        svg = figures.grouped_bars(groups, quantity="accuracy", label=f"{name}: {title}")
        drawn.append(Drawing(title, _inline(svg)))
    if any(speakers.values()):
        title = "Accuracy by speaker, sorted"
        svg = figures.sorted_points(speakers, quantity="accuracy", label=f"{name}: {title}")
        drawn.append(Drawing(title, _inline(svg), _spread(shown(focus[-1]), speakers)))
    title = "Reliability"
    bins = {system: each["reliability"] for system, each in systems.items()}
    svg = figures.reliability_curves(bins, label=f"{name}: {title}")
    return [*drawn, Drawing(title, _inline(svg), _calibration(systems))]


def _by(
    systems: Mapping[str, Scores], groupings: Sequence[str], measure: str
) -> dict[str, dict[str, float | None]]:
    return {
        system: {
            group: values[measure]
            for grouping in groupings
            for group, values in scores[grouping].items()
        }
        for system, scores in systems.items()
    }


def _spread(system: str, speakers: Mapping[str, Mapping[str, float | None]]) -> str:
    shares = {name: share for name, share in speakers[system].items() if is_number(share)}
    if not shares:
        return ""
    lowest, highest = min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__)
    return (
        f"{system}: from {percent(shares[lowest])} (speaker {lowest}) to "
        f"{percent(shares[highest])} (speaker {highest}), standard deviation "
        f"{100 * float(np.std(list(shares.values()))):.1f} points."
    )


def _calibration(systems: Mapping[str, Scores]) -> str:
    errors = ", ".join(
        f"{system} {decimal(each['held_out']['ece']['value'])}" for system, each in systems.items()
    )
    return f"Above the diagonal: too modest; below it: too sure. Calibration error: {errors}."


def _losses(name: str, network: str, curves: Sequence[Curve]) -> Drawing:
    title = f"{name}, {network}"
    return Drawing(title, _inline(figures.loss_curves(curves, label=f"{title}: losses")))


def _inline(svg: str) -> Markup:
    """Let a figure through the escaping; its own texts have been escaped where it was drawn."""
    return Markup(svg)  # noqa: S704
