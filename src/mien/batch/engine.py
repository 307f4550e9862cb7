"""What answers clips: a recogniser, in a process of its own that may crash or be killed.

``python -m mien.batch.engine FILENO`` is that process: it reads a job, then paths, from the
connection, and answers each in JSON. Whatever is called in its place, :attr:`Job.engine`, is given
the job and returns a function from a path to rows, which raises :class:`UnreadableClip`.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import mien
from mien.batch.job import Job, from_json
from mien.errors import BundleMismatch, InvalidArgument, MienError, UnreadableClip

Rows = list[dict[str, Any]]
Answer = Callable[[Path], tuple[Rows, float]]
"""A clip → its rows, and its seconds."""

LEFT_OUT = ("what comes before is answered", "what comes before is left out too")
"""What a timeline says of a clip that breaks off, and what is true here."""
MEMORY = 2 * 2**30
"""Bytes that a clip may take, beside the recogniser."""
GRACE_S = 10.0
"""Seconds after which a process ends itself that nobody has ended: who should have is gone."""


def open_engine(job: Job) -> Answer:
    """Load a recogniser, to compute on one core.

    Raises:
        BundleError: the bundle cannot be used, or is not the job's.
        DeviceUnavailable: the device cannot be used.
        InvalidArgument: this is another mien than the job's.
    """
    import cv2  # noqa: PLC0415 - other engines need none of these

    from mien.recognise import Recogniser  # noqa: PLC0415

    here = os.uname().nodename
    if mien.__version__ != job.version:
        raise InvalidArgument(
            f"mien on {here} must be the job's {job.version}, not {mien.__version__}; install the "
            "same on all machines"
        )
    cv2.setNumThreads(1)
    # What is fastest on one machine rounds otherwise than on the next: one table, one precision.
    recogniser = Recogniser(job.bundle, device=job.device, precision="f32")
    if recogniser.bundle.sha256 != job.bundle_sha256:
        raise BundleMismatch(
            f"{recogniser.bundle.path} on {here} is another bundle than the job's; "
            "give --bundle a folder that all machines see"
        )
    return _windows(recogniser) if job.timeline else _predictions(recogniser)


def _predictions(recogniser: Any) -> Answer:
    from mien.columns import prediction_row  # noqa: PLC0415

    def answer(path: Path) -> tuple[Rows, float]:
        found = recogniser.predict(path)
        likely = None if found.set is None else " ".join(found.set)
        more = {"set": likely, "set_rate": found.set_rate}
        return [{**prediction_row(found), **more}], found.duration_s

    return answer


def _windows(recogniser: Any) -> Answer:
    def answer(path: Path) -> tuple[Rows, float]:
        try:
            rows = [window.row() for window in recogniser.timeline(path)]
        except UnreadableClip as error:
            # A clip is in one table alone: its windows up to there are not written.
            raise UnreadableClip(str(error).replace(*LEFT_OUT)) from error
        return rows, rows[-1]["end_s"]

    return answer


def main() -> None:
    """Answer until the other end is closed."""
    _give_way()
    connection = Connection(int(sys.argv[1]))
    job = from_json(connection.recv_bytes().decode())
    module, _, function = job.engine.partition(":")
    try:
        answer: Answer = getattr(import_module(module), function)(job)
    except MienError as error:
        _send(connection, {"refused": [type(error).__name__, str(error)]})
        return
    if job.device == "cpu":
        # Drivers of graphics processors take far more, and later, than clips do.
        _limit()
    _send(connection, {"ready": True})
    while path := _next(connection):
        # Its usual effect, the end of the process, needs no Python: it also ends what hangs.
        signal.setitimer(signal.ITIMER_REAL, job.timeout_s + GRACE_S)
        reply = _reply(answer, path)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(connection, reply)


def _give_way() -> None:
    """Be the first that ends where memory does: this process, unlike Ray's, is started again."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _limit() -> None:
    """Bound what a clip may take, so that it fails before the machine does."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (row for row in status.read_text().splitlines() if row.startswith("VmData:"))
        most = int(line.split()[1]) * 1024 + MEMORY
        allowed = resource.getrlimit(resource.RLIMIT_DATA)[1]
        if allowed == resource.RLIM_INFINITY or most < allowed:
            resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _next(connection: Connection) -> Path | None:
    try:
        return Path(os.fsdecode(connection.recv_bytes()))
    except EOFError:
        return None


def _reply(answer: Answer, path: Path) -> dict[str, Any]:
    try:
        rows, video_s = answer(path)
    except UnreadableClip as error:
        return {"error": [type(error).__name__, str(error)]}
    return {"rows": rows, "video_s": video_s}


def _send(connection: Connection, reply: dict[str, Any]) -> None:
    connection.send_bytes(json.dumps(reply).encode())


if __name__ == "__main__":
    main()
