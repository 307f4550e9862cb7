"""The body of a request → an open file that has no name, so that it goes when it is closed."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from fastapi import Request
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from mien.errors import InvalidArgument, ServiceBusy, UploadTooLarge, UploadTooSlow

PATIENCE_S = 10.0
"""Seconds that a client may take however little it sends."""
SLOWEST = 16_000
"""Bytes a second that it must send beyond that."""
AROUND = 2**16
"""Bytes that the wrapping of a multipart body may take."""
LONGEST_NAME = 200
"""Characters of a file name that are kept."""


@dataclass(frozen=True)
class Upload:
    """A clip that was received."""

    file: BinaryIO
    name: str
    """As the client calls it, for answers and errors."""


@asynccontextmanager
async def received(request: Request, *, limit: int) -> AsyncIterator[Upload]:
    """Take the clip of a request: the file of a form, or the whole body.

    Args:
        request: of which nothing was read.
        limit: most bytes of a clip.

    Raises:
        UploadTooLarge: it is larger.
        UploadTooSlow: the client does not keep pace.
        InvalidArgument: there is no file in the form, or it is no form.
        ServiceBusy: no room on the disk.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    is_form = kind == b"multipart/form-data"
    most = limit + AROUND if is_form else limit
    if _claimed(request) > most:
        raise _too_large(limit)
    # Without a name from the start: nothing is left even where the service is killed.
    # Unbuffered, so that a full disk shows while there is somebody to tell.
    with tempfile.TemporaryFile(buffering=0) as file:
        body = _paced(request.stream(), most=most, limit=limit)
        try:
            if is_form:
                name = await _take_form(body, file, options.get(b"boundary", b""))
            else:
                name = await _take_all(body, file)
        except OSError as error:
            raise ServiceBusy(f"the clip cannot be stored: {error.strerror}") from error
        file.seek(0)
        yield Upload(file, name)


def _claimed(request: Request) -> int:
    length = request.headers.get("content-length", "0")
    return int(length) if length.isdecimal() else 0


def _too_large(limit: int) -> UploadTooLarge:
    return UploadTooLarge(
        f"the clip must have at most {limit:,} bytes; cut or compress it, or start the service "
        "with a larger --max-upload"
    )


async def _paced(body: AsyncIterator[bytes], *, most: int, limit: int) -> AsyncIterator[bytes]:
    """Pass the body on while the client keeps pace and within the limit."""
    start, taken = time.monotonic(), 0
    while True:
        left = start + PATIENCE_S + taken / SLOWEST - time.monotonic()
        try:
            async with asyncio.timeout(left):
                chunk = await anext(body, None)
        except TimeoutError:
            raise UploadTooSlow(
                f"the clip must come with at least {SLOWEST:,} bytes a second, got {taken:,} in "
                f"{time.monotonic() - start:.0f} s"
            ) from None
        if chunk is None:
            return
        taken += len(chunk)
        if taken > most:
            raise _too_large(limit)
        yield chunk


async def _take_all(body: AsyncIterator[bytes], file: BinaryIO) -> str:
    async for chunk in body:
        await asyncio.to_thread(_write, file, chunk)
    return "upload"


async def _take_form(body: AsyncIterator[bytes], file: BinaryIO, boundary: bytes) -> str:
    form = _Form()
    try:
        parser = MultipartParser(boundary, form.callbacks())  # type: ignore[arg-type]
        async for chunk in body:
            parser.write(chunk)
            await asyncio.to_thread(_write, file, form.drain())
        parser.finalize()
    except FormParserError as error:
        raise InvalidArgument(f"the body must be a form, multipart/form-data: {error}") from error
    if form.name is None:
        raise InvalidArgument("the form must hold a file; send one, such as curl -F file=@clip.mp4")
    return form.name


def _write(file: BinaryIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


class _Form:
    """The first file of a form; all else in it is passed over."""

    def __init__(self) -> None:
        self.name: str | None = None
        self._inside = False
        self._field, self._value = bytearray(), bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._data = bytearray()

    def drain(self) -> bytes:
        """Give what came of the file since the last time."""
        data = bytes(self._data)
        self._data.clear()
        return data

    def callbacks(self) -> dict[str, Any]:
        """Give what the parser calls."""
        return {
            "on_part_begin": self._headers.clear,
            "on_header_field": lambda data, start, end: self._field.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header,
            "on_headers_finished": self._begin,
            "on_part_data": self._part,
            "on_part_end": self._end,
        }

    def _header(self) -> None:
        self._headers[bytes(self._field).lower()] = bytes(self._value)
        self._field.clear()
        self._value.clear()

    def _begin(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if self.name is None and b"filename" in options:
            self._inside = True
            self.name = options[b"filename"].decode("utf-8", "replace")[-LONGEST_NAME:] or "upload"

    def _part(self, data: bytes, start: int, end: int) -> None:
        if self._inside:
            self._data.extend(data[start:end])

    def _end(self) -> None:
        self._inside = False
