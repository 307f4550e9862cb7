"""Figures → SVG elements of a page: one look, the same text each time, nothing loaded."""

import hashlib
import html
import io
import re
import warnings
from typing import Any

from matplotlib import style
from matplotlib.figure import Figure

INK = "#1a1a1a"

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    # The one font that comes with matplotlib: the layout is the same on every machine.
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "mien",
    # A dollar sign in a speaker's name is no formula.
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#777777",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "savefig.transparent": True,
    "figure.constrained_layout.use": True,
}

styled = style.context(["default", STYLE])
"""Decorator of functions that draw: whatever the user's own matplotlibrc says."""


def to_svg(figure: Figure, *, label: str) -> str:
    """Write a figure that was drawn by a ``styled`` function as one ``<svg>`` element.

    Args:
        figure: the figure.
        label: what a screen reader says; no two of a page may be the same.

    >>> to_svg(Figure(), label="Nothing & <more>").split('"')[3]
    'Nothing &amp; &lt;more&gt;'
    """
    buffer = io.StringIO()
    with warnings.catch_warnings():
        # The reader's browser has the letters that DejaVu Sans lacks.
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from font", UserWarning)
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing)
    drawn = buffer.getvalue()
    opened = f'<svg role="img" aria-label="{html.escape(label)}" '
    return _with_own_ids(opened + drawn[drawn.index("<svg ") + 5 :], label=label)


def _with_own_ids(svg: str, *, label: str) -> str:
    """Put a hash of the label before each id: a page holds many figures."""
    key = hashlib.sha256(label.encode()).hexdigest()[:10]
    return re.sub(r'( id="|href="#|url\(#)(?=[\w.-]+["\)])', rf"\1f{key}-", svg)
