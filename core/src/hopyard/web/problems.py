"""What goes wrong, as RFC 9457 has it: `application/problem+json` with type, title, status and detail."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import Scope
from starlette.websockets import WebSocketState

from hopyard.display import to_json
from hopyard.errors import (
    BrokerError,
    HopyardError,
    InvalidInput,
    LedgerUnavailable,
    NotAdmitted,
    NotFound,
    PayloadError,
    SpecError,
    SwitchRefused,
    UnknownJob,
    UnknownPlugin,
    UnknownTask,
)
from hopyard.redaction import masked, redact

log = logging.getLogger("hopyard.web")

MEDIA_TYPE: Final = "application/problem+json"
_STATUS: Final[tuple[tuple[type[HopyardError], int], ...]] = (
    (NotFound, 404),
    (UnknownJob, 404),
    (UnknownTask, 404),
    (UnknownPlugin, 404),
    (SwitchRefused, 409),
    (NotAdmitted, 403),
    (InvalidInput, 422),
    (PayloadError, 422),
    (SpecError, 422),
    (LedgerUnavailable, 503),
    (BrokerError, 503),
)


class Problem(BaseModel):
    """Why a request was not done."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] = Field(default_factory=list, description="Which values are wrong, and why.")


class Refused(HTTPException):
    """A request is not done, for a reason that whoever asked may read."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(status, detail, headers or None)


#: What every endpoint may answer beside its own.
RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": Problem, "description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {}}}
    for status in (400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 503)
}


def response(
    status: int,
    detail: str,
    errors: list[dict[str, Any]] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """Return a problem; secrets in it are masked."""
    problem = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=redact(detail), errors=masked(errors or [])
    )
    return ByValue(problem.model_dump(), status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Have an application answer its errors so."""
    app.add_exception_handler(HTTPException, _answering(_refused))
    app.add_exception_handler(RequestValidationError, _answering(_invalid))
    app.add_exception_handler(HopyardError, _answering(_hopyard))
    app.add_exception_handler(WebSocketRequestValidationError, _closed)


def _answering(plain: Callable[[Request, Exception], Awaitable[Response]]) -> Any:
    """Return what answers a request, and closes a WebSocket, for which it returns None."""

    async def answer(connection: Request | WebSocket, error: Exception) -> Response | None:
        if isinstance(connection, Request):
            return await plain(connection, error)
        await _closed(connection, error)
        return None

    return answer


async def _closed(socket: WebSocket, error: Exception) -> None:
    """Close a WebSocket that asks for what there is not, with the reason."""
    reason = str(error.detail) if isinstance(error, HTTPException) else str(error)
    if isinstance(error, WebSocketRequestValidationError):
        reason = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    if socket.application_state is WebSocketState.CONNECTING:
        await socket.accept()
    await socket.close(1008, closing(reason))


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is installed for
    headers = dict(error.headers or {})
    if error.status_code == 405:  # the router tells the methods of the first route of this path only
        headers["Allow"] = ", ".join(_methods(request))
    return response(error.status_code, str(error.detail), headers=headers)


def _methods(request: Request) -> list[str]:
    """Return the methods that a path has."""
    routes: Sequence[BaseRoute] = request.app.routes
    return [
        method
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
        if any(
            route.matches({**request.scope, "method": "GET" if method == "HEAD" else method})[0] is Match.FULL
            for route in routes
        )
    ]


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what it is installed for
    errors = [
        {"at": ".".join(str(part) for part in one["loc"]), "message": one["msg"], "kind": one["type"]}
        for one in error.errors()
    ]
    first = f"{errors[0]['at']}: {errors[0]['message']}" if errors else "the request cannot be read"
    return response(422, first, errors)


async def _hopyard(request: Request, error: Exception) -> JSONResponse:
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
    if status == 500:
        log.error("%s %s failed: %s", request.method, request.url.path, error, exc_info=error)
    headers = {"Retry-After": "2"} if status == 503 else None
    return response(status, str(error), headers=headers)


def closing(reason: str) -> str:
    """Return why a WebSocket is closed, as long as a close frame takes (RFC 6455), secrets masked."""
    return redact(reason).encode(errors="replace")[:120].decode(errors="ignore")


def fault(scope: Scope, error: Exception) -> JSONResponse:
    """Log what went wrong unforeseen; return an answer that tells nothing of it."""
    log.error("%s %s failed", scope.get("method"), scope.get("path"), exc_info=error)
    return response(500, "this is a fault of the server: its log says more")


class Strict(JSONResponse):
    """JSON that every reader takes, secrets masked."""

    def render(self, content: Any) -> bytes:
        """Return the bytes."""
        return to_json(masked(content)).encode()


class ByValue(JSONResponse):
    """As `Strict`, for what has names such as `password` for what is no secret: descriptions of arguments."""

    def render(self, content: Any) -> bytes:
        """Return the bytes; values that are known to be secret are masked all the same."""
        return to_json(content).encode()
