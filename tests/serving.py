"""A real service on loopback, in a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from mien.verify import GOLDEN_CLIP

START_S = 60


@dataclass(frozen=True)
class Serving:
    """A service that answers."""

    url: str
    process: psutil.Process

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    def workers(self) -> list[psutil.Process]:
        """Give its processes that read clips."""
        found: list[psutil.Process] = self.process.children()
        return found

    def files(self) -> int:
        """Count what it holds open."""
        found: int = self.process.num_fds()
        return found

    def memory(self) -> int:
        """Give the bytes that it and its workers have in memory."""
        return sum(each.memory_info().rss for each in (self.process, *self.workers()))


def predicted(url: str, clip: Path | bytes = GOLDEN_CLIP, **options: object) -> httpx.Response:
    """Post a clip."""
    data = clip if isinstance(clip, bytes) else clip.read_bytes()
    return httpx.post(f"{url}/v1/predict", content=data, timeout=60, **options)  # type: ignore[arg-type]


def free_port() -> int:
    """Give a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(*options: str | Path, folder: Path | None = None) -> Iterator[Serving]:
    """Start ``mien serve`` and wait until it is ready; at the end nothing of it may be left."""
    port = free_port()
    command = [sys.executable, "-m", "mien", "serve", "--port", str(port), *map(str, options)]
    environment = {**os.environ, **({} if folder is None else {"TMPDIR": str(folder)})}
    started = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    found = Serving(f"http://127.0.0.1:{port}", psutil.Process(started.pid))
    _wait(found, started)
    try:
        yield found
        workers = found.workers()
    finally:
        started.send_signal(signal.SIGINT)
        _, errors = started.communicate(timeout=30)
    assert "Traceback" not in errors, errors
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive


def _wait(found: Serving, started: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and started.poll() is None:
        try:
            if httpx.get(f"{found.url}/readyz").status_code == 200:
                return
        except httpx.ConnectError:
            time.sleep(0.1)
        time.sleep(0.05)
    started.kill()
    pytest.fail(f"no service: {started.communicate()[1]}")
