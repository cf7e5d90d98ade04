"""Logging in by OpenID Connect: to the provider, and back from it."""

from __future__ import annotations

import logging
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from hopyard.checks import shown
from hopyard.errors import LoginRefused, ProviderError
from hopyard.web.api.deps import Here
from hopyard.web.oidc.grants import Grant, grant
from hopyard.web.oidc.pending import SECONDS, Pending
from hopyard.web.oidc.provider import Provider
from hopyard.web.pages import login, rendering
from hopyard.web.problems import Refused
from hopyard.web.security import address_of, origin_of
from hopyard.web.state import Served
from hopyard.web.viewer import Role, Viewer

router = APIRouter(include_in_schema=False)
log = logging.getLogger(__name__)

BACK: Final = "/login/oidc/callback"
#: Answers by which a provider says that it is the person, or what they may, and not itself (OpenID Connect
#: Core 1.0, section 3.1.2.6).
_REFUSALS: Final = ("access_denied", "login_required", "interaction_required", "consent_required")
_FAILED: Final = (
    "Logging in did not work: the provider does not answer as it should. Try again later, or log in with a "
    "token; the log of this server says more."
)
_NOT_BEGUN: Final = (
    "This login was begun in another browser, was ended already, or took too long. Log in anew."
)

Word = Annotated[str | None, Query(max_length=4_000)]


@router.get("/login/oidc")
async def begin(request: Request, here: Here, next: str = "") -> Response:  # noqa: A002 - as of `/login`
    """Send a browser to the provider, with a cookie by which it is known when it comes back."""
    if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        raise Refused(403, "another site's page does not log anybody in")
    request.state.guard.count_begun(address_of(request))
    provider, redirect = _provider(here), _redirect(request, here)
    pending = await Pending.begin(here.database, login.ours(next))
    try:
        to = await provider.address(pending, redirect)
    except ProviderError as error:
        raise _failed(error) from error
    answer = RedirectResponse(to, 303)
    # `Lax`, since the provider sends the browser back: that is another site's navigation, to which `Strict`
    # cookies are not added. Other sites' forms, frames and scripts get nothing of it either way.
    answer.set_cookie(
        _cookie(request),
        pending.cookie,
        max_age=SECONDS,
        httponly=True,
        samesite="lax",
        **_place(request, here),
    )
    return answer


@router.get(BACK)
async def finish(
    request: Request,
    here: Here,
    state: Word = None,
    code: Word = None,
    error: Word = None,
    iss: Word = None,
) -> Response:
    """Let somebody in who comes back from the provider, once (RFC 6749, section 4.1.2)."""
    pending = await _ended(request, here, state)
    provider = _provider(here)
    try:
        await provider.check_issuer(iss)
        if error is not None or code is None:
            raise _answered(request, error)
        claims = await provider.claims(pending, code, _redirect(request, here))
        allowed = grant(provider.settings, claims)
    except ProviderError as failure:
        refused = _failed(failure)
        request.state.guard.count_wrong(address_of(request))
        raise refused from failure
    except LoginRefused as refusal:
        log.warning("subject %s of %s was refused: %s", shown(claims["sub"]), claims["iss"], refusal)
        raise Refused(403, str(refusal)) from refusal
    return await _let_in(request, here, pending, allowed, str(claims["sub"]))


async def _ended(request: Request, here: Served, state: str | None) -> Pending:
    """Return the login that an answer ends. Raises `Refused` where this browser has begun none like it.

    An answer to another login does not use it up: else any page could end the logins of others.
    """
    pending = Pending.read(request.cookies.get(_cookie(request), ""))
    if pending is None or state is None or not pending.is_of(state) or not await pending.end(here.database):
        request.state.guard.count_wrong(address_of(request))
        raise Refused(400, _NOT_BEGUN)
    return pending


async def _let_in(request: Request, here: Served, pending: Pending, allowed: Grant, subject: str) -> Response:
    viewer = Viewer("", allowed.name, Role[allowed.role.upper()], allowed.plugins, allowed.person)
    issuer = _provider(here).settings.issuer
    await here.audit(request, viewer, "log in", "by oidc", subject=subject, issuer=issuer)
    # A page that goes on by itself, and no redirect: that would still be a navigation of the provider's, to
    # which the session's `Strict` cookie is not added.
    answer = rendering.page(request, "arrived.html", to=here.prefix + login.ours(pending.next))
    answer.delete_cookie(_cookie(request), httponly=True, samesite="lax", **_place(request, here))
    await login.let_in(request, here, answer, allowed.name, allowed.role, allowed.plugins, allowed.person)
    return answer


def _provider(here: Served) -> Provider:
    assert here.oidc is not None  # noqa: S101 - else these pages are not there
    return here.oidc


def _redirect(request: Request, here: Served) -> str:
    """Return where the provider sends browsers back to. Raises `Refused` where that is not known."""
    origin = origin_of(request, here.hopyard.settings.web.origins)
    if origin is None:
        raise Refused(400, "the address under which this is reached is not known; see `web.origins`")
    return f"{origin}{here.prefix}{BACK}"


def _answered(request: Request, error: str | None) -> Refused:
    """Return what is said where the provider has let nobody in."""
    log.warning("a login at the provider ended with %s", shown(error))
    if error in _REFUSALS:
        return Refused(403, "The provider has not let you in, or you have broken it off.")
    request.state.guard.count_wrong(address_of(request))
    return Refused(502, _FAILED)


def _failed(error: ProviderError) -> Refused:
    log.error("a login by OpenID Connect failed: %s", error)
    return Refused(502, _FAILED)


def _cookie(request: Request) -> str:
    """Return the cookie's name: by HTTPS one that no other host of the same domain can set (RFC 6265bis,
    section 4.1.3.2)."""
    return "__Host-hopyard_login" if request.url.scheme == "https" else "hopyard_login"


def _place(request: Request, here: Served) -> dict[str, Any]:
    """Return where the cookie holds: one whose name begins with `__Host-` has to hold everywhere."""
    place = login.place(request, here)
    return place | {"path": "/"} if place["secure"] else place
