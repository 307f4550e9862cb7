"""Messages between the service and its workers: a line of JSON, then bytes if it says so.

Clips do not go this way: the service hands their open files over (``socket.send_fds``).
"""

import asyncio
import json
from collections.abc import Iterable
from typing import Any, BinaryIO

Message = dict[str, Any]
BLOBS = "blobs"
LONGEST_LINE = 2**22
"""Bytes of the longest line: an answer has a few thousand."""


def packed(message: Message, blobs: Iterable[bytes] = ()) -> bytes:
    r"""Give a message as it is sent.

    >>> packed({"do": "live"}, [b"ab", b"c"])
    b'{"do": "live", "blobs": [2, 1]}\nabc'
    """
    parts = list(blobs)
    lengths = {BLOBS: [len(part) for part in parts]} if parts else {}
    return json.dumps(message | lengths).encode() + b"\n" + b"".join(parts)


def read_message(file: BinaryIO) -> tuple[Message, list[bytes]] | None:
    """Wait for a message; ``None`` when the other side has gone."""
    line = file.readline()
    if not line:
        return None
    message: Message = json.loads(line)
    return message, [file.read(length) for length in message.get(BLOBS, ())]


async def receive(reader: asyncio.StreamReader) -> Message:
    """Wait for a worker's message.

    Raises:
        EOFError: the worker has gone.
    """
    line = await reader.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    message: Message = json.loads(line)
    return message
