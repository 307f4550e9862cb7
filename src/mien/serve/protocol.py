"""HTTP as uvicorn speaks it, but nobody who dawdles keeps a connection."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_S = 10.0
"""Seconds from a request's first byte, or from connecting, to the end of its headers."""
LINGER_S = 5.0
"""Seconds after an answer for the rest of its request's body, so that the client reads the answer
before the connection is closed."""
STUCK_S = 40.0
"""Seconds that a client may take to make room for an answer, or to take the rest of it from a
connection that is closed."""


class PunctualProtocol(H11Protocol):
    """Closes connections whose headers or bodies do not come, or whose answers are not taken."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start to wait for the first headers."""
        super().connection_made(transport)
        self._deadlines: dict[str, asyncio.TimerHandle] = {}
        self._wait("headers", HEADERS_S)

    def data_received(self, data: bytes) -> None:
        """Take what came; what is whole is no longer waited for."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._wait("headers", HEADERS_S)
        else:
            self._forget("headers")
        if self.conn.their_state is not h11.SEND_BODY:
            self._forget("body")
        # Whatever comes, uvicorn no longer waits for a next request.
        if self._is_answered and self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        """Wait for the rest of a body that was answered before its end, but not long."""
        if self.conn.their_state is h11.SEND_BODY:
            self._wait("body", LINGER_S)
        super().on_response_complete()
        if self.transport.is_closing():
            self._wait("closing", STUCK_S)

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection on which nothing happens."""
        super().timeout_keep_alive_handler()
        self._wait("closing", STUCK_S)

    def pause_writing(self) -> None:
        """Wait until the client takes what there is."""
        super().pause_writing()
        self._wait("writing", STUCK_S)

    def resume_writing(self) -> None:
        """Wait no longer."""
        self._forget("writing")
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        for name in [*self._deadlines]:
            self._forget(name)
        super().connection_lost(exc)

    @property
    def _is_answered(self) -> bool:
        return self.cycle is not None and self.cycle.response_complete

    def _wait(self, name: str, seconds: float) -> None:
        # An answer that nobody takes would keep a connection that is closed in the usual way.
        end = self.transport.abort if seconds == STUCK_S else self._close
        if name not in self._deadlines:
            self._deadlines[name] = self.loop.call_later(seconds, end)

    def _close(self) -> None:
        self.transport.close()
        self._wait("closing", STUCK_S)

    def _forget(self, name: str) -> None:
        if name in self._deadlines:
            self._deadlines.pop(name).cancel()
