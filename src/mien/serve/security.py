"""Who may ask: names of the service, origins of pages, tokens; and what answers tell browsers."""

import asyncio
import hmac
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.errors import MienError, NotAuthorised, OriginRefused
from mien.serve.metrics import Metrics
from mien.serve.problems import ReaderTooSlow, problem_of
from mien.serve.settings import Settings

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
GUARDED = ("/v1/", "/metrics", "/openapi.json")
"""Paths that need the token where there is one; the page and its files hold no secret."""
UNKNOWN = "other"
TAKEN_S = 30.0
"""Seconds that a client may take to make room for the next piece of an answer."""


class Guard:
    """Lets in whom the settings let in, marks answers for browsers, and counts them.

    Args:
        app: what answers.
        settings: of the service.
        metrics: where answers are counted.
        routes: paths that are counted by their own name.
    """

    def __init__(
        self, app: ASGIApp, *, settings: Settings, metrics: Metrics, routes: Iterable[str]
    ) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._routes = frozenset(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        marked = self._marking(scope["path"], send)
        try:
            self._check(scope)
        except MienError as error:
            self._metrics.errors.labels(type(error).__name__).inc()
            if scope["type"] == "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1008})
            else:
                await problem_of(error)(scope, receive, marked)
            return
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        try:
            await self._app(scope, receive, marked)
        except* ReaderTooSlow:
            # uvicorn closes the connection of an answer that does not end.
            self._metrics.errors.labels(ReaderTooSlow.__name__).inc()

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        check_host(headers.get("host", ""), self._settings)
        check_origin(headers.get("origin"), headers.get("host", ""), self._settings)
        # Browsers cannot send the header with a WebSocket; its first message holds the token.
        if scope["path"].startswith(GUARDED) and scope["type"] == "http":
            scheme, _, token = headers.get("authorization", "").partition(" ")
            check_token(token if scheme.lower() == "bearer" else None, self._settings)

    def _marking(self, path: str, send: Send) -> Send:
        route = path if path in self._routes else UNKNOWN

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                self._metrics.requests.labels(route, str(message["status"])).inc()
            try:
                async with asyncio.timeout(TAKEN_S):
                    await send(message)
            except TimeoutError:
                raise ReaderTooSlow from None

        return marked


def check_host(host: str, settings: Settings) -> None:
    """Refuse to be asked by another name.

    Args:
        host: the header.
        settings: of the service.

    Raises:
        OriginRefused: the service does not go by that name.
    """
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if settings.hosts is not None and name.lower() not in settings.hosts:
        raise OriginRefused(f"Host must be one of {', '.join(sorted(settings.hosts))}")


def check_origin(origin: str | None, host: str, settings: Settings) -> None:
    """Refuse pages of other places; programs other than browsers name no origin.

    Args:
        origin: the header, if there is one.
        host: the header.
        settings: of the service.

    Raises:
        OriginRefused: a page that is neither the service's own nor allowed.
    """
    if origin is None or origin in settings.allow_origin or _place_of(origin) == host:
        return
    raise OriginRefused("Origin is another place's; start the service with --allow-origin for it")


def _place_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def check_token(token: str | None, settings: Settings) -> None:
    """Refuse whoever has not the token, where there is one.

    Raises:
        NotAuthorised: it is missing or wrong.
    """
    if settings.token is None:
        return
    # In a time that does not tell how much of it is right.
    if token is None or not hmac.compare_digest(
        token.encode(errors="replace"), settings.token.encode()
    ):
        raise NotAuthorised("the access token is missing or wrong; send Authorization: Bearer ...")
