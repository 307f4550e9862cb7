"""A clip → files that Chromium takes for a camera and a microphone."""

import wave
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

FPS = 10
RATE = 48_000
SHORT_SIDE = 360


@dataclass(frozen=True)
class FakeDevices:
    """What the browser is given; it plays both again and again."""

    camera: Path
    microphone: Path

    @property
    def arguments(self) -> list[str]:
        """Give Chromium's options."""
        return [
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-video-capture={self.camera}",
            f"--use-file-for-fake-audio-capture={self.microphone}",
        ]


def fake_devices(clip: Path, folder: Path) -> FakeDevices:
    """Write the files."""
    made = FakeDevices(folder / "camera.mjpeg", folder / "microphone.wav")
    with av.open(str(clip)) as source, av.open(str(made.camera), "w", format="mjpeg") as target:
        stream: Any = target.add_stream("mjpeg", rate=FPS)
        stream.pix_fmt, stream.options = "yuvj420p", {"q:v": "3"}
        number = 0
        for frame in source.decode(video=0):
            while (frame.time or 0) >= number / FPS:
                target.mux(stream.encode(_small(frame, stream, number)))
                number += 1
        target.mux(stream.encode(None))
    with av.open(str(clip)) as source, wave.open(str(made.microphone), "wb") as sound:
        sound.setparams((1, 2, RATE, 0, "NONE", ""))
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        for heard in source.decode(audio=0):
            for part in resampler.resample(heard):
                sound.writeframes(bytes(part.planes[0])[: part.samples * 2])
    return made


def _small(frame: av.VideoFrame, stream: Any, number: int) -> av.VideoFrame:
    scale = SHORT_SIDE / min(frame.width, frame.height)
    stream.width, stream.height = (
        round(side * scale / 2) * 2 for side in (frame.width, frame.height)
    )
    small = frame.reformat(width=stream.width, height=stream.height, format="yuvj420p")
    small.pts, small.time_base = number, Fraction(1, FPS)
    return small
