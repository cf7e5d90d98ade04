"""What goes wrong, as a page where a browser asks for one; who has not come in is sent to the login."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from hopyard.errors import HopyardError
from hopyard.web.pages import rendering, writing
from hopyard.web.state import served

# What nobody foresaw is answered outside of the guard, which sets the headers that pages need.
_FORESEEN: Final = (HTTPException, RequestValidationError, HopyardError)


def install(app: FastAPI) -> None:
    """Have errors answered as pages, where pages are asked for."""
    for kind in _FORESEEN:
        app.add_exception_handler(kind, _for_people(app.exception_handlers[kind]))


def _for_people(plain: Any) -> Any:
    async def answer(request: Request, error: Exception) -> Response | None:
        response: Response | None = await plain(request, error)
        if response is None or not _wants_page(request):  # None: it was a WebSocket
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
