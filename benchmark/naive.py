"""The straightforward way to build the paper's system: what mien is compared with.

    python benchmark/naive.py --clip CLIP.mp4

OpenCV's VideoCapture, Haar on the full frame, Hugging Face's Vision Transformer in float32 a frame
at a time, librosa, and Keras's predict: plainly and well, each library as its manual shows.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mien.lab  # noqa: F401

# isort: split
import av
import cv2
import keras
import librosa
import numpy as np
import torch
import transformers
from PIL import Image

from measuring import parser, report
from mien.emotions import EMOTIONS
from random_paper import random_paper

FRAMES, CROP, RATE, WINDOWS = 22, 48, 22_050, 272


@dataclass(frozen=True)
class Naive:
    """What a clip expresses, and the seconds of each stage."""

    probabilities: np.ndarray
    seconds: dict[str, float]

    @property
    def emotion(self) -> str:
        """The likeliest."""
        return EMOTIONS[int(self.probabilities.argmax())]


class NaivePipeline:
    """The paper's system, built straightforwardly.

    Args:
        folder: of :func:`random_paper.random_paper`.
    """

    def __init__(self, folder: Path) -> None:
        cascades = Path(cv2.__file__).parent / "data"
        self.cascade = cv2.CascadeClassifier(str(cascades / "haarcascade_frontalface_default.xml"))
        self.vit: Any = transformers.ViTModel.from_pretrained(
            folder / "hf", add_pooling_layer=False
        ).eval()
        self.audio, self.video = (
            keras.models.load_model(folder / f"{name}.keras") for name in ("audio", "video")
        )

    def predict(self, clip: Path) -> Naive:
        """Answer one clip."""
        times = [time.perf_counter()]
        frames = read_frames(clip)
        times.append(time.perf_counter())
        crops = [self.face(frame) for frame in frames]
        times.append(time.perf_counter())
        embeddings = np.stack([self.embed(crop) for crop in crops])
        times.append(time.perf_counter())
        features = speech_features(read_sound(clip))
        times.append(time.perf_counter())
        heard = self.audio.predict(features[None], verbose=0)[0]
        seen = self.video.predict(embeddings[None], verbose=0)[0]
        times.append(time.perf_counter())
        names = ("decode", "faces", "embed", "audio", "networks")
        seconds = {n: b - a for n, a, b in zip(names, times, times[1:], strict=False)}
        return Naive((heard + seen) / 2, seconds | {"total": times[-1] - times[0]})

    def face(self, frame: np.ndarray) -> np.ndarray:
        """Cut out the largest face of a frame; its middle where none is found."""
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        boxes = self.cascade.detectMultiScale(grey, 1.2, 5, minSize=(90, 90))
        if len(boxes):
            x, y, width, height = max(boxes, key=lambda box: box[2] * box[3])
            frame = frame[y : y + height, x : x + width]
        return cv2.resize(frame, (CROP, CROP), interpolation=cv2.INTER_AREA)

    @torch.no_grad()
    def embed(self, crop: np.ndarray) -> np.ndarray:
        """Give the class token of one face."""
        large = Image.fromarray(crop).resize((224, 224), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(large)).permute(2, 0, 1)[None].float() / 127.5 - 1
        row: np.ndarray = self.vit(pixel_values=pixels).last_hidden_state[0, 0].numpy()
        return row


def read_frames(clip: Path) -> list[np.ndarray]:
    """Read all frames and keep those at the middles of equal slices."""
    capture = cv2.VideoCapture(str(clip))
    frames = []
    while True:
        there, frame = capture.read()
        if not there:
            break
        frames.append(frame)
    capture.release()
    middles = [int((k + 0.5) * len(frames) / FRAMES) for k in range(FRAMES)]
    return [cv2.cvtColor(frames[middle], cv2.COLOR_BGR2RGB) for middle in middles]


def read_sound(clip: Path) -> np.ndarray:
    """Decode the sound; librosa itself opens no mp4."""
    with av.open(str(clip)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
        rate = container.streams.audio[0].rate
    sound = librosa.to_mono(np.concatenate(frames, axis=1).astype(np.float32))
    resampled: np.ndarray = librosa.resample(sound, orig_sr=rate, target_sr=RATE)
    return resampled


def speech_features(sound: np.ndarray) -> np.ndarray:
    """Give zero-crossing rate, loudness and cepstral coefficients in the paper's order."""
    columns = np.concatenate(
        [
            librosa.feature.zero_crossing_rate(sound),
            librosa.feature.rms(y=sound),
            librosa.feature.mfcc(y=sound, sr=RATE, n_mfcc=20),
        ]
    )[:, :WINDOWS]
    columns = np.pad(columns, ((0, 0), (0, WINDOWS - columns.shape[1])))
    flat: np.ndarray = np.concatenate([columns[0], columns[1], columns[2:].T.ravel()])
    return flat.astype(np.float32)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the seconds of each stage."""
    given = parser(__doc__).parse_args(arguments)
    pipeline = NaivePipeline(random_paper())
    pipeline.predict(given.clip)
    found = min(
        (pipeline.predict(given.clip) for _ in range(given.times)),
        key=lambda answer: answer.seconds["total"],
    )
    report("naive", [found.seconds], results=given.results, clip=given.clip.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
