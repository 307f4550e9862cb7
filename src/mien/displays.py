"""Answers → what a notebook shows of them: a few lines of HTML with an inline SVG.

Nothing is loaded and no script runs; letters have the notebook's own colour, light or dark.
"""

from collections.abc import Sequence
from html import escape

from mien.columns import WholeClip, reasons
from mien.curves import Curve, curves
from mien.emotions import EMOTIONS
from mien.palette import EMOTION_COLOURS
from mien.windows import Window
from mien.wording import clock, headline, per_cent, person_name, shown_name

WIDTH = 720
"""Units of an SVG's width."""
MOST_POINTS = 360
"""Of a curve: two units of the width each."""
_LANE, _LABEL, _AXIS = 64, 20, 22
_ROW, _BARS = 20, (90, 240, 390)
_BAR_WIDTH = 100
_TEXT = 'fill="currentColor" font-size="12" font-family="sans-serif"'


def prediction_html(answer: WholeClip) -> str:
    """Show what a clip expresses: eight bars by voice, face and both, and why one is missing."""
    columns = {
        "voice": answer.audio.probabilities,
        "face": answer.video.probabilities,
        "both": answer.probabilities,
    }
    parts = [_text(x, 12, name) for x, name in zip(_BARS, columns, strict=True)]
    for number, emotion in enumerate(EMOTIONS):
        y = 20 + _ROW * number
        parts.append(_text(0, y + 13, emotion))
        parts += [
            _bar(x, y, values[emotion], EMOTION_COLOURS[emotion])
            for x, values in zip(_BARS, columns.values(), strict=True)
            if values is not None
        ]
    told = headline(answer.probabilities, answer.emotion)
    label = f"Probabilities of eight emotions: {told}"
    svg = _svg(parts, width=540, height=20 + _ROW * len(EMOTIONS), label=label)
    missing = reasons(answer.audio, answer.video)
    return _block(answer.clip, told, svg, f"not used: {missing}" if missing else "")


def timeline_html(clip: str, windows: Sequence[Window]) -> str:
    """Show what people express over time: a lane of stacked probabilities each.

    Args:
        clip: its name.
        windows: in order of start.
    """
    lanes = curves(windows)
    end = max((window.end_s for window in windows), default=0.0)
    parts: list[str] = []
    for number, (person, found) in enumerate(lanes.items()):
        top = number * (_LANE + _LABEL) + _LABEL
        parts.append(_text(0, top - 5, person_name(person)))
        parts += [_bands(curve, top=top, scale=WIDTH / max(end, 1e-9)) for curve in found]
    foot = len(lanes) * (_LANE + _LABEL)
    parts += _axis(end, foot)
    label = f"Probabilities of eight emotions over time, {len(lanes)} lanes"
    svg = _svg(parts, width=WIDTH, height=foot + _AXIS, label=label)
    return _block(clip, f"{len(windows)} rows, {clock(end)}", svg + _legend(), "")


def _bands(curve: Curve, *, top: float, scale: float) -> str:
    step = -(-len(curve.times_s) // MOST_POINTS)
    # The last point always counts: there the curve ends.
    places = sorted({*range(0, len(curve.times_s), step), len(curve.times_s) - 1})
    below = [float(top + _LANE)] * len(places)
    drawn = []
    for number, emotion in enumerate(EMOTIONS):
        above = [y - _LANE * curve.shares[i][number] for i, y in zip(places, below, strict=True)]
        xs = [curve.times_s[place] * scale for place in places]
        edge = [*zip(xs, above, strict=True), *reversed([*zip(xs, below, strict=True)])]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in edge)
        drawn.append(
            f'<polygon points="{points}" fill="{EMOTION_COLOURS[emotion]}" '
            f'stroke="#fff" stroke-width="0.5"><title>{emotion}</title></polygon>'
        )
        below = above
    return "".join(drawn)


def _axis(end: float, top: float) -> list[str]:
    anchors = {0.0: "start", 0.5: "middle", 1.0: "end"}
    return [
        _text(share * WIDTH, top + 15, clock(share * end), anchor=anchor)
        for share, anchor in anchors.items()
    ]


def _bar(x: float, y: float, share: float, colour: str) -> str:
    return (
        f'<rect x="{x}" y="{y + 3}" width="{_BAR_WIDTH}" height="12" fill="currentColor" '
        f'opacity="0.12"/><rect x="{x}" y="{y + 3}" width="{share * _BAR_WIDTH:.1f}" height="12" '
        f'fill="{colour}"/>{_text(x + _BAR_WIDTH + 4, y + 13, f"{per_cent(share)}%")}'
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" {_TEXT}>{escape(text)}</text>'


def _svg(parts: Sequence[str], *, width: int, height: int, label: str) -> str:
    return (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {width} {height}" '
        f'style="display:block;width:100%;max-width:{width}px;height:auto">{"".join(parts)}</svg>'
    )


def _legend() -> str:
    swatch = "display:inline-block;width:0.8em;height:0.8em;margin:0 0.3em 0 0;background:"
    return "".join(
        f'<span style="display:inline-block;margin-right:1em;font-size:0.85em">'
        f'<span style="{swatch}{EMOTION_COLOURS[name]}"></span>{name}</span>'
        for name in EMOTIONS
    )


def _block(clip: str, told: str, body: str, foot: str) -> str:
    return (
        f"<div><p><strong>{escape(shown_name(clip))}</strong> {escape(told)}</p>{body}"
        f"<p><small>{escape(foot)}</small></p></div>"
    )
