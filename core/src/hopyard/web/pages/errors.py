"""What goes wrong, as a page where a browser asks for one; who has not come in is sent to the login."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocketState

from hopyard.errors import HopyardError
from hopyard.web.pages import rendering, writing
from hopyard.web.problems import closing
from hopyard.web.state import served

# What nobody foresaw is answered outside of the guard, which sets the headers that pages need.
_FORESEEN: Final = (HTTPException, RequestValidationError, HopyardError)


def install(app: FastAPI) -> None:
    """Have errors answered as pages, where pages are asked for."""
    for kind in _FORESEEN:
        app.add_exception_handler(kind, _answering(app.exception_handlers[kind]))
    app.add_exception_handler(WebSocketRequestValidationError, _closed)


async def _closed(socket: WebSocket, error: Exception) -> None:
    """Close a WebSocket that asks for what there is not, with the reason."""
    reason = str(error)
    if isinstance(error, WebSocketRequestValidationError):
        reason = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    if isinstance(error, HTTPException):
        reason = str(error.detail)
    if socket.application_state is WebSocketState.CONNECTING:
        await socket.accept()
    await socket.close(1008, closing(reason))


def _answering(plain: Any) -> Any:
    for_people = _for_people(plain)

    async def answer(connection: Any, error: Exception) -> Response | None:
        if not isinstance(connection, WebSocket):
            return await for_people(connection, error)
        await _closed(connection, error)
        return None

    return answer


def _for_people(plain: Any) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, error: Exception) -> Response:
        response: Response = await plain(request, error)
        if not _wants_page(request):
            return response
        if response.status_code == 401:
            return _to_login(request)
        problem = json.loads(bytes(response.body))
        return rendering.page(request, "error.html", status=response.status_code, problem=problem)

    return answer


def _wants_page(request: Request) -> bool:
    accepted = request.headers.get("accept", "")
    return (
        request.method in ("GET", "HEAD")
        and "text/html" in accepted
        and not _path(request).startswith("/api/")
    )


def _path(request: Request) -> str:
    """Return the path below the application's prefix."""
    path, prefix = str(request.scope["path"]), served(request).prefix
    return path[len(prefix) :] if prefix and path.startswith(f"{prefix}/") else path


def _to_login(request: Request) -> Response:
    path = quote(_path(request), safe="/:@!$&'()*+,;=~", errors="replace")
    wanted = path + (f"?{request.url.query}" if request.url.query else "")
    query = {} if wanted in ("", "/") else {"next": wanted}
    return RedirectResponse(writing.plain_address(served(request).prefix, "/login", query), 303)
