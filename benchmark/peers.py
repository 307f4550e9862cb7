"""What users would install instead: fer for faces, openSMILE and librosa for voices.

    python benchmark/peers.py --clip CLIP.mp4

Each peer is installed into an environment of its own, kept in the user's cache; one that cannot be
installed is skipped with a word. mien does the same work on the same input in the same run.
"""

import json
import subprocess
import sys
import tempfile
import venv
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from measuring import parser, report, seconds_of, told
from mien.detectors import HaarDetector
from mien.faces import follow_faces
from mien.kept import kept
from mien.media import open_clip
from mien.recognise import Recogniser
from mien.speech import speech_features

FRAMES, RATE = 60, 22_050

TIMED = """
import json, sys, time
def timed(work, count):
    work()
    best = min(one(work) for _ in range(int(sys.argv[2])))
    print(json.dumps(count / best))
def one(work):
    start = time.perf_counter(); work(); return time.perf_counter() - start
"""
FER = """
import cv2
from fer import FER
capture, frames = cv2.VideoCapture(sys.argv[1]), []
while len(frames) < 60:
    there, frame = capture.read()
    if not there: break
    frames.append(frame)
detector = FER()
timed(lambda: [detector.detect_emotions(frame) for frame in frames], len(frames))
"""
OPENSMILE = """
import opensmile
smile = opensmile.Smile(feature_set=opensmile.FeatureSet.eGeMAPSv02,
                        feature_level=opensmile.FeatureLevel.Functionals)
timed(lambda: smile.process_file(sys.argv[1]), 1)
"""
LIBROSA = """
import librosa
def features():
    sound, rate = librosa.load(sys.argv[1], sr=22050)
    librosa.feature.zero_crossing_rate(sound)
    librosa.feature.rms(y=sound)
    librosa.feature.mfcc(y=sound, sr=rate)
timed(features, 1)
"""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """Another package, and what mien does in its place."""

    packages: tuple[str, ...]
    unit: str
    program: str
    """Prints how many it does a second; given the file and how often to try."""
    ours: Callable[[Path], tuple[Callable[[], object], int]]
    """Of a file: the work, and how many units it is."""
    sound: bool


def _ours_faces(clip: Path) -> tuple[Callable[[], object], int]:
    recogniser = Recogniser()
    config = replace(recogniser.bundle.config.faces, frames=FRAMES)
    with open_clip(clip, frames=FRAMES, sample_rate=8_000, samples=1) as opened:
        frames = list(opened.frames())
    detector, answering = HaarDetector(), recogniser._answering
    size = recogniser.bundle.config.faces.frames

    def work() -> None:
        crops = follow_faces(frames, config=config, detector=detector).crops
        assert crops is not None  # noqa: S101 - the clip shows a face
        rows = answering.embed(crops)
        # An answer for each frame, as the peer gives one.
        for row in rows:
            answering.see(np.repeat(row[None], size, axis=0))

    return work, FRAMES


def _ours_voice(sound: Path) -> tuple[Callable[[], object], int]:
    recogniser = Recogniser()
    return lambda: recogniser.predict(sound), 1


def _ours_features(sound: Path) -> tuple[Callable[[], object], int]:
    config = Recogniser().bundle.config.speech

    def work() -> None:
        with open_clip(
            sound, frames=1, sample_rate=config.sample_rate, samples=config.samples
        ) as opened:
            assert opened.waveform is not None  # noqa: S101 - it is a sound
            speech_features(opened.waveform, config=config)

    return work, 1


PEERS = {
    "fer": Peer(
        packages=("fer==22.5.1", "tensorflow", "opencv-python-headless<5", "setuptools<81"),
        unit="frames",
        program=FER,
        ours=_ours_faces,
        sound=False,
    ),
    "openSMILE eGeMAPS": Peer(
        packages=("opensmile",), unit="clips", program=OPENSMILE, ours=_ours_voice, sound=True
    ),
    "librosa": Peer(
        packages=("librosa==0.11.0",),
        unit="clips",
        program=LIBROSA,
        ours=_ours_features,
        sound=True,
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every peer that can be installed."""
    made = parser(__doc__)
    made.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    given = made.parse_args(arguments)
    with told("peers"), tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "sound.wav"
        write_sound(given.clip, sound)
        rows = [
            row
            for name in given.peers
            if (row := _row(name, PEERS[name], given.clip, sound, times=given.times))
        ]
    if rows:
        report("peers", rows, results=given.results, clip=given.clip.name)
    return 0


def write_sound(clip: Path, out: Path) -> None:
    """Write a clip's sound as a wav file."""
    with open_clip(clip, frames=1, sample_rate=RATE, samples=60 * RATE) as opened:
        waveform = opened.waveform if opened.waveform is not None else np.zeros(RATE, np.float32)
    with wave.open(str(out), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((waveform.clip(-1, 1) * 32_767).astype("<i2").tobytes())


def _row(name: str, peer: Peer, clip: Path, sound: Path, *, times: int) -> dict[str, Any] | None:
    file = sound if peer.sound else clip
    try:
        theirs = theirs_of(name, peer, file, times=times)
    except subprocess.CalledProcessError as error:
        print(f"peers: {name} is skipped: {_last_line(error)}", file=sys.stderr)
        return None
    work, count = peer.ours(file)
    ours = count / seconds_of(work, times=times)
    return {
        "peer": name,
        "what": f"{peer.unit} a second",
        "theirs": theirs,
        "ours": ours,
        "times faster": ours / theirs,
    }


def theirs_of(name: str, peer: Peer, file: Path, *, times: int) -> float:
    """Install a peer where it is not yet, run it, and give what it does a second."""
    folder = kept(f"peer-{'-'.join(name.lower().split())}", lambda folder: _install(folder, peer))
    # Environments do not move, packages do.
    program = f"import sys; sys.path.insert(0, {str(folder / 'packages')!r})\n{TIMED}{peer.program}"
    command = [str(folder / "bin" / "python"), "-c", program, str(file), str(times)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    return float(json.loads(done.stdout.splitlines()[-1]))


def _install(folder: Path, peer: Peer) -> None:
    venv.create(folder, with_pip=True)
    packages = str(folder / "packages")
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run(  # noqa: S603
        [*command, "--target", packages, *peer.packages],
        check=True,
        capture_output=True,
        text=True,
    )


def _last_line(error: subprocess.CalledProcessError) -> str:
    lines = str(error.stderr or error).strip().splitlines()
    return lines[-1] if lines else "no reason given"


if __name__ == "__main__":
    sys.exit(main())
