"""Make ``docs/predict.svg``: what ``make demo`` prints, from a real prediction.

.venv/bin/python scripts/make_picture.py docs/predict.svg
"""

import io
import re
import sys
from pathlib import Path

from rich.console import Console

import mien
from mien.writers import panel

EXAMPLE = Path("src/mien/bundles/astronaut.mp4")
WIDTH = 78


def main(out: Path) -> None:
    """Predict the example and draw the terminal."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), highlight=False)
    console.print(f"$ mien predict {EXAMPLE}", style="dim")
    console.print(panel(mien.load().predict(EXAMPLE)))
    drawing = console.export_svg(title="make demo")
    # Without the fonts that would be fetched from elsewhere; any monospaced one will do.
    out.write_text(re.sub(r"@font-face {.*?}\s*", "", drawing, flags=re.DOTALL), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
