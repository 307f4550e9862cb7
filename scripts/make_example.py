"""Make ``src/mien/bundles/astronaut.mp4``: a real face, slowly zoomed, and a spoken sentence.

The face is NASA's portrait of Eileen Collins, which is in the public domain and comes with
scikit-image; the sentence is spoken by espeak-ng. Run it with what ``make test`` installs::

    apt install espeak-ng
    .venv/bin/python scripts/make_example.py src/mien/bundles/astronaut.mp4
"""

import io
import subprocess
import sys
import wave
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import skimage.data

SENTENCE = "What a beautiful morning! I can see the whole Earth from here."
VOICE = ["-v", "en-us+f3", "-s", "165", "-p", "62"]
SIZE = 480
FPS = 25
FACE = (224, 108)
"""Middle of the face in the portrait, x and y in pixels."""
ZOOM = 1.6
"""Enlargement at the end; the portrait has 512 pixels a side."""


def speak(sentence: str) -> tuple[np.ndarray, int]:
    """Speak a sentence: int16 samples and their rate in Hz."""
    command = ["espeak-ng", *VOICE, "--stdout", sentence]
    spoken = subprocess.run(command, check=True, capture_output=True).stdout  # noqa: S603
    with wave.open(io.BytesIO(spoken)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16), file.getframerate()


def frame(portrait: np.ndarray, progress: float) -> np.ndarray:
    """Cut one frame: ``progress`` 0 shows the whole portrait, 1 the face from near."""
    side = portrait.shape[0] / ZOOM**progress
    centre = np.array(FACE) * progress + portrait.shape[0] / 2 * (1 - progress)
    left, top = np.clip(centre - side / 2, 0, portrait.shape[0] - side)
    scale = SIZE / side
    matrix = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    return cv2.warpAffine(portrait, matrix, (SIZE, SIZE), flags=cv2.INTER_AREA)


def main(out: Path) -> None:
    """Write the clip as H.264 and AAC."""
    samples, rate = speak(SENTENCE)
    portrait = skimage.data.astronaut()
    frames = round(len(samples) / rate * FPS)
    with av.open(out, "w") as container:
        video = container.add_stream("libx264", rate=FPS, options={"crf": "26", "preset": "slow"})
        video.width = video.height = SIZE
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=rate, layout="mono", bit_rate=64_000)
        for number in range(frames):
            picture = frame(portrait, number / max(frames - 1, 1))
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        sound = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        sound.sample_rate = rate
        sound.time_base = Fraction(1, rate)
        sound.pts = 0
        container.mux(audio.encode(sound))
        container.mux(audio.encode(None))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
