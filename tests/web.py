"""A small web server that misbehaves as it is told to."""

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Misbehaviour = Callable[["Handler", bytes], None]
"""Answers a request for a content in its own way."""


@dataclass
class Web:
    """What is served, and what was asked for."""

    contents: dict[str, bytes] = field(default_factory=dict)
    """Path, with its query → content."""
    misbehaviours: dict[str, list[Misbehaviour]] = field(default_factory=dict)
    """Path → how its next requests are answered; the last way stays."""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Range of each request."""
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Handler(http.server.BaseHTTPRequestHandler):
    web: Web

    def do_GET(self) -> None:
        self.web.asked.append((self.path, self.headers["Range"]))
        content = self.web.contents.get(self.path)
        if content is None:
            self.send_error(404)
            return
        ways = self.web.misbehaviours.get(self.path, [with_ranges])
        (ways.pop(0) if len(ways) > 1 else ways[0])(self, content)

    def send(
        self, status: int, content: bytes, *, length: int | None = None, place: str = ""
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        if place:
            self.send_header("Content-Range", place)
        self.end_headers()
        self.wfile.write(content)

    @property
    def start(self) -> int:
        return int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").rstrip("-"))

    def log_message(self, *_: object) -> None:
        pass


def with_ranges(handler: Handler, content: bytes) -> None:
    """As a good server does."""
    if handler.start == 0:
        handler.send(200, content)
    elif handler.start >= len(content):
        handler.send(416, b"", place=f"bytes */{len(content)}")
    else:
        place = f"bytes {handler.start}-{len(content) - 1}/{len(content)}"
        handler.send(206, content[handler.start :], place=place)


def without_ranges(handler: Handler, content: bytes) -> None:
    handler.send(200, content)


def dropping_after(count: int, answer: Misbehaviour = with_ranges) -> Misbehaviour:
    """Break the connection after so many bytes of content."""

    def drop(handler: Handler, content: bytes) -> None:
        whole = handler.wfile.write
        rest = count

        def write(data: Any) -> int:
            nonlocal rest
            sent = whole(data[:rest])
            rest -= sent
            return len(data)

        end_headers = handler.end_headers

        def end_headers_then_drop() -> None:
            end_headers()
            handler.wfile.write = write  # type: ignore[method-assign]

        handler.end_headers = end_headers_then_drop  # type: ignore[method-assign]
        handler.close_connection = True
        answer(handler, content)

    return drop


def hanging_up(handler: Handler, content: bytes) -> None:
    """Close the connection without a word."""
    handler.close_connection = True


def changed(handler: Handler, content: bytes) -> None:
    """Serve one wrong byte."""
    with_ranges(handler, content[:-1] + bytes([content[-1] ^ 1]))


def status(code: int) -> Misbehaviour:
    return lambda handler, content: handler.send_error(code)


@contextmanager
def serving() -> Iterator[Web]:
    web = Web()
    handler = type("WebHandler", (Handler,), {"web": web})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        web.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield web
        server.shutdown()
        thread.join()
