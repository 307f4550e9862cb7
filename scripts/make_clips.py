"""Make audio-video clips of moving faces and RAVDESS's voices, to try many clips with.

``python scripts/make_clips.py MIEN_DATA OUT --count 300``: each recording is laid under the
pictures of one of the sample clips, which are copied as they are; the sound becomes AAC.
"""

import argparse
import sys
from itertools import cycle, islice
from pathlib import Path

import av


def main(arguments: list[str] | None = None) -> int:
    """Make them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder that holds ravdess and clips")
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=300)
    options = parser.parse_args(arguments)
    faces = sorted((options.data / "clips").glob("*.mp4"))
    voices = sorted((options.data / "ravdess").rglob("*.flac"))
    if not (faces and voices):
        print(f"{options.data} lacks clips/*.mp4 or ravdess/**/*.flac", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    pairs = zip(cycle(faces), voices, strict=False)
    for number, (face, voice) in enumerate(islice(pairs, options.count)):
        join(face, voice, options.out / f"{number:05}-{voice.stem}.mp4")
    return 0


def join(face: Path, voice: Path, out: Path) -> None:
    """Lay a voice under a face, as long as it speaks."""
    with av.open(face) as pictures, av.open(voice) as sound, av.open(out, "w") as target:
        shown = pictures.streams.video[0]
        copied = target.add_stream_from_template(shown)
        spoken = target.add_stream("aac", rate=sound.streams.audio[0].rate, layout="mono")
        seconds = sound.duration / av.time_base if sound.duration else float("inf")
        for packet in pictures.demux(shown):
            if packet.dts is not None and packet.dts * packet.time_base < seconds:
                packet.stream = copied
                target.mux(packet)
        for frame in sound.decode(audio=0):
            target.mux(spoken.encode(frame))
        target.mux(spoken.encode(None))


if __name__ == "__main__":
    sys.exit(main())
