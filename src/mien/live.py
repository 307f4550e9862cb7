"""Talk to the live service of ``mien serve``: its wire format, and a small client.

A message of the client is binary: one byte, 1 for a picture (JPEG) or 2 for sound (16-bit
little-endian PCM, one channel); eight bytes, the time stamp in seconds as a little-endian double;
then the payload. docs/serve.md tells more.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from mien.errors import InvalidArgument, MissingDependency, ServiceFailed

PATH = "/v1/live"
PICTURE, SOUND = 1, 2
_HEADER = struct.Struct("<Bd")
LATEST_S = 1e10
"""Seconds beyond which a time stamp counts something else: clocks that count from 1970 reach it in
the year 2286."""
_OPENING_S = 60.0
"""Seconds that a service may take to get ready: it may have to start a process."""


@dataclass(frozen=True)
class Piece:
    """One message of a client."""

    kind: int
    """``PICTURE`` or ``SOUND``."""
    time_s: float
    """When the picture, or the first sample, was taken: seconds on the client's clock."""
    payload: bytes


def pack(piece: Piece) -> bytes:
    """Give a message as it is sent.

    >>> pack(Piece(SOUND, 1.5, b"abcd")).hex(" ")
    '02 00 00 00 00 00 00 f8 3f 61 62 63 64'
    """
    return _HEADER.pack(piece.kind, piece.time_s) + piece.payload


def unpack(message: bytes) -> Piece:
    """Read a message.

    Raises:
        InvalidArgument: it is none.

    >>> unpack(pack(Piece(PICTURE, 2.0, b"jpeg")))
    Piece(kind=1, time_s=2.0, payload=b'jpeg')
    """
    if len(message) < _HEADER.size:
        raise InvalidArgument(
            f"message must begin with {_HEADER.size} bytes of kind and time, got {len(message)}"
        )
    kind, time_s = _HEADER.unpack_from(message)
    payload = message[_HEADER.size :]
    if kind not in {PICTURE, SOUND}:
        raise InvalidArgument(f"message must be of kind 1 (picture) or 2 (sound), not {kind}")
    if not abs(time_s) <= LATEST_S:
        raise InvalidArgument(f"message's time must be seconds, not {time_s}")
    if kind == SOUND and len(payload) % 2:
        raise InvalidArgument(f"sound must be samples of 2 bytes, got {len(payload)} bytes")
    return Piece(kind, time_s, payload)


class Client:
    """Sends pictures and sound to a service and takes its answers; a context manager.

    Pictures and sound may be sent by one thread, and answers be received by another.

    Args:
        url: of the service, ``ws://host:port`` or ``wss://…``.
        rate: samples a second of the sound that will be sent.
        token: where the service asks for one.

    Raises:
        MissingDependency: no websockets.
        ServiceFailed: the service refuses, or is not there.

    >>> with Client("ws://127.0.0.1:8000", rate=16_000) as client:  # doctest: +SKIP
    ...     client.send_picture(jpeg, time_s=0.0)
    ...     client.send_sound(samples, time_s=0.0)
    ...     client.receive()["emotion"]
    'happy'
    """

    def __init__(self, url: str, *, rate: int, token: str | None = None) -> None:
        self._address = url.rstrip("/").removesuffix(PATH) + PATH
        self._hello = {"rate": rate} | ({} if token is None else {"token": token})
        self._socket: Any = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        try:
            from websockets.exceptions import WebSocketException  # noqa: PLC0415
            from websockets.sync.client import connect  # noqa: PLC0415
        except ImportError as error:
            raise MissingDependency(
                "mien.live.Client needs websockets: pip install 'mien[serve]'"
            ) from error
        with ExitStack() as opening:
            try:
                # JPEG does not become smaller.
                self._socket = opening.enter_context(connect(self._address, compression=None))
            except (OSError, WebSocketException) as error:
                raise ServiceFailed(f"{self._address}: {error}; is mien serve running?") from error
            with self._there():
                self._socket.send(json.dumps(self._hello))
            try:
                self.receive(timeout_s=_OPENING_S)
            except TimeoutError as error:
                raise ServiceFailed(f"{self._address}: not ready in {_OPENING_S:g} s") from error
            self._open = opening.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    @contextmanager
    def _there(self) -> Iterator[None]:
        from websockets.exceptions import ConnectionClosed  # noqa: PLC0415

        try:
            yield
        except ConnectionClosed as error:
            raise ServiceFailed(f"{self._address}: the service went away ({error})") from error

    def send_picture(self, jpeg: bytes, *, time_s: float) -> None:
        """Send a picture.

        Args:
            jpeg: its bytes, at most 1 MiB.
            time_s: when it was taken.

        Raises:
            ServiceFailed: the service went away; :meth:`receive` may tell why.
        """
        with self._there():
            self._socket.send(pack(Piece(PICTURE, time_s, jpeg)))

    def send_sound(self, samples: bytes, *, time_s: float) -> None:
        """Send a piece of sound.

        Args:
            samples: 16-bit little-endian PCM, one channel; a tenth of a second is a good length.
            time_s: when its first sample was taken, on the same clock as pictures.

        Raises:
            ServiceFailed: as for pictures.
        """
        with self._there():
            self._socket.send(pack(Piece(SOUND, time_s, samples)))

    def receive(self, *, timeout_s: float | None = None) -> Mapping[str, Any]:
        """Wait for the next answer.

        Args:
            timeout_s: seconds to wait at most.

        Returns:
            A prediction as ``mien predict --json`` gives it, and what docs/serve.md adds.

        Raises:
            TimeoutError: nothing came.
            ServiceFailed: the service sent an error, or went away.
        """
        with self._there():
            answer: dict[str, Any] = json.loads(self._socket.recv(timeout_s))
        if "error" in answer:
            raise ServiceFailed(f"{answer['error']['type']}: {answer['error']['message']}")
        return answer
