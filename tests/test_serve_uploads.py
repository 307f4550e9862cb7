"""Bodies of requests: forms and plain ones, too large, too slow, broken off."""

import asyncio
import gc
import resource
import tempfile
import time
from collections.abc import Iterable
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request

from mien.errors import InvalidArgument, ServiceBusy, UploadTooLarge, UploadTooSlow
from mien.serve import uploads
from mien.serve.uploads import received

BOUNDARY = "cut"
Message = dict[str, Any]


def form(*parts: tuple[str, str | None, bytes]) -> bytes:
    """Make a body of (field, file name, content)."""
    body = b""
    for field, name, content in parts:
        told = f'form-data; name="{field}"' + (f'; filename="{name}"' if name is not None else "")
        body += f"--{BOUNDARY}\r\nContent-Disposition: {told}\r\n\r\n".encode() + content + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


def request(
    chunks: Iterable[bytes], *, kind: str = "video/mp4", length: int | None = None, wait: float = 0
) -> Request:
    """Make a request whose body comes piece by piece, and then breaks off."""
    messages = iter(
        [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    )

    async def receive() -> Message:
        await asyncio.sleep(wait)
        return next(messages, {"type": "http.disconnect"})

    headers = [(b"content-type", kind.encode())]
    headers += [] if length is None else [(b"content-length", str(length).encode())]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)


def whole(chunks: list[bytes], **options: Any) -> Request:
    """Make a request whose body has an end."""
    made = request(chunks, **options)
    inner = made._receive
    left = len(chunks)

    async def receive() -> Message:
        nonlocal left
        left -= 1
        return {**await inner(), "more_body": left > 0}

    made._receive = receive
    return made


def take(made: Request, *, limit: int = 10**6) -> tuple[str, bytes]:
    async def taken() -> tuple[str, bytes]:
        async with received(made, limit=limit) as upload:
            return upload.name, upload.file.read()

    return asyncio.run(taken())


FORM = f"multipart/form-data; boundary={BOUNDARY}"


def test_plain_body() -> None:
    assert take(whole([b"ab", b"", b"cd"])) == ("upload", b"abcd")


@pytest.mark.parametrize("cut", [1, 7, 4096])
def test_form_however_it_is_cut(cut: int) -> None:
    content = bytes(range(256)) * 9 + b"\r\n--cu\r\n-- t"
    body = form(("note", None, b"hello"), ("file", "a clip.mp4", content), ("more", "b.mp4", b"no"))
    chunks = [body[place : place + cut] for place in range(0, len(body), cut)]
    assert take(whole(chunks, kind=FORM)) == ("a clip.mp4", content)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (form(("note", None, b"hello")), FORM),
        (b"this is no form", FORM),
        (b"", "multipart/form-data"),
        (form(("file", "a.mp4", b"x")), "multipart/form-data; boundary=" + "x" * 300),
    ],
)
def test_forms_that_hold_no_file(body: bytes, kind: str) -> None:
    with pytest.raises(InvalidArgument, match="form"):
        take(whole([body], kind=kind))


def test_headers_of_forms_take_no_memory() -> None:
    long = form(("x" * 10**5, "a.mp4", b"x"))
    several = b"".join(f"\r\nx-{number}: y".encode() for number in range(99))
    many = form(("file", "a.mp4", b"x")).replace(b"\r\n\r\n", several + b"\r\n\r\n", 1)
    for body in (long, many):
        with pytest.raises(InvalidArgument, match="header"):
            take(whole([body], kind=FORM))


def test_names_are_cut_and_are_text() -> None:
    name, _ = take(whole([form(("file", "x" * 999 + ".mp4", b"x"))], kind=FORM))
    assert len(name) == uploads.LONGEST_NAME
    assert name.endswith(".mp4")


def test_large_bodies_are_refused_before_or_while_they_come() -> None:
    with pytest.raises(UploadTooLarge, match="100 bytes"):
        take(request([], length=101), limit=100)
    with pytest.raises(UploadTooLarge, match="100 bytes"):
        take(request([b"x" * 60] * 9), limit=100)
    many = form(("file", "a.mp4", b"x" * 10**6))
    with pytest.raises(UploadTooLarge):
        take(whole([many], kind=FORM), limit=1000)


def test_slow_clients_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PATIENCE_S", 0.2)
    start = time.monotonic()
    with pytest.raises(UploadTooSlow, match="bytes a second"):
        take(request([b"x"] * 1000, wait=0.05))
    assert time.monotonic() - start < 2
    with pytest.raises(UploadTooSlow):
        take(request([], wait=60))


def test_whoever_keeps_pace_may_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PATIENCE_S", 1.0)
    chunk = b"x" * uploads.SLOWEST
    _, data = take(whole([chunk] * 6, wait=0.25))
    assert len(data) == 6 * len(chunk)


def test_nothing_is_left_of_who_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    original = tempfile.TemporaryFile

    def remembered(**options: Any) -> Any:
        opened.append(original(**options))
        return opened[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", remembered)
    with pytest.raises(ClientDisconnect):
        take(request([b"x" * 1000] * 3))
    gc.collect()
    assert [file.closed for file in opened] == [True]


@pytest.mark.parametrize("chunks", [[b"x" * 3000], [b"x" * 1000] * 3])
def test_full_disk_is_told(chunks: list[bytes]) -> None:
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Python ignores the signal that comes with it.
    resource.setrlimit(resource.RLIMIT_FSIZE, (2500, usual[1]))
    try:
        with pytest.raises(ServiceBusy, match="cannot be stored"):
            take(whole(chunks))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
