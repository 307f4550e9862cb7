"""How well a study's out-of-fold answers are calibrated, and what abstaining would give.

    mien evaluate RAVDESS --preset mien --protocol luna5 --video-features UNITS.csv --out study
    python benchmark/calibration.py study

Temperatures and sets are fitted on four folds and scored on the fifth, in turn, as `mien train`
does for a bundle. The second table pairs each voice with the face of somebody else in the same
emotion, as `mien train` does where no clip has both; what was fitted so is then tried on the true
pairs.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import mien.lab  # noqa: F401

# isort: split
import numpy as np
from rich.console import Console
from rich.table import Table

from mien.calibration import FUSED, Calibration
from mien.errors import InvalidArgument, MienError
from mien.lab.calibrate import Fit, Rows, Unseen, calibrate, pairs_of, score_sets
from mien.lab.corpora import Example
from mien.tables import read_table, speaker_of_key

LEVELS = (0.3, 0.5, 0.7, 0.8, 0.9)
"""Confidences below which nothing is answered."""


def unseen(path: Path) -> Unseen:
    """Read what a branch says of clips that its networks were not trained on."""
    table = read_table(path)
    if table.folds is None or table.truth is None:
        raise InvalidArgument(f"{path} must have the columns fold and truth")
    examples = [
        Example(
            key=clip,
            emotion=str(truth),
            corpus="ravdess",
            path=Path(clip),
            speaker=speaker_of_key(clip),
            has_sound=True,
        )
        for clip, truth in zip(table.clips, table.truth, strict=True)
    ]
    _, folds = np.unique(table.folds, return_inverse=True)
    return Unseen(examples=examples, probabilities=table.probabilities, folds=folds)


def of_strangers(answers: Unseen) -> Unseen:
    """Pretend that the clips are of other people, so that no voice has a face of its own."""
    examples = [replace(example, corpus="strangers") for example in answers.examples]
    return replace(answers, examples=examples)


def on_pairs(
    calibration: Calibration, branches: dict[str, Unseen]
) -> tuple[Rows, dict[str, float]]:
    """Fuse true pairs by a calibration that was fitted on others, and score it."""
    fused = pairs_of(branches, calibration)
    tempered = replace(fused, probabilities=calibration.answers[FUSED].apply(fused.probabilities))
    return tempered, score_sets([(calibration.answers[FUSED], fused)])


def scores_table(title: str, fit: Fit) -> Table:
    """Show how each answer is calibrated."""
    table = Table(
        "answer",
        "clips",
        "temperature",
        "ECE",
        "ECE before",
        "coverage at 90 %",
        "set",
        title=title,
    )
    for name, found in fit.scores.items():
        temperature = f"{fit.calibration.answers[name].temperature:.3f}"
        numbers = (found[key] for key in ("ece", "ece_before", "coverage", "set_size"))
        table.add_row(name, str(found["clips"]), temperature, *map(str, numbers))
    return table


def abstaining(rows: Rows) -> Table:
    """Show how many clips are answered at each level, and how often that is right."""
    table = Table("abstain below", "answered", "of these right", title="abstaining")
    confidence = rows.probabilities.max(axis=1)
    right = rows.probabilities.argmax(axis=1) == rows.truth
    for level in LEVELS:
        kept = confidence >= level
        table.add_row(f"{level:.1f}", f"{kept.mean():.1%}", f"{right[kept].mean():.1%}")
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables of one study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path, help="what mien evaluate wrote")
    parser.add_argument("--protocol", default="luna5")
    parser.add_argument("--fusion", default="log_average")
    given = parser.parse_args(arguments)
    console = Console(width=100)
    try:
        branches = {
            name: unseen(given.study / "tables" / f"{given.protocol}-{name}.csv")
            for name in ("audio", "video")
        }
    except MienError as error:
        print(f"calibration: {error}", file=sys.stderr)
        return error.exit_code
    true = calibrate(branches, fusion=given.fusion, seed=0)
    console.print(scores_table(f"{given.fusion}, each fold by the others", true))
    apart = branches | {"video": of_strangers(branches["video"])}
    strangers = calibrate(apart, fusion=given.fusion, seed=0)
    console.print(scores_table("the same with faces of strangers", strangers))
    rows, scores = on_pairs(strangers.calibration, branches)
    console.print("what strangers' faces calibrated, on true pairs:", scores)
    console.print(abstaining(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
