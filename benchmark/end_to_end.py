"""From file to answer: mien beside the straightforward implementation, with the same weights.

    python benchmark/end_to_end.py --clip CLIP.mp4

The default bundle, and the paper's system with a ViT-B/16 in float32 and at the precision that
``auto`` takes, against benchmark/naive.py. Real-time factor: seconds of work a second of clip.
"""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from measuring import parser, report, seconds_of, told
from mien.emotions import EMOTIONS
from mien.recognise import Prediction, Recogniser
from naive import NaivePipeline
from random_paper import random_paper
from stages import plain_decode


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every way to answer."""
    made = parser(__doc__)
    made.add_argument("--paper", type=Path, help="folder that random_paper made; ViT-B/16's else")
    given = made.parse_args(arguments)
    with told("end_to_end"):
        folder = given.paper or random_paper()
        rows = rows_of(given.clip, folder, times=given.times)
        report("end_to_end", rows, results=given.results, clip=given.clip.name)
    return 0


def rows_of(clip: Path, folder: Path, *, times: int) -> list[dict[str, Any]]:
    """Measure each way once all are loaded."""
    naive = NaivePipeline(folder)
    reference = naive.predict(clip)
    slow = seconds_of(lambda: naive.predict(clip), times=times)
    decode = seconds_of(partial(plain_decode, clip), times=times)
    ours = {
        "default bundle": Recogniser(),
        "paper, f32": Recogniser(folder / "bundle", precision="f32"),
        "paper, auto": Recogniser(folder / "bundle"),
    }
    answers = {name: recogniser.predict(clip) for name, recogniser in ours.items()}
    duration = answers["default bundle"].duration_s
    rows = [_row("naive", slow, slow, decode, duration)]
    rows[0] |= {"emotion": reference.emotion, "from naive": None, "from f32": None}
    for name, recogniser in ours.items():
        seconds = seconds_of(partial(recogniser.predict, clip), times=times)
        row = _row(name, seconds, slow, decode, duration)
        row["emotion"] = answers[name].emotion
        paper = name.startswith("paper")
        row["from naive"] = _far(answers[name], reference.probabilities) if paper else None
        exact = _values(answers["paper, f32"])
        row["from f32"] = _far(answers[name], exact) if paper else None
        rows.append(row)
    return rows


def _row(name: str, seconds: float, slow: float, decode: float, duration: float) -> dict[str, Any]:
    return {
        "way": name,
        "seconds": seconds,
        "times faster": slow / seconds,
        "real-time factor": seconds / duration,
        "times plain decoding": seconds / decode,
    }


def _values(answer: Prediction) -> np.ndarray:
    return np.array([(answer.probabilities or {}).get(name, np.nan) for name in EMOTIONS])


def _far(answer: Prediction, other: np.ndarray) -> float:
    return float(np.abs(_values(answer) - other).max())


if __name__ == "__main__":
    sys.exit(main())
