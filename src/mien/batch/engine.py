"""What answers clips: a recogniser, in a process of its own that may crash or be killed.

``python -m mien.batch.engine FILENO`` is that process: it reads a job, then paths, from the
connection, and answers each in JSON. Whatever is called in its place, :attr:`Job.engine`, is given
the job and returns a function from a path to rows, which raises :class:`UnreadableClip`.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mien.batch.job import Job, from_json
from mien.errors import BundleMismatch, MienError, UnreadableClip

Rows = list[dict[str, Any]]
Answer = Callable[[Path], tuple[Rows, float]]
"""A clip → its rows, and its seconds."""

GRACE_S = 10.0
"""Seconds after which a process ends itself that nobody has ended: who should have is gone."""


def open_engine(job: Job) -> Answer:
    """Load a recogniser, to compute on one core.

    Raises:
        BundleError: the bundle cannot be used, or is not the job's.
        DeviceUnavailable: the device cannot be used.
    """
    import cv2  # noqa: PLC0415 - other engines need none of these

    from mien.recognise import Recogniser  # noqa: PLC0415

    cv2.setNumThreads(1)
    recogniser = Recogniser(job.bundle, device=job.device)
    if recogniser.bundle.sha256 != job.bundle_sha256:
        raise BundleMismatch(
            f"{recogniser.bundle.path} on {os.uname().nodename} is another bundle than the job's; "
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
        rows = [window.row() for window in recogniser.timeline(path)]
        return rows, rows[-1]["end_s"]

    return answer


def main() -> None:
    """Answer until the other end is closed."""
    connection = Connection(int(sys.argv[1]))
    job = from_json(connection.recv_bytes().decode())
    module, _, function = job.engine.partition(":")
    try:
        answer: Answer = getattr(import_module(module), function)(job)
    except MienError as error:
        _send(connection, {"refused": [type(error).__name__, str(error)]})
        return
    _send(connection, {"ready": True})
    while path := _next(connection):
        # Its usual effect, the end of the process, needs no Python: it also ends what hangs.
        signal.setitimer(signal.ITIMER_REAL, job.timeout_s + GRACE_S)
        reply = _reply(answer, path)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(connection, reply)


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
