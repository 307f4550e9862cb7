"""Peak memory of a process: for a clip, and for the windows of videos that last longer and longer.

    python benchmark/memory.py --clip CLIP.mp4 --minutes 10 60

The videos are the clip over and over. On Linux.
"""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from measuring import parser, report

TELLING = """
import atexit, runpy, sys
from pathlib import Path
told = Path(sys.argv.pop(1))
atexit.register(lambda: told.write_text(Path("/proc/self/status").read_text()))
runpy.run_module("mien", run_name="__main__", alter_sys=True)
"""
"""Runs mien and writes down the peak of its own memory: ru_maxrss counts its parent's too."""


def looped(clip: Path, out: Path, *, seconds: float) -> None:
    """Write a clip over and over until it lasts so long, without encoding it again."""
    length = _length(clip)
    with av.open(str(clip)) as first, av.open(str(out), "w") as target:
        streams: dict[int, Any] = {
            stream.index: target.add_stream_from_template(stream) for stream in _kept(first)
        }
        for number in range(max(1, round(seconds / length))):
            with av.open(str(clip)) as source:
                for packet in source.demux(*_kept(source)):
                    if packet.dts is None or packet.pts is None:
                        continue
                    shift = round(number * length / packet.time_base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = streams[packet.stream.index]
                    target.mux(packet)


def _kept(source: InputContainer) -> list[Any]:
    return [source.streams.video[0], *source.streams.audio[:1]]


def _length(clip: Path) -> Fraction:
    """Give the seconds from the earliest packet to the end of the latest."""
    with av.open(str(clip)) as source:
        found = [packet for packet in source.demux(*_kept(source)) if packet.dts is not None]
        starts = [packet.dts * packet.time_base for packet in found]
        ends = [(packet.dts + packet.duration) * packet.time_base for packet in found]
    length: Fraction = max(ends) - min(starts)
    return length


def peak_of(*arguments: str) -> tuple[float, float]:
    """Run mien with some arguments; give its peak in MB, and the seconds it took."""
    start = time.perf_counter()
    with tempfile.NamedTemporaryFile("r") as told:
        command = [sys.executable, "-c", TELLING, told.name, *arguments]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603
        seconds = time.perf_counter() - start
        (peak,) = re.findall(r"VmHWM:\s*(\d+) kB", told.read())
    return int(peak) / 1000, seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the peak of one call for each length."""
    made = parser(__doc__)
    made.add_argument("--minutes", type=float, nargs="*", default=[10, 60])
    given = made.parse_args(arguments)
    peak, seconds = peak_of("predict", "--json", str(given.clip))
    rows = [{"what": "predict a clip", "peak MB": peak, "seconds": seconds}]
    with tempfile.TemporaryDirectory() as folder:
        for minutes in given.minutes:
            video = Path(folder) / f"{minutes}.mp4"
            looped(given.clip, video, seconds=60 * minutes)
            out = str(Path(folder) / "out.csv")
            peak, seconds = peak_of("timeline", str(video), "--out", out)
            rows.append(
                {"what": f"timeline of {minutes:g} min", "peak MB": peak, "seconds": seconds}
            )
            video.unlink()
            Path(out).unlink()
    report("memory", rows, results=given.results, clip=given.clip.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
