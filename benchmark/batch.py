"""How fast ``mien batch`` is, against a plain loop, with more workers, and beside no work at all.

``python benchmark/batch.py CLIPS`` prints clips a second of a plain loop over
``Recogniser.predict``, of one worker and of two, each kept on one core, over the clips of a folder
(``scripts/make_clips.py`` makes one), and what the workers cost and gain.
``python benchmark/batch.py --rows 1000000`` prints rows a second and the driver's memory over a
manifest whose clips a stub answers. ``--kills CLIPS --minutes 5`` kills a process of the job every
20 s, and says whether each clip is there once.
"""

import argparse
import fcntl
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import cv2
import psutil
from pyarrow import dataset

import mien
from mien.batch.engine import Answer
from mien.batch.engine import open_engine as usual_engine
from mien.batch.inputs import entries
from mien.batch.job import ENGINE, Job
from mien.batch.pipeline import Cluster
from mien.batch.places import open_place
from mien.batch.run import Report, run_batch
from mien.batch.summary import summary_lines
from mien.bundle import load_bundle
from mien.emotions import EMOTIONS
from mien.errors import MienError
from mien.session import THREADS

HERE = Path(__file__).parent
STUB, CRASHING, PINNED = (f"batch:{name}_engine" for name in ("stub", "crashing", "pinned"))


def stub_engine(_: Job) -> Answer:
    """Answer nothing in no time."""
    row = {"start_s": 0.0, "end_s": 2.0, **dict.fromkeys(EMOTIONS, 0.125)}
    return lambda _: ([row], 2.0)


def crashing_engine(job: Job) -> Answer:
    """Answer as usual, but die of clips that say so."""
    answer = usual_engine(job)

    def answer_or_die(path: Path) -> tuple[list[dict[str, object]], float]:
        if path.name.startswith("crash"):
            os.abort()
        return answer(path)

    return answer_or_die


def pinned_engine(job: Job) -> Answer:
    """Answer as usual, on the first core that no other worker has: threads would use them all."""
    for core in sorted(os.sched_getaffinity(0)):
        taken = (Path(tempfile.gettempdir()) / f"mien-batch-core-{core}").open("w")
        try:
            fcntl.flock(taken, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            taken.close()
            continue
        os.sched_setaffinity(0, {core})
        LOCKS.append(taken)
        break
    return usual_engine(job)


MOST_TIMES = 4
"""So many times as long as processes are killed may pass until the job is through."""
THROUGH = 42
"""Exit code of a job that came to its end: Python's and Ray's own are 1 when they break down."""
LOCKS: list[TextIO] = []
"""Kept open as long as the process lives, which keeps them locked."""


class Pace:
    """Times a job between its first and its last answer: what starting takes is told apart."""

    def __init__(self) -> None:
        self.marks: list[tuple[float, int, int]] = []

    def __call__(self, done: int, _: int) -> None:
        """Note the time, the clips and the driver's memory."""
        self.marks.append((time.perf_counter(), done, memory_mb("VmRSS")))

    @property
    def rate(self) -> float:
        """Clips a second."""
        (start, before, _), (end, after, _) = self.marks[1], self.marks[-1]
        return (after - before) / (end - start)


def memory_mb(which: str) -> int:
    """Give what this process holds (``VmRSS``) or held at most (``VmHWM``)."""
    rows = Path("/proc/self/status").read_text().splitlines()
    (line,) = (row for row in rows if row.startswith(f"{which}:"))
    return int(line.split()[1]) // 1024


def job_of(out: Path, *, engine: str = ENGINE, version: str = mien.__version__) -> Job:
    """Describe a job."""
    return Job(
        out=open_place(out),
        bundle=None,
        bundle_sha256=load_bundle().sha256,
        version=version,
        engine=engine,
    )


def timed(clips: str, *, workers: int, engine: str = ENGINE) -> tuple[Pace, Report]:
    """Run a job into a folder that is removed."""
    pace = Pace()
    with tempfile.TemporaryDirectory() as folder:
        job = job_of(Path(folder), engine=engine)
        return pace, run_batch(job, [clips], cluster=Cluster(workers=workers), progress=pace)


def loop_rate(clips: Sequence[str]) -> float:
    """Time a plain loop on one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    os.environ[THREADS] = "1"
    cv2.setNumThreads(1)
    recogniser = mien.load()
    for clip in clips[:2]:
        recogniser.predict(clip)
    start = time.perf_counter()
    for clip in clips:
        recogniser.predict(clip)
    seconds = time.perf_counter() - start
    os.sched_setaffinity(0, cores)
    return len(clips) / seconds


def speeds(clips: str) -> None:
    """Print what workers cost and gain."""
    names = [entry.url for entry in entries([clips], access={})]
    plain = loop_rate(names)
    one, two = (timed(clips, workers=count, engine=PINNED)[0].rate for count in (1, 2))
    print(f"plain loop     {plain:8.2f} clips a second, {len(names)} clips")
    print(f"one worker     {one:8.2f}, {plain / one - 1:+.1%} time a clip")
    print(f"two workers    {two:8.2f}, {two / one:.2f} times one")


def rows(count: int) -> None:
    """Print how fast nothing is answered."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = many_names(Path(folder), count)
        pace, report = timed(str(manifest), workers=2, engine=STUB)
    middle = pace.marks[len(pace.marks) // 2]
    print(f"{report.now.clips:,} rows, {report.now.clips / report.took_s:,.0f} a second in all")
    print(
        f"the driver held {middle[2]} MB half way, {pace.marks[-1][2]} MB at the end, "
        f"{memory_mb('VmHWM')} MB at most"
    )


def many_names(folder: Path, count: int) -> Path:
    """Make a manifest of so many paths: files under many names of their folder."""
    real, width = folder / "real", 1000
    real.mkdir()
    for number in range(width):
        (real / f"{number}.wav").touch()
    manifest = folder / "manifest.csv"
    with manifest.open("w") as file:
        file.write("clip\n")
        for link in range(-(-count // width)):
            (folder / f"{link}").symlink_to(real)
            file.writelines(f"{link}/{n}.wav\n" for n in range(min(width, count - link * width)))
    return manifest


def kills(clips: str, *, minutes: float, every_s: float) -> int:
    """Kill processes of a job, and start it again, until it is through."""
    generator, killed, started = random.Random(0), Counter[str](), time.monotonic()  # noqa: S311
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--job", folder, clips]
        # A job that can never end must not be started again forever.
        while time.monotonic() - started < MOST_TIMES * minutes * 60:
            job = subprocess.Popen(command)  # noqa: S603 - ourselves
            while not ended(job, within_s=every_s):
                if time.monotonic() - started < minutes * 60:
                    killed.update(kill_one(job.pid, generator))
            if job.returncode == THROUGH:
                break
        return say(Path(folder), clips, killed)


def kill_one(job: int, generator: random.Random) -> list[str]:
    """Kill a process of a job, and name it; nothing where it was gone before."""
    with suppress(psutil.NoSuchProcess):
        family = [psutil.Process(job)]
        family += family[0].children(recursive=True)
        victim = generator.choice(family)
        name: str = victim.name()
        victim.kill()
        return [name]
    return []


def ended(job: subprocess.Popen[bytes], *, within_s: float) -> bool:
    """Wait for a job's end, for so long."""
    try:
        job.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def say(out: Path, clips: str, killed: Counter[str]) -> int:
    """Say whether each clip is there once."""
    expected = Counter(entry.clip for entry in entries([clips], access={}))
    done, failed = (
        Counter(dataset.dataset(out / name).to_table(columns=["clip"])["clip"].to_pylist())
        for name in ("predictions", "errors")
    )
    print(f"killed {killed.total()}: {dict(killed)}")
    print(f"{done.total()} done, {failed.total()} failed, {expected.total()} asked for")
    print("each once" if done + failed == expected else "NOT each once")
    return 0 if done + failed == expected else 1


def one_job(out: str, clips: str) -> int:
    """Run the job that is killed."""
    job = job_of(Path(out), engine=CRASHING)
    try:
        report = run_batch(job, [clips], cluster=Cluster(workers=2), progress=lambda *_: None)
    except MienError as error:
        # What was killed may be Ray itself.
        print(error)
        return 2
    print(*summary_lines(report), sep="\n")
    return THROUGH


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="?", help="folder of clips")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--kills", action="store_true")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--every", type=float, default=20)
    parser.add_argument("--job", metavar="OUT", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    # For the processes of workers, which have to find the engines in this file.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), *filter(None, sys.path)])
    if options.rows:
        rows(options.rows)
    elif options.job:
        return one_job(options.job, options.clips)
    elif options.kills:
        return kills(options.clips, minutes=options.minutes, every_s=options.every)
    elif options.clips:
        speeds(options.clips)
    else:
        parser.error("name a folder of clips, or --rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
