"""From the start of a process to its answer, and what many clips in one process save.

python benchmark/cold_start.py --clip CLIP.mp4 --clips 200
"""

import subprocess
import sys
import time
from collections.abc import Sequence

from measuring import parser, report, seconds_of

PREDICT = ("-m", "mien", "predict", "--json")


def run(*arguments: str) -> None:
    """Run this Python with some arguments, and wait for it."""
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)  # noqa: S603


def main(arguments: Sequence[str] | None = None) -> int:
    """Print seconds of starting, importing and answering."""
    made = parser(__doc__)
    made.add_argument("--clips", type=int, default=200, help="in one call and in as many")
    given = made.parse_args(arguments)
    clip, times = str(given.clip), given.times
    nothing = seconds_of(lambda: run("-c", "pass"), times=times)
    rows = [
        {"what": "python -c pass", "seconds": nothing},
        {
            "what": "import mien, beyond that",
            "seconds": seconds_of(lambda: run("-c", "import mien"), times=times) - nothing,
        },
        {
            "what": "mien predict CLIP",
            "seconds": seconds_of(lambda: run(*PREDICT, clip), times=times),
        },
    ]
    start = time.perf_counter()
    run(*PREDICT, *[clip] * given.clips)
    together = time.perf_counter() - start
    start = time.perf_counter()
    for _ in range(given.clips):
        run(*PREDICT, clip)
    apart = time.perf_counter() - start
    rows += [
        {"what": f"{given.clips} clips in one call", "seconds": together},
        {"what": f"{given.clips} clips in {given.clips} calls", "seconds": apart},
        {"what": "times faster in one call", "seconds": apart / together},
    ]
    report("cold_start", rows, results=given.results, clip=given.clip.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
