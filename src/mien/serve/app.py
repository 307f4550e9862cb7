"""The routes, and how they are described to other programs."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.resources import files
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response, WebSocket
from fastapi.security import HTTPBearer
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

import mien
from mien.bundle import load_bundle
from mien.emotions import EMOTIONS
from mien.live import PATH
from mien.palette import EMOTION_COLOURS
from mien.recognise import Prediction
from mien.serve.examples import BODY, PREDICTION, PROBLEMS, WINDOW
from mien.serve.live import live_session
from mien.serve.metrics import CONTENT_TYPE
from mien.serve.problems import handle_errors
from mien.serve.security import Guard
from mien.serve.service import Service
from mien.serve.settings import Settings
from mien.serve.uploads import received

_Found = TypeVar("_Found")

PAGE = {
    "/": ("index.html", "text/html"),
    "/page/style.css": ("style.css", "text/css"),
    "/page/icon.svg": ("icon.svg", "image/svg+xml"),
    **{
        f"/page/{name}.js": (f"{name}.js", "text/javascript")
        for name in ("main", "answer", "clip", "curve", "live", "microphone", "rows", "service")
    },
}
"""Path → file of ``page`` and its media type."""
NDJSON = "application/x-ndjson"
_BEARER = Depends(
    # Only described here: the guard asks for it, where the service has one.
    HTTPBearer(auto_error=False, description="The token of --token-file, where there is one")
)

DESCRIPTION = (
    "Says which of eight emotions the face and the voice in a clip express, how sure that is, and "
    f"why. Live answers go over a WebSocket at {PATH}; docs/serve.md tells of it."
)


def make_app(settings: Settings) -> ASGIApp:
    """Make the application.

    Args:
        settings: how the service is run.

    Raises:
        BundleError: the bundle cannot be used.
    """
    service = Service(settings, load_bundle(settings.bundle))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="mien",
        version=mien.__version__,
        description=DESCRIPTION,
        # Their pages load scripts from another host.
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    handle_errors(app, count=lambda name: service.metrics.errors.labels(name).inc())
    for routes in (_clip_routes(service), _state_routes(service), _page_routes()):
        app.include_router(routes)
    paths = (*app.openapi()["paths"], *PAGE)
    guarded: ASGIApp = Guard(app, settings=settings, metrics=service.metrics, routes=paths)
    if not settings.allow_origin:
        return guarded
    return CORSMiddleware(
        guarded,
        allow_origins=settings.allow_origin,
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type"],
        expose_headers=["Retry-After"],
    )


def _clip_routes(service: Service) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["clips"])
    limit = service.settings.max_upload

    @router.post(
        "/predict",
        summary="Say what a clip expresses",
        responses={
            200: {"model": Prediction, **_example("application/json", PREDICTION)},
            **PROBLEMS,
        },
        openapi_extra={"requestBody": BODY},
        dependencies=[_BEARER],
    )
    async def predict(request: Request) -> Response:
        with service.place():
            async with received(request, limit=limit) as upload:
                return JSONResponse(await _unless_gone(request, service.predict(upload)))

    @router.post(
        "/timeline",
        summary="Say who expresses what when: a line of JSON a window, as they are ready",
        responses={200: {"description": "Windows", **_example(NDJSON, WINDOW)}, **PROBLEMS},
        response_class=StreamingResponse,
        openapi_extra={"requestBody": BODY},
        dependencies=[_BEARER],
    )
    async def timeline(
        request: Request,
        people: Annotated[Literal["largest", "all"], Query(description="Whose faces")] = "largest",
        window_s: Annotated[float, Query(ge=0.2, le=60, description="Seconds of a window")] = 4.0,
        hop_s: Annotated[
            float, Query(ge=0.1, le=60, description="Seconds from one start to the next")
        ] = 1.0,
    ) -> Response:
        options = {"people": people, "window_s": window_s, "hop_s": hop_s}
        async with AsyncExitStack() as stack:
            stack.enter_context(service.place())
            upload = await stack.enter_async_context(received(request, limit=limit))
            lines = service.timeline(upload, options)
            stack.push_async_callback(lines.aclose)  # type: ignore[attr-defined]
            # What cannot be read at all has a status of its own.
            first = await _unless_gone(request, anext(lines))
            return _Lines(_ndjson(first, lines), stack.pop_all())

    @router.websocket("/live")
    async def live(socket: WebSocket) -> None:
        await live_session(socket, service)

    return router


def _state_routes(service: Service) -> APIRouter:
    router = APIRouter(tags=["service"])
    settings = service.settings

    @router.get(
        "/v1/bundle",
        summary="Tell what answers, and its limits",
        responses=PROBLEMS,
        dependencies=[_BEARER],
    )
    async def bundle() -> dict[str, Any]:
        manifest = service.bundle.manifest
        told = {
            name: manifest[name] for name in ("name", "labels", "training", "scores", "licence")
        }
        limits = {"max_upload": settings.max_upload, "max_seconds": settings.max_seconds}
        return {**told, "sha256": service.bundle.sha256, "version": mien.__version__, **limits}

    @router.get("/healthz", summary="Whether the service runs")
    async def healthz() -> dict[str, str]:
        return {"status": "runs"}

    @router.get("/readyz", summary="Whether it can answer now", responses=_UNREADY)
    async def readyz() -> Response:
        if service.ready:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "starting"}, status_code=503, headers={"Retry-After": "2"})

    @router.get(
        "/metrics",
        summary="Counts, for Prometheus",
        response_class=Response,
        dependencies=[_BEARER],
    )
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    # Watchers ask without wanting a body.
    for path, health in (("/healthz", healthz), ("/readyz", readyz)):
        router.add_api_route(path, health, methods=["HEAD"], include_in_schema=False)
    return router


def _page_routes() -> APIRouter:
    router = APIRouter(include_in_schema=False)
    folder = files("mien.serve") / "page"
    contents = {path: ((folder / name).read_bytes(), kind) for path, (name, kind) in PAGE.items()}
    colours = (
        f"export const EMOTIONS = {json.dumps(EMOTIONS)};\n"
        f"export const COLOURS = {json.dumps(list(EMOTION_COLOURS.values()))};\n"
    )
    contents["/page/emotions.js"] = (colours.encode(), "text/javascript")

    async def page(request: Request) -> Response:
        content, kind = contents[request.url.path]
        return Response(content, media_type=f"{kind}; charset=utf-8")

    for path in contents:
        router.add_api_route(path, page, methods=["GET", "HEAD"])
    return router


async def _unless_gone(request: Request, work: Awaitable[_Found]) -> _Found:
    """Wait for work, as long as the client of a request that came whole waits for it too.

    Raises:
        ClientDisconnect: it does not.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return await working
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class _Lines(StreamingResponse):
    """Sends lines, and lets go of what they come from, also when the client never took one."""

    def __init__(self, lines: AsyncIterator[str], stack: AsyncExitStack) -> None:
        super().__init__(lines, media_type=NDJSON)
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._stack:
            await super().__call__(scope, receive, send)


async def _ndjson(
    first: dict[str, Any], lines: AsyncIterator[dict[str, Any]]
) -> AsyncIterator[str]:
    yield json.dumps(first) + "\n"
    async for line in lines:
        yield json.dumps(line) + "\n"


def _example(kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"content": {kind: {"example": value}}}


_UNREADY: dict[int | str, dict[str, Any]] = {503: {"description": "Not yet"}}
