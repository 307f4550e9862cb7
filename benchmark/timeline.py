"""How fast `mien timeline` is, and how much memory it takes.

    python benchmark/timeline.py clips/01-01-01-01-01-01-01.mp4 --minutes 2 --memory-minutes 10 120

A clip is repeated until it lasts so long, and answered with the usual windows. Printed are

- how many seconds of clip are answered in a second, and how much longer `mien predict` takes for
  the same windows, each cut out of the clip: measured for some of them, at even distances,
- the most memory that a process takes which answers a clip of so many minutes.

All is appended to benchmark/results/timeline.jsonl, one run a line, with machine, versions and
commit.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from rich.console import Console
from rich.table import Table

from mien.errors import MienError
from mien.lab.circumstances import circumstances
from mien.recognise import Recogniser
from mien.timeline import USUAL_TIMELINE
from mien.windows import Window

RESULTS = Path(__file__).parent / "results" / "timeline.jsonl"
PIECES = 10
"""Windows that are cut out and answered one by one."""

PEAK = """
import sys
from pathlib import Path
from mien.recognise import Recogniser
for _ in Recogniser().timeline(sys.argv[1]):
    pass
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(int(status["VmHWM"].split()[0]) / 1024)
"""


def repeat(clip: Path, target: Path, *, seconds: float) -> None:
    """Write a clip's packets again and again, until it lasts so long."""
    with av.open(clip) as source, av.open(target, "w") as looped:
        streams = [one for one in source.streams if one.type in {"video", "audio"}]
        targets = {one.index: looped.add_stream_from_template(one) for one in streams}
        # A twentieth of a second apart: the first packets may be decoded before they are shown.
        lap = Fraction(source.duration or 0, av.time_base) + Fraction(1, 20)
        for number in range(math.ceil(seconds / lap)):
            source.seek(0)
            for packet in source.demux(*streams):
                if packet.size and packet.pts is not None and packet.dts is not None:
                    shift = round(number * lap / packet.time_base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = targets[packet.stream_index]
                    looped.mux(packet)


def cut(clip: Path, start_s: float, end_s: float, target: Path) -> None:
    """Cut a window out of a clip: its frames as they are, its sound without loss."""
    with av.open(clip) as source, av.open(target, "w", format="matroska") as piece:
        streams = [*source.streams.video[:1], *source.streams.audio[:1]]
        encoders = {stream.index: _encoder(piece, stream) for stream in streams}
        source.seek(round(max(start_s - 1, 0) * av.time_base))
        frames: Iterator[Any] = source.decode(*streams)
        latest = dict.fromkeys(encoders, start_s - 1)
        for frame in frames:
            if frame.time >= end_s + 1:
                break
            stream = streams[0] if isinstance(frame, av.VideoFrame) else streams[-1]
            # Where a repeated clip starts again, FFmpeg may give its last frames out of order.
            if start_s <= frame.time < end_s and frame.time > latest[stream.index]:
                latest[stream.index] = frame.time
                piece.mux(encoders[stream.index].encode(_moved(frame, start_s)))
        for encoder in encoders.values():
            piece.mux(encoder.encode(None))


def _encoder(piece: Any, stream: Any) -> Any:
    if stream.type == "video":
        # What a user would cut: quick to decode again, and hardly to be told from the source.
        encoder = piece.add_stream("libx264", rate=stream.average_rate)
        encoder.width, encoder.height, encoder.pix_fmt = stream.width, stream.height, "yuv420p"
        # A frame's time, counted in the frames of a steady rate, may be that of the one before.
        encoder.codec_context.time_base = stream.time_base
        encoder.options = {"preset": "veryfast", "crf": "12"}
        return encoder
    encoder = piece.add_stream("pcm_s16le", rate=stream.rate)
    encoder.layout = stream.layout
    return encoder


def _moved(frame: Any, start_s: float) -> Any:
    frame.pts -= round(start_s / frame.time_base)
    frame.dts = None
    if isinstance(frame, av.VideoFrame):
        frame.pict_type = av.video.frame.PictureType.NONE
        return frame
    (converted,) = av.AudioResampler("s16", frame.layout, frame.sample_rate).resample(frame)
    return converted


def speed(recogniser: Recogniser, clip: Path) -> tuple[list[Window], float]:
    """Answer a clip; give its windows, and the seconds that took."""
    start = time.perf_counter()
    windows = list(recogniser.timeline(clip))
    return windows, time.perf_counter() - start


def seconds_by_pieces(recogniser: Recogniser, clip: Path, windows: Sequence[Window]) -> float:
    """Give the seconds that `predict` takes for a window that was cut out, on average."""
    each = max(1, len(windows) // PIECES)
    with tempfile.TemporaryDirectory() as folder:
        pieces = list(_cut_all(clip, windows[::each][:PIECES], Path(folder)))
        recogniser.predict(pieces[0])
        start = time.perf_counter()
        for piece in pieces:
            recogniser.predict(piece)
        return (time.perf_counter() - start) / len(pieces)


def _cut_all(clip: Path, windows: Sequence[Window], folder: Path) -> Iterator[Path]:
    for number, window in enumerate(windows):
        piece = folder / f"{number}.mkv"
        cut(clip, window.start_s, window.end_s, piece)
        yield piece


def peak_mib(clip: Path) -> float:
    """Answer a clip in a process of its own; give the most memory that it took."""
    run = [sys.executable, "-c", PEAK, str(clip)]
    return float(subprocess.run(run, capture_output=True, check=True, text=True).stdout)  # noqa: S603 - itself


def measure(clip: Path, *, minutes: float, memory_minutes: Sequence[float]) -> dict[str, Any]:
    """Measure all that is asked for."""
    with tempfile.TemporaryDirectory() as folder:
        long = Path(folder) / "long.mp4"
        repeat(clip, long, seconds=60 * minutes)
        recogniser = Recogniser()
        recogniser.predict(clip)
        windows, seconds = speed(recogniser, long)
        lasts = max(window.end_s for window in windows)
        by_pieces = seconds_by_pieces(recogniser, long, windows) * len(windows)
        peaks = {}
        for length in memory_minutes:
            repeat(clip, long, seconds=60 * length)
            peaks[f"{length:g}"] = round(peak_mib(long))
        return {
            "clip": clip.name,
            "seconds": round(lasts, 1),
            "windows": len(windows),
            "window_s": USUAL_TIMELINE.window_s,
            "hop_s": USUAL_TIMELINE.hop_s,
            "times_real_time": round(lasts / seconds, 2),
            "times_predict": round(by_pieces / seconds, 2),
            "peak_mib_by_minutes": peaks,
        }


def show(found: dict[str, Any]) -> None:
    """Print what was measured."""
    table = Table("clip", "lasts", "windows", "of real time", "as fast as predict", "memory")
    table.add_row(
        found["clip"],
        f"{found['seconds']:.0f} s",
        str(found["windows"]),
        f"{found['times_real_time']:.2f} times",
        f"{found['times_predict']:.2f} times",
        ", ".join(
            f"{peak} MiB in {minutes} min" for minutes, peak in found["peak_mib_by_minutes"].items()
        ),
    )
    Console(width=120).print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line, and append it to the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clip", type=Path, help="of one person; it is repeated")
    parser.add_argument("--minutes", type=float, default=2, help="for speed")
    parser.add_argument("--memory-minutes", type=float, nargs="*", default=[10], help="for memory")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    try:
        found = measure(given.clip, minutes=given.minutes, memory_minutes=given.memory_minutes)
    except (MienError, OSError) as error:
        print(f"timeline: {error}", file=sys.stderr)
        return 1
    show(found)
    given.results.parent.mkdir(parents=True, exist_ok=True)
    told = {"time": datetime.now(UTC).isoformat(timespec="seconds"), **found, **circumstances()}
    with given.results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(told) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
