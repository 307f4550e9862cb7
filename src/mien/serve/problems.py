"""Errors → ``application/problem+json`` (RFC 9457), by the types that the command line has."""

import json
from collections.abc import Callable
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from mien.errors import InvalidArgument, MienError, NotAuthorised, ServiceBusy

MEDIA_TYPE = "application/problem+json"
RETRY_S = 2
"""Seconds after which a client may try again: some clips are read by then."""
CLIENT_GONE = 499
"""As nginx logs it; nobody receives it."""


class ReaderTooSlow(Exception):
    """A client does not take its answer."""


class Problem(BaseModel):
    """What went wrong."""

    type: str
    """Name of the error, as in ``mien predict --json``."""
    title: str
    """What such errors have in common."""
    status: int
    detail: str
    """What it is this time, and the cure."""


def problem_of(error: MienError) -> JSONResponse:
    """Give the answer that tells of an error."""
    headers = {}
    if isinstance(error, ServiceBusy):
        headers["Retry-After"] = str(RETRY_S)
    if isinstance(error, NotAuthorised):
        headers["WWW-Authenticate"] = "Bearer"
    if error.http_status in {408, 413}:
        # What is still to come of the body is not waited for.
        headers["Connection"] = "close"
    title = (type(error).__doc__ or "").splitlines()[0].rstrip(".")
    return _problem(type(error).__name__, title, error.http_status, str(error), headers)


def handle_errors(app: FastAPI, *, count: Callable[[str], object]) -> None:
    """Let an application answer each error as a problem, and never with a traceback.

    Args:
        app: the application.
        count: is called with the name of each error.
    """

    async def answer(_: Request, error: Exception) -> Response:
        if isinstance(error, ClientDisconnect):
            count("ClientDisconnect")
            return Response(status_code=CLIENT_GONE)
        if _is_too_slow(error):
            # It is counted where it is found out.
            return Response(status_code=CLIENT_GONE)
        response = _answer_to(error)
        count(json.loads(bytes(response.body))["type"])
        return response

    for kind in (MienError, RequestValidationError, HTTPException, ClientDisconnect, Exception):
        app.add_exception_handler(kind, answer)


def _is_too_slow(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(ReaderTooSlow) is not None
    return isinstance(error, ReaderTooSlow)


def _answer_to(error: Exception) -> JSONResponse:
    if isinstance(error, MienError):
        return problem_of(error)
    if isinstance(error, RequestValidationError):
        told = "; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in error.errors())
        return problem_of(InvalidArgument(told))
    if isinstance(error, HTTPException):
        phrase = HTTPStatus(error.status_code).phrase
        headers = dict(error.headers or {})
        name = phrase.title().replace(" ", "")
        return _problem(name, phrase, error.status_code, str(error.detail), headers)
    told = "mien failed where it should not; its log tells more"
    return _problem("InternalError", "A fault of mien's", 500, told, {})


def _problem(
    kind: str, title: str, status: int, detail: str, headers: dict[str, str]
) -> JSONResponse:
    problem = Problem(type=kind, title=title, status=status, detail=detail)
    return JSONResponse(
        problem.model_dump(), status_code=status, headers=headers, media_type=MEDIA_TYPE
    )
