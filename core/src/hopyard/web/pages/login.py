"""Coming in by a token or a one-time link, and leaving again."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from hopyard.ledger import access
from hopyard.ledger.access import Key
from hopyard.web.api.deps import Here
from hopyard.web.pages import rendering
from hopyard.web.problems import Refused
from hopyard.web.security import COOKIE, address_of, viewer_of
from hopyard.web.state import Served, served
from hopyard.web.viewer import Viewer

router = APIRouter(include_in_schema=False)

#: A page of ours: a second slash, or what browsers read as one, would begin another site's address.
_OURS: Final = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*").fullmatch


@router.get("/login")
async def show(request: Request, next: str = "") -> Response:  # noqa: A002 - what it is called in addresses
    """Show the form for a token; a one-time key behind `#` is used by the script at once."""
    return rendering.page(request, "login.html", next=ours(next), provider=_provider(request))


@router.post("/login")
async def log_in(request: Request, here: Here) -> Response:
    """Make a session of a token or a one-time key. Without the script the form comes as it is."""
    asked = await _asked(request)
    found = await _opened(here, str(asked.get("key", "")).strip())
    if found is None:
        request.state.guard.count_wrong(address_of(request))
        return _wrong(request, ours(str(asked.get("next", ""))), by_script="json" in _kind(request))
    await here.audit(request, Viewer.of(found), "log in", f"by {found.kind}")
    to = here.prefix + ours(str(asked.get("next", "")))
    answer: Response = JSONResponse({"to": to}) if "json" in _kind(request) else RedirectResponse(to, 303)
    parent = found.id if found.kind == "token" else None
    await let_in(request, here, answer, found.name, found.role, found.plugins, found.person, parent)
    return answer


async def let_in(
    request: Request,
    here: Served,
    answer: Response,
    name: str,
    role: str,
    plugins: Sequence[str] | None,
    person: str | None,
    parent: str | None = None,
) -> None:
    """Make a session, and have the answer give it to the browser. Audit it first."""
    seconds = here.hopyard.settings.web.session_hours * 3600
    _, session = await access.make(
        here.database,
        "session",
        name,
        role,
        plugins=plugins,
        person=person,
        parent=parent,
        seconds=seconds,
    )
    answer.set_cookie(COOKIE, session, httponly=True, samesite="strict", **place(request, here))


@router.post("/logout")
async def log_out(request: Request, here: Here) -> Response:
    """End the session."""
    viewer = viewer_of(request)
    if viewer is not None and viewer.by_cookie:
        await here.audit(request, viewer, "log out", viewer.id)
        await access.revoke(here.database, viewer.id)
        here.keys.forget()
    answer = RedirectResponse(f"{here.prefix}/login", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict", **place(request, here))
    return answer


async def _opened(here: Served, key: str) -> Key | None:
    """Return what a key opens; a one-time key is used up."""
    if not key.isascii():
        return None
    return await access.find(here.database, key, ["token"]) or await access.spend(here.database, key)


def _wrong(request: Request, to: str, *, by_script: bool) -> Response:
    why = "This key opens nothing: it was used already, has expired, or was mistyped."
    if by_script:
        raise Refused(401, why)
    return rendering.page(request, "login.html", status=401, next=to, why=why, provider=_provider(request))


def _provider(request: Request) -> str | None:
    """Return the name of the provider by which one may log in; None if there is none."""
    provider = served(request).oidc
    return None if provider is None else provider.settings.name


async def _asked(request: Request) -> dict[str, Any]:
    body = await request.body()
    if "json" not in _kind(request):
        return {name: values[-1] for name, values in parse_qs(body.decode(errors="replace")).items()}
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refused(400, 'the body is no JSON object such as {"key": "hop_…"}')
    return found


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].lower()


def ours(path: str) -> str:
    """Return a path below the prefix; the first page in place of what may lead elsewhere."""
    return path if _OURS(path) else "/"


def place(request: Request, here: Served) -> dict[str, Any]:
    """Return where a cookie of ours holds: below the prefix, and by HTTPS only where it is served so."""
    return {"path": here.prefix or "/", "secure": request.url.scheme == "https"}
