"""Requests about clips → answers: who has a place, which worker reads, what is counted."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

from mien.bundle import Bundle
from mien.errors import LimitExceeded, MienError, ServiceBusy
from mien.serve.channel import Message
from mien.serve.metrics import Metrics
from mien.serve.pool import Pool, Worker
from mien.serve.settings import Settings
from mien.serve.uploads import Upload

Line = dict[str, Any]


class Service:
    """What all requests share.

    Args:
        settings: how the service is run.
        bundle: what answers.
    """

    def __init__(self, settings: Settings, bundle: Bundle) -> None:
        self.settings, self.bundle = settings, bundle
        self.metrics = Metrics()
        restarted = self.metrics.restarts.inc
        self._clips = Pool(settings, restarted=restarted)
        self.live = Pool(settings, restarted=restarted)
        self._taken = self._read = 0
        self._reading: set[asyncio.Task[Message]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Have workers, and end them."""
        self._clips.start(self.settings.workers)
        self.live.start(1)
        try:
            yield
        finally:
            await asyncio.gather(self._clips.close(), self.live.close())

    @property
    def ready(self) -> bool:
        """Whether a clip would be read now."""
        return self._clips.ready

    @contextmanager
    def place(self) -> Iterator[None]:
        """Have a place among those that are read or wait, from before the upload to the answer.

        Raises:
            ServiceBusy: all are taken.
        """
        if self._taken >= self.settings.places:
            raise ServiceBusy(f"all {self.settings.places} places are taken; try again soon")
        self._count(taken=1)
        try:
            yield
        finally:
            self._count(taken=-1)

    async def predict(self, upload: Upload) -> Line:
        """Say what a clip expresses.

        Whoever goes away while waiting leaves the place to the next; a clip that is being read is
        read to its end, which takes less than a new worker.

        Raises:
            MienError: it cannot be read, or not within the limits.
        """
        message = {"do": "predict", "name": upload.name}
        async with AsyncExitStack() as stack:
            worker = await stack.enter_async_context(self._worker())
            reading = asyncio.create_task(self._whole(worker, message, upload, stack.pop_all()))
        self._reading.add(reading)
        reading.add_done_callback(self._over)
        found = await asyncio.shield(reading)
        answer: Line = found["answer"]
        self.metrics.took(answer["seconds"])
        return answer

    async def timeline(self, upload: Upload, options: dict[str, Any]) -> AsyncIterator[Line]:
        """Give a clip's windows as they are ready; an error among them ends them.

        The clip is read on where the client takes its time: windows are small, workers are few.

        Raises:
            MienError: it cannot be read; before the first window.
        """
        lines: asyncio.Queue[Line | MienError | None] = asyncio.Queue()
        message = {"do": "timeline", "name": upload.name, "options": options}
        task = asyncio.create_task(self._fill(lines, message, upload))
        try:
            first = True
            while (line := await lines.get()) is not None:
                if isinstance(line, MienError):
                    if first:
                        raise line
                    self.metrics.errors.labels(type(line).__name__).inc()
                    line = {"error": {"type": type(line).__name__, "message": str(line)}}
                first = False
                yield line
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _fill(
        self, lines: asyncio.Queue[Line | MienError | None], message: Message, upload: Upload
    ) -> None:
        seconds = self.settings.max_seconds + self.settings.clip_seconds
        try:
            async with asyncio.timeout(seconds):
                async for found in self._ask(message, upload):
                    lines.put_nowait(found["window"])
        except TimeoutError:
            lines.put_nowait(LimitExceeded(f"reading the clip took more than {seconds:g} s"))
        except MienError as error:
            lines.put_nowait(error)
        lines.put_nowait(None)

    async def _whole(
        self, worker: Worker, message: Message, upload: Upload, stack: AsyncExitStack
    ) -> Message:
        async with stack:
            asked = worker.ask(message, seconds=self.settings.clip_seconds, clip=upload.file)
            (found,) = [each async for each in asked]
            return found

    def _over(self, reading: asyncio.Task[Message]) -> None:
        self._reading.discard(reading)
        # Where the client has gone nobody else asks what went wrong.
        if not reading.cancelled():
            reading.exception()

    async def _ask(self, message: Message, upload: Upload) -> AsyncIterator[Message]:
        async with self._worker() as worker:
            limit = self.settings.clip_seconds
            async for found in worker.ask(message, seconds=limit, clip=upload.file):
                yield found

    @asynccontextmanager
    async def _worker(self) -> AsyncIterator[Worker]:
        async with self._clips.worker() as worker:
            self._count(read=1)
            try:
                yield worker
            finally:
                self._count(read=-1)

    def _count(self, *, taken: int = 0, read: int = 0) -> None:
        self._taken += taken
        self._read += read
        self.metrics.queue.set(max(0, self._taken - self._read))
        self.metrics.reading.set(self._read)
