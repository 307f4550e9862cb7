"""Answers for clips that were held out → the scores that a bundle carries."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mien.emotions import EMOTIONS
from mien.errors import InvalidArgument
from mien.lab.corpora import Example, targets
from mien.lab.metrics import score
from mien.lab.protocols import speaker_of


def held_out_scores(examples: Sequence[Example], answers: np.ndarray) -> dict[str, Any]:
    """Score answers, all together and by emotion, sex and intensity.

    Emotions that a corpus cannot tell apart, as FER2013's neutral and calm, count as one, whose
    probability is their sum; it goes by the name of the first.

    Args:
        examples: at least one.
        answers: probabilities, shape ``(examples, 8)``.

    Returns:
        ``clips``, ``accuracy``, ``uar``, ``f1_macro``, ``classes`` (so many are told apart),
        ``speakers`` (so many are named) and ``by``, of each kind and value the ``clips`` and
        ``accuracy``; kinds that no example tells are left out.

    Raises:
        InvalidArgument: no examples, or answers of another shape.

    >>> from pathlib import Path
    >>> sad = Example(key="a", emotion="sad", corpus="mine", path=Path("a.wav"), sex="female")
    >>> held_out_scores([sad], np.eye(8)[[3]])["by"]["sex"]
    {'female': {'clips': 1, 'accuracy': 1.0}}
    """
    if not examples or answers.shape != (len(examples), len(EMOTIONS)):
        raise InvalidArgument(
            f"answers must be of {len(examples)} clips, 1 or more, not {answers.shape}"
        )
    wanted = np.stack([targets(example) for example in examples])
    truth, said = (_merged(table, wanted) for table in (wanted, answers))
    true, found = truth.argmax(axis=1), said.argmax(axis=1)
    right = true == found
    kinds = {
        "emotion": [EMOTIONS[place] for place in true],
        "sex": [example.sex for example in examples],
        "intensity": [example.intensity for example in examples],
    }
    return {
        **score(true, found, classes=len(EMOTIONS)),
        "classes": int((truth > 0).any(axis=0).sum()),
        "speakers": len({speaker_of(example) for example in examples if example.speaker}),
        "by": {kind: _by(values, right) for kind, values in kinds.items() if any(values)},
    }


def _merged(table: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    merged = table.copy()
    for row in np.unique(wanted, axis=0):
        together = np.flatnonzero(row)
        if len(together) > 1:
            merged[:, together[0]] = table[:, together].sum(axis=1)
            merged[:, together[1:]] = 0.0
    return merged


def _by(values: Sequence[str | None], right: np.ndarray) -> dict[str, dict[str, float]]:
    names = np.array([value or "" for value in values])
    # In the order of the emotions; what else there is, in that of the alphabet.
    known = sorted(set(filter(None, values)), key=lambda name: (_place(name), name))
    return {
        name: {
            "clips": int((names == name).sum()),
            "accuracy": round(float(right[names == name].mean()), 4),
        }
        for name in known
    }


def _place(name: str) -> int:
    return EMOTIONS.index(name) if name in EMOTIONS else len(EMOTIONS)
