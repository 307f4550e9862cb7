"""Whether a moving, blinking, talking face swings the answer.

    python benchmark/steadiness.py clips/*.mp4

Each clip's face is looked at four times as densely as `mien predict` does, and answered in four
ways of 22 frames: every fourth frame from the first, the second, the third and the fourth on (the
same face, some hundredths of a second later), and in each quarter of the clip (the face as it
moves on). An answer that swings with a blink differs among the first; one among the others may
have a reason.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from mien.bundle import Bundle, Networks, load_bundle
from mien.detectors import make_detector
from mien.emotions import EMOTIONS
from mien.errors import MienError
from mien.faces import follow_faces
from mien.media import open_clip

TIMES = 4


def looks(path: Path, bundle: Bundle, networks: Networks) -> np.ndarray | None:
    """Embed the faces of a clip, four times as many as a bundle looks at; ``None`` without any."""
    config = replace(bundle.config.faces, frames=TIMES * bundle.config.faces.frames)
    detector = make_detector(config.detector, model=None)
    with open_clip(path, frames=config.frames, sample_rate=8_000, samples=1) as clip:
        faces = follow_faces(clip.frames(), config=config, detector=detector)
    if faces.crops is None or networks.embedder is None:
        return None
    return networks.embedder.embed(faces.crops)


def answers(embeddings: np.ndarray, networks: Networks) -> tuple[np.ndarray, np.ndarray]:
    """Answer by every fourth frame, and by each quarter: each of shape ``(4, 8)``."""
    combed = np.stack([embeddings[start::TIMES] for start in range(TIMES)])
    quarters = np.stack(np.split(embeddings, TIMES))
    return networks.answer("video", combed), networks.answer("video", quarters)


def swing(rows: np.ndarray) -> float:
    """Give the largest distance (total variation, 0 to 1) between two of some answers."""
    return max(float(np.abs(one - other).sum() / 2) for one in rows for other in rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line a clip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--bundle", type=Path)
    given = parser.parse_args(arguments)
    bundle = load_bundle(given.bundle)
    networks = Networks(bundle)
    table = Table(
        "clip", "looks", "a blink later: swing", "quarters look", "from quarter to quarter"
    )
    for path in given.clips:
        try:
            embeddings = looks(path, bundle, networks)
        except MienError as error:
            print(f"steadiness: {error}", file=sys.stderr)
            return error.exit_code
        if embeddings is None:
            table.add_row(path.name, "no face")
            continue
        combed, quarters = answers(embeddings, networks)
        table.add_row(
            path.name,
            EMOTIONS[combed.mean(axis=0).argmax()],
            f"{swing(combed):.2f}",
            ", ".join(EMOTIONS[row.argmax()] for row in quarters),
            f"{swing(quarters):.2f}",
        )
    Console(width=120).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
