"""What the benchmarks share: taking time, and writing down what was found, where and with what."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mien.errors import MienError
from mien.lab.circumstances import circumstances
from mien.verify import GOLDEN_CLIP

RESULTS = Path(__file__).parent / "results"
RAVDESS_CLIP = "clips/01-01-01-01-01-01-01.mp4"
"""Actor 01, 3.3 s, 1280x720, in the folder that MIEN_DATA names."""

Row = Mapping[str, Any]


def seconds_of(function: Callable[[], object], *, times: int = 3) -> float:
    """Give the seconds of the fastest of some calls, after one that fills caches.

    The fastest is the least disturbed by what else the machine does.

    >>> seconds_of(lambda: time.sleep(0.01), times=2) >= 0.01
    True
    """
    function()
    return min(_timed(function) for _ in range(times))


def _timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def parser(description: str | None) -> argparse.ArgumentParser:
    """Make a parser with what all benchmarks take: the clip, how often, where to write."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--clip", type=Path, default=usual_clip())
    made.add_argument("--times", type=int, default=3, help="of which the fastest counts")
    made.add_argument("--results", type=Path, default=RESULTS, help="folder that JSON is added to")
    return made


def usual_clip() -> Path:
    """Give the 720p RAVDESS clip where there is one, else the example of the package."""
    data = os.environ.get("MIEN_DATA")
    return Path(data) / RAVDESS_CLIP if data else GOLDEN_CLIP


def report(name: str, rows: Sequence[Row], *, results: Path, **setting: Any) -> None:
    """Print rows as a table, and add them to ``NAME.jsonl`` with the circumstances.

    Args:
        name: of the benchmark.
        rows: all with the same keys, which are the columns.
        results: the folder.
        setting: what else a reader must know.
    """
    table = Table(*rows[0], title=f"{name}: {', '.join(f'{k} {v}' for k, v in setting.items())}")
    for row in rows:
        table.add_row(*map(_shown, row.values()))
    Console(width=120).print(table)
    results.mkdir(parents=True, exist_ok=True)
    entry = {
        "benchmark": name,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_average": os.getloadavg()[0],
        **circumstances(),
        "setting": setting,
        "rows": rows,
    }
    with (results / f"{name}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry, default=str) + "\n")


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return "-" if value is None else str(value)


@contextmanager
def told(name: str) -> Iterator[None]:
    """Tell of mien's own errors in one line, and end the benchmark with their exit code."""
    try:
        yield
    except MienError as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
