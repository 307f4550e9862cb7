"""A corpus of tones named like RAVDESS: the pitch tells the emotion, to whoever listens."""

import csv
import wave
from pathlib import Path

import numpy as np

from mien.emotions import EMOTIONS

RATE = 22_050
CODES = ("03", "05", "06")
"""Happy, angry, fearful."""
SECONDS = 0.4


def tone(path: Path, hertz: float, *, seed: int = 0) -> Path:
    """Write a tone in a little noise."""
    time = np.arange(int(RATE * SECONDS)) / RATE
    noise = np.random.default_rng(seed).normal(0, 300, len(time))
    samples = 12_000 * np.sin(2 * np.pi * hertz * time) + noise
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def tiny_ravdess(root: Path, *, actors: tuple[int, ...] = (2, 3, 10, 8, 1)) -> Path:
    """Make two statements of three emotions by one actor of each of ``luna5``'s groups."""
    for actor in actors:
        for number, code in enumerate(CODES):
            for statement in ("01", "02"):
                name = f"03-01-{code}-01-{statement}-01-{actor:02d}.wav"
                hertz = 400 * 2**number + 7 * actor + 3 * int(statement)
                tone(
                    root / f"Actor_{actor:02d}" / name,
                    hertz,
                    seed=100 * actor + 10 * number + int(statement),
                )
    return root


def unit_table(path: Path, corpus: Path, *, frames: int = 0) -> Path:
    """Write features that tell the emotion: one row a clip, or so many rows a clip."""
    generator = np.random.default_rng(1)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["clip", *(["frame"] if frames else []), "AU01", "AU04", "AU12"])
        for sound in sorted(corpus.rglob("*.wav")):
            code = CODES.index(sound.stem.split("-")[2])
            for frame in range(max(frames, 1)):
                units = np.eye(3)[code] + generator.normal(0, 0.3, 3)
                place = [frame] if frames else []
                writer.writerow([sound.stem[3:], *place, *units.round(4).tolist()])
    return path


def emotion_of(path: Path) -> str:
    """Name the emotion that a file's name tells."""
    return EMOTIONS[int(path.stem.split("-")[2]) - 1]
