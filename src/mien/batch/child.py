"""A process that answers clips, started again whenever it crashed or had to be ended."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from mien import errors
from mien.batch.job import Job, to_json
from mien.errors import ClipTimedOut, WorkerCrashed, WorkerUnfit

START_S = 300.0
"""Seconds that a process may take to start, from a slow disk under load."""
LAST_WORDS = 2_000
"""Bytes of what it wrote that are looked at when it ended."""
ONE_CORE = {"MIEN_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
PAUSES_S = (0.5, 2.0)
"""Seconds that are waited before what a machine lacks is tried again."""

Given = TypeVar("Given")


def patiently(do: Callable[[], Given]) -> Given:
    """Do what a machine may be unfit for, a few times.

    Raises:
        WorkerUnfit: it stays so.
    """
    for pause_s in PAUSES_S:
        try:
            return do()
        except WorkerUnfit:
            time.sleep(pause_s)
    return do()


def unfit(reason: object) -> WorkerUnfit:
    """Say what a machine lacks."""
    return WorkerUnfit(
        f"{os.uname().nodename} cannot answer clips ({reason}); mend that, and the same command "
        "goes on from there"
    )


class Child:
    """One process; it is started when it is first asked."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._noise: BinaryIO | None = None

    def ask(self, path: Path) -> dict[str, Any]:
        """Have a clip answered.

        Returns:
            ``rows`` and ``video_s``, or ``error``.

        Raises:
            WorkerCrashed: the process ended over it.
            ClipTimedOut: it took too long; the process is ended.
            WorkerUnfit: none can be started.
            MienError: the process cannot work at all.
        """
        connection = self._connection or patiently(self._start)
        return self._exchange(connection, os.fsencode(path), self._job.timeout_s)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        for opened in (self._connection, self._noise):
            if opened is not None:
                opened.close()
        self._process = self._connection = self._noise = None

    def _start(self) -> Connection:
        try:
            return self._started()
        except ClipTimedOut as error:
            raise unfit(f"the process for it did not start in {START_S:g} s") from error
        except (WorkerCrashed, OSError) as error:
            self.close()
            raise unfit(error) from error

    def _started(self) -> Connection:
        ours, theirs = Pipe()
        self._noise = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        command = [sys.executable, "-m", "mien.batch.engine", str(theirs.fileno())]
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self._noise,
            stderr=self._noise,
            env={**os.environ, **ONE_CORE, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        theirs.close()
        self._connection = ours
        reply = self._exchange(ours, to_json(self._job).encode(), START_S)
        if refused := reply.get("refused"):
            self.close()
            raise getattr(errors, refused[0])(refused[1])
        return ours

    def _exchange(self, connection: Connection, message: bytes, limit_s: float) -> dict[str, Any]:
        try:
            connection.send_bytes(message)
            if connection.poll(limit_s):
                reply: dict[str, Any] = json.loads(connection.recv_bytes())
                return reply
        except (EOFError, OSError):
            raise WorkerCrashed(f"the process that read it {self._ended()}") from None
        self.close()
        raise ClipTimedOut(f"it took longer than {limit_s:g} s; give more with --timeout")

    def _ended(self) -> str:
        assert self._process is not None and self._noise is not None  # noqa: S101 - see _start
        code = self._process.wait()
        self._noise.seek(max(0, self._noise.seek(0, os.SEEK_END) - LAST_WORDS))
        last = self._noise.read().decode(errors="replace").strip().rpartition("\n")[2]
        self.close()
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        return f"{how}: {last[:200]}" if last else how
