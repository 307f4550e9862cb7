"""A live session: pictures and sound come, answers go, and nothing waits until it is old."""

import asyncio
import json
import time
from collections import deque
from contextlib import suppress
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from mien.errors import InvalidArgument, MienError, NotAuthorised, ServiceBusy
from mien.live import PICTURE, Piece, unpack
from mien.live_window import RATES, WINDOW_S
from mien.serve.pool import Worker
from mien.serve.security import check_token
from mien.serve.service import Service

EVERY_S = 0.25
"""Seconds from one answer to the next."""
HELLO_S = 10.0
"""Seconds until the first message."""
SILENT_S = 30.0
"""Seconds without a message after which the client is taken to be gone."""
READ_S = 5.0
"""Seconds that a client may take to read an answer, and a worker to give it."""
MOST_PIECES = 1000
"""Pieces of sound that wait at most: a browser's smallest have a 375th of a second."""
POLICY, BROKEN, LATER = 1008, 1011, 1013
"""Codes that a WebSocket is closed with."""


class Mailbox:
    """What has come and was not looked at yet: the newest picture, and the sound.

    Args:
        rate: samples a second of the sound.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._picture: Piece | None = None
        self._sounds: deque[Piece] = deque(maxlen=MOST_PIECES)
        self._waiting_s = 0.0
        self._last = float("-inf")
        self._offset: float | None = None
        self._news = asyncio.Event()
        self.closed = False
        self.looked_at = 0
        self.dropped = 0

    def put(self, piece: Piece) -> None:
        """Take what came: a picture takes the place of one that was not looked at."""
        end = piece.time_s
        if piece.kind == PICTURE:
            if piece.time_s <= self._last:
                self.dropped += 1
                return
            self.dropped += self._picture is not None
            self._picture, self._last = piece, piece.time_s
            self._news.set()
        else:
            end += self._seconds(piece)
            self._keep(piece, end)
        offset = time.monotonic() - end
        self._offset = offset if self._offset is None else min(self._offset, offset)

    def _keep(self, piece: Piece, end: float) -> None:
        self._sounds.append(piece)
        self._waiting_s += self._seconds(piece)
        # By its time, and by how much it is, whatever time it claims.
        while self._sounds and (
            self._sounds[0].time_s < end - WINDOW_S or self._waiting_s > 2 * WINDOW_S
        ):
            self._waiting_s -= self._seconds(self._sounds.popleft())

    def take(self) -> list[Piece]:
        """Give what has come, sound first, and be empty."""
        pieces = [*self._sounds, *([self._picture] if self._picture else [])]
        self.looked_at += self._picture is not None
        self._picture = None
        self._sounds.clear()
        self._waiting_s = 0.0
        self._news.clear()
        return pieces

    def close(self) -> None:
        """Tell that nothing more comes."""
        self.closed = True
        self._news.set()

    async def wait(self, seconds: float) -> None:
        """Wait for a picture, or so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    def age(self, time_s: float | None) -> float | None:
        """Tell how long ago something of that time stamp was taken.

        The client's clock is another; what came the quickest is taken to have come at once.
        """
        if time_s is None or self._offset is None:
            return None
        return round(time.monotonic() - self._offset - time_s, 3)

    def _seconds(self, piece: Piece) -> float:
        return len(piece.payload) / 2 / self._rate


async def live_session(socket: WebSocket, service: Service) -> None:
    """Have a session from its first message to its last."""
    await socket.accept()
    try:
        rate = await _hello(socket, service)
        most = service.settings.workers
        async with service.live.worker_of_own(most=most) as worker:
            service.metrics.live.inc()
            try:
                await _answer_on(socket, service, worker, rate)
            finally:
                service.metrics.live.dec()
    except MienError as error:
        service.metrics.errors.labels(type(error).__name__).inc()
        await _refuse(socket, error)
    except (WebSocketDisconnect, TimeoutError, RuntimeError):
        # RuntimeError is Starlette's for a message to a client that has gone.
        await _close(socket, POLICY)


async def _hello(socket: WebSocket, service: Service) -> int:
    async with asyncio.timeout(HELLO_S):
        message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    try:
        hello = json.loads(message["text"])
        rate, token = hello["rate"], hello.get("token")
    except (ValueError, TypeError, KeyError, AttributeError):
        raise InvalidArgument('the first message must be JSON such as {"rate": 48000}') from None
    check_token(token if isinstance(token, str) else None, service.settings)
    if isinstance(rate, bool) or not isinstance(rate, int) or not RATES[0] <= rate <= RATES[1]:
        raise InvalidArgument(f"rate must be {RATES[0]} to {RATES[1]} samples a second")
    return rate


async def _answer_on(socket: WebSocket, service: Service, worker: Worker, rate: int) -> None:
    await _tell(worker, {"do": "open", "rate": rate}, [])
    bundle = {"name": service.bundle.name, "sha256": service.bundle.sha256}
    await _send(socket, {"ready": True, "window_s": WINDOW_S, "bundle": bundle})
    mailbox = Mailbox(rate)
    reading = asyncio.create_task(_read(socket, mailbox))
    try:
        await _answers(socket, service, worker, mailbox)
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        # The last seconds of a person are forgotten, however the session ends.
        if worker.idle:
            with suppress(MienError):
                await _tell(worker, {"do": "close"}, [])
    # What was wrong with what came, if anything was.
    if not reading.cancelled() and (error := reading.exception()):
        raise error


async def _read(socket: WebSocket, mailbox: Mailbox) -> None:
    try:
        while True:
            async with asyncio.timeout(SILENT_S):
                message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("bytes") is None:
                raise InvalidArgument("messages after the first must be binary")
            mailbox.put(unpack(message["bytes"]))
    finally:
        mailbox.close()


async def _answers(socket: WebSocket, service: Service, worker: Worker, mailbox: Mailbox) -> None:
    due = time.monotonic()
    while True:
        await mailbox.wait(max(0.0, due - time.monotonic()))
        if mailbox.closed:
            return
        is_due = time.monotonic() >= due
        pieces = mailbox.take()
        if is_due:
            due = time.monotonic() + EVERY_S
        answer = await _tell(worker, {"do": "live", "answer": is_due}, pieces)
        if answer is not None:
            service.metrics.took(answer["seconds"])
            newest = answer["newest"]
            ages = {
                "frame": mailbox.age(newest["frame_s"]),
                "sound": mailbox.age(newest["sound_s"]),
            }
            if ages["frame"] is not None:
                service.metrics.age.observe(max(0.0, ages["frame"]))
            frames = {"looked_at": mailbox.looked_at, "dropped": mailbox.dropped}
            await _send(socket, {**answer, "age_s": ages, "frames": frames})


async def _tell(
    worker: Worker, message: dict[str, Any], pieces: list[Piece]
) -> dict[str, Any] | None:
    told = message | {"pieces": [[piece.kind, piece.time_s] for piece in pieces]}
    blobs = [piece.payload for piece in pieces]
    found = [each async for each in worker.ask(told, seconds=READ_S, blobs=blobs)]
    return found[0]["answer"] if found else None


async def _send(socket: WebSocket, value: dict[str, Any]) -> None:
    async with asyncio.timeout(READ_S):
        await socket.send_json(value)


async def _refuse(socket: WebSocket, error: MienError) -> None:
    code = LATER if isinstance(error, ServiceBusy) else BROKEN
    if isinstance(error, NotAuthorised | InvalidArgument):
        code = POLICY
    try:
        await _send(socket, {"error": {"type": type(error).__name__, "message": str(error)}})
    except (WebSocketDisconnect, TimeoutError, RuntimeError):
        return
    await _close(socket, code)


async def _close(socket: WebSocket, code: int) -> None:
    try:
        async with asyncio.timeout(READ_S):
            await socket.close(code)
    except (WebSocketDisconnect, TimeoutError, RuntimeError):
        return
