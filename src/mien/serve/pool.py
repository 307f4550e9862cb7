"""Workers and who has them: one warm process each, killed and replaced when one goes wrong."""

import asyncio
import json
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, BinaryIO

from mien import errors
from mien.errors import LimitExceeded, MienError, ServiceBusy
from mien.serve.channel import LONGEST_LINE, Message, packed, receive
from mien.serve.settings import Settings

READY_S = 120.0
"""Seconds that a worker may take to load its model."""
WAIT_S = 30.0
"""Seconds that a request waits for a worker."""
AGAIN_S = 2.0
"""Seconds before another try where a worker does not start."""


class WorkerGone(Exception):
    """The process has ended, or its answer cannot be waited for."""


class Worker:
    """A process that reads clips; one conversation at a time."""

    def __init__(self, process: Process, files: socket.socket) -> None:
        self._process, self._files = process, files
        self._talking = True

    @classmethod
    async def start(cls, settings: Settings) -> "Worker":
        """Start a process and wait until it is warm.

        Raises:
            WorkerGone: it does not get so far.
        """
        ours, theirs = socket.socketpair()
        options = {
            "bundle": None if settings.bundle is None else str(settings.bundle),
            "workers": settings.workers,
            "max_seconds": settings.max_seconds,
            "memory": settings.memory,
            "socket": theirs.fileno(),
        }
        with theirs:
            process = await asyncio.create_subprocess_exec(
                # -P: no module of the folder that the service is started in.
                *(sys.executable, "-P", "-m", "mien.serve.worker", json.dumps(options)),
                stdin=PIPE,
                stdout=PIPE,
                pass_fds=[theirs.fileno()],
                limit=LONGEST_LINE,
                # Ctrl-C is for the service, which ends its workers itself.
                start_new_session=True,
            )
        worker = cls(process, ours)
        try:
            async with asyncio.timeout(READY_S):
                await worker._receive()
        except BaseException:
            worker.kill()
            await worker.ended()
            raise
        worker._talking = False
        return worker

    @property
    def idle(self) -> bool:
        """Whether it waits for the next request."""
        return self._process.returncode is None and not self._talking

    async def ask(
        self,
        message: Message,
        *,
        seconds: float,
        clip: BinaryIO | None = None,
        blobs: Iterable[bytes] = (),
    ) -> AsyncIterator[Message]:
        """Ask for something, and give the answers as they come.

        Args:
            message: what to do.
            seconds: longest time for each answer.
            clip: an open file that goes with it.
            blobs: bytes that go with it.

        Raises:
            MienError: the worker cannot do it.
            LimitExceeded: it took too long, or its process broke.
        """
        self._talking = True
        try:
            if clip is not None:
                socket.send_fds(self._files, [b"\0"], [clip.fileno()])
            assert self._process.stdin is not None  # noqa: S101 - it is piped
            self._process.stdin.write(packed(message, blobs))
            error: MienError | None = None
            async with asyncio.timeout(seconds):
                await self._process.stdin.drain()
            while "done" not in (answer := await self._answer(seconds)):
                if "error" in answer:
                    error = _error(answer["error"])
                else:
                    yield answer
        except TimeoutError:
            raise LimitExceeded(
                f"reading the clip took more than {seconds:g} s, which is all it may take"
            ) from None
        except (OSError, WorkerGone):
            raise LimitExceeded(
                "reading the clip took too much memory, or broke its reader; convert it to mp4"
            ) from None
        self._talking = False
        if error is not None:
            raise error

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._files.close()
        with suppress(ProcessLookupError):
            self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def ended(self) -> None:
        """Wait until the process that was killed is gone."""
        await self._process.wait()

    async def _answer(self, seconds: float) -> Message:
        async with asyncio.timeout(seconds):
            return await self._receive()

    async def _receive(self) -> Message:
        assert self._process.stdout is not None  # noqa: S101 - it is piped
        try:
            return await receive(self._process.stdout)
        except EOFError:
            raise WorkerGone from None


class Pool:
    """Some workers, of which each is had by one at a time.

    Args:
        settings: of the service.
        restarted: is called when a worker had to be replaced.
    """

    def __init__(self, settings: Settings, *, restarted: Callable[[], object]) -> None:
        self._settings, self._restarted = settings, restarted
        self._idle: asyncio.Queue[Worker] = asyncio.Queue()
        self._had = 0
        self._all: set[Worker] = set()
        self._starting: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        """Whether there is a worker that is warm."""
        return bool(self._all)

    def start(self, count: int) -> None:
        """Start so many workers; they join as they are warm."""
        for _ in range(count):
            self._spawn(self._join())

    async def close(self) -> None:
        """End all workers."""
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        for worker in self._all:
            worker.kill()
        await asyncio.gather(*(worker.ended() for worker in self._all))
        self._all.clear()

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Worker]:
        """Wait for a worker and have it; one that is left while it answers is replaced.

        Raises:
            ServiceBusy: none became free in time.
        """
        self._had += 1
        try:
            worker = await self._next()
            try:
                yield worker
            finally:
                self._give_back(worker)
        finally:
            self._had -= 1

    async def _next(self) -> Worker:
        """Wait for an idle worker; those that ended while nobody had them are replaced.

        Raises:
            ServiceBusy: none came.
        """
        try:
            async with asyncio.timeout(WAIT_S):
                while not (worker := await self._idle.get()).idle:
                    self._give_back(worker)
        except TimeoutError:
            raise ServiceBusy(f"nobody was free in {WAIT_S:g} s; try again soon") from None
        return worker

    @asynccontextmanager
    async def worker_of_own(self, *, most: int) -> AsyncIterator[Worker]:
        """Have a worker for a long time; one is started where none is idle.

        Args:
            most: how many may be had.

        Raises:
            ServiceBusy: so many are had.
        """
        if self._had >= most:
            raise ServiceBusy(f"all {most} live sessions are taken; try again in a minute")
        if self._had >= len(self._all) + len(self._starting):
            self.start(1)
        async with self.worker() as worker:
            yield worker

    def _give_back(self, worker: Worker) -> None:
        if worker.idle:
            self._idle.put_nowait(worker)
            return
        worker.kill()
        self._restarted()
        self._all.discard(worker)
        self._spawn(self._replace(worker))

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _replace(self, worker: Worker) -> None:
        await worker.ended()
        await self._join()

    async def _join(self) -> None:
        while True:
            try:
                worker = await Worker.start(self._settings)
            except (OSError, TimeoutError, WorkerGone):
                await asyncio.sleep(AGAIN_S)
                continue
            self._all.add(worker)
            self._idle.put_nowait(worker)
            return


def _error(told: dict[str, Any]) -> MienError:
    """Make the error that a worker tells of."""
    kind = getattr(errors, told["type"], MienError)
    return kind(told["message"])
