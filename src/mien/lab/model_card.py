"""What a bundle was made of, how well it does and what it must not be used for, for people."""

from collections.abc import Mapping
from typing import Any

import jinja2

from mien.calibration import USUAL_RATE, Calibration

LICENCES = {
    "ravdess": "RAVDESS, Livingstone & Russo 2018: CC BY-NC-SA 4.0, not for commercial use",
    "crema-d": "CREMA-D, Cao et al. 2014: Open Database License 1.0",
    "savee": "SAVEE, Haq & Jackson 2009: for research alone",
    "fer2013": "FER2013, Carrier & Courville 2013: Database Contents License 1.0",
}
"""Terms of the corpora that mien knows by name."""


def licence_of(corpora: Mapping[str, int]) -> str:
    """Say which terms weights are under that were trained on these corpora.

    >>> licence_of({"mine": 10})
    'as mine allows'
    >>> licence_of({"fer2013": 10, "savee": 480})
    'as fer2013 (Database Contents License 1.0) and savee (for research alone) allow'
    """
    terms = [
        f"{name} ({LICENCES[name].partition(': ')[2]})" if name in LICENCES else name
        for name in corpora
    ]
    if len(terms) == 1:
        return f"as {terms[0]} allows"
    return f"as {', '.join(terms[:-1])} and {terms[-1]} allow"


def model_card(manifest: Mapping[str, Any]) -> str:
    """Write the model card of a bundle as Markdown.

    Args:
        manifest: of the bundle, complete but for checksums.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mien.lab"),
        autoescape=False,  # noqa: S701 - Markdown, whose values are names and numbers of mien's own
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["percent"] = lambda value: f"{100 * value:.1f} %"
    return environment.get_template("model-card.md.jinja").render(
        manifest=manifest,
        calibration=Calibration.from_dict(
            manifest["calibration"], branches=list(manifest["networks"])
        ),
        corpora=[
            (clips, LICENCES.get(name, name))
            for name, clips in manifest["training"]["corpora"].items()
        ],
        rate=USUAL_RATE,
        scored={name: found for name, found in manifest["scores"].items() if "by" in found},
        checked={name: found for name, found in manifest["scores"].items() if "ece" in found},
    )
