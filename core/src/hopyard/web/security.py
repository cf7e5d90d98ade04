"""Who comes in, and what no browser may be made to do: keys, cookies, origins, limits and headers.

There is no anonymous access, on no address. A key comes as `Authorization: Bearer …`, from a browser as a
cookie that scripts cannot read and other sites' requests do not carry (`HttpOnly`, `SameSite=Strict`). What
changes anything and comes with a cookie is looked at again: `Sec-Fetch-Site`, where a browser sends it, must
be `same-origin`, `Origin` must be ours. WebSockets are held to the same.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any, Final, cast

from fastapi import Depends
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hopyard import current
from hopyard.ledger import access
from hopyard.ledger.access import Kind
from hopyard.ledger.database import Database
from hopyard.web import problems
from hopyard.web.problems import Refused
from hopyard.web.viewer import Role, Viewer

if TYPE_CHECKING:
    from hopyard.app import Hopyard

COOKIE: Final = "hopyard_session"
_LOCAL: Final = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?").fullmatch
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: Seconds that a key which was looked up is believed: so long a revoked one may still be let in.
_BELIEVED: Final = 2.0
#: Characters of a key, more than any has.
_LONGEST_KEY: Final = 100
#: Bytes of a request's body.
MOST_BYTES: Final = 2_000_000
#: Answers to keys that are none, and logins that fail, from one address in a minute.
_WRONG_PER_MINUTE: Final = 30
#: Logins that are begun at a provider from one address in a minute: each is kept until it ends or expires.
_BEGUN_PER_MINUTE: Final = 60
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


class Keys:
    """Looks keys up in the ledger, and believes what it saw for two seconds."""

    def __init__(self, database: Callable[[], Database]) -> None:
        self._database = database
        self._known: dict[str, tuple[float, Viewer | None]] = {}
        self._asking: dict[str, asyncio.Future[Viewer | None]] = {}

    async def viewer(self, key: str, kinds: Sequence[Kind]) -> Viewer | None:
        """Return whom a key lets in; None for one that is none, or no longer."""
        if len(key) > _LONGEST_KEY:  # ours are shorter: nobody's else is worth keeping in mind
            return None
        now = time.monotonic()
        known = self._known.get(key)
        if known is not None and known[0] > now:
            found = known[1]
        else:
            found = await self._asked(key)
        return found if found is None or ("session" if found.by_cookie else "token") in kinds else None

    async def _asked(self, key: str) -> Viewer | None:
        """Ask once for all who ask at the same time."""
        if (asking := self._asking.get(key)) is not None:
            return await asyncio.shield(asking)
        future = self._asking[key] = asyncio.ensure_future(self._look_up(key))
        try:
            return await asyncio.shield(future)
        finally:
            self._asking.pop(key, None)

    async def _look_up(self, key: str) -> Viewer | None:
        row = await access.find(self._database(), key, ["token", "session"])
        viewer = None if row is None else Viewer.of(row)
        if len(self._known) > 10_000:
            self._known.clear()
        self._known[key] = (time.monotonic() + _BELIEVED, viewer)
        return viewer

    def forget(self) -> None:
        """Look all keys up anew: one was revoked."""
        self._known.clear()


class Limit:
    """So many a minute for each of those who ask, as a bucket that fills again steadily."""

    def __init__(self, per_minute: int) -> None:
        self._most = float(per_minute)
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, who: str) -> float:
        """Take one; return 0, or the seconds after which there is one again."""
        now = time.monotonic()
        left, at = self._buckets.get(who, (self._most, now))
        left = min(self._most, left + (now - at) * self._most / 60)
        if left < 1:
            return (1 - left) * 60 / self._most
        if len(self._buckets) > 10_000:
            self._forget_full(now)
        self._buckets[who] = (left - 1, now)
        return 0.0

    def _forget_full(self, now: float) -> None:
        self._buckets = {
            who: (left, at)
            for who, (left, at) in self._buckets.items()
            if left + (now - at) * self._most / 60 < self._most
        }


class Guard:
    """The outermost layer: finds out who asks, refuses what no page of ours sends, and sets headers."""

    def __init__(self, app: ASGIApp, hopyard: Hopyard, keys: Keys, prefix: str = "") -> None:
        self._app = app
        self._prefix = prefix
        self._hopyard = hopyard
        settings = hopyard.settings
        self._origins = frozenset(settings.web.origins)
        self._keys = keys
        self._limit = Limit(settings.web.requests_per_minute)
        self._wrong = Limit(_WRONG_PER_MINUTE)
        self._begun = Limit(_BEGUN_PER_MINUTE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if not scope.get("root_path", "").endswith(self._prefix):  # else somebody has mounted it there
            scope["root_path"] = scope.get("root_path", "") + self._prefix
        try:
            self._check_prefix(scope)
            await self._admit(scope)
        except Refused as refused:
            await _refuse(scope, receive, send, refused)
            return
        current.use(self._hopyard)
        send = _with_headers(scope, send)
        if scope.get("method") == "HEAD":  # as GET, without what it would show (RFC 9110)
            scope["method"] = "GET"
            receive, send = _without_body(receive, send)
        await self._answered(scope, receive, send)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have it answered; what goes wrong unforeseen is logged, and answered as everything else is."""
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, _limited(receive), sending)
        except Exception as error:
            if begun or scope["type"] == "websocket":
                raise
            await problems.fault(scope, error)(scope, receive, send)

    async def _admit(self, scope: Scope) -> None:
        """Put the viewer (or None) into the scope's state. Raises `Refused`."""
        connection = HTTPConnection(scope)
        address = address_of(connection)
        if "\0" in scope["path"] or b"%00" in scope.get("query_string", b""):
            raise Refused(400, "NUL is in no name, id or text of ours")
        if _length(connection.headers) > MOST_BYTES:
            raise Refused(413, f"a request's body has at most {MOST_BYTES:,} bytes")
        viewer = await self._viewer(connection.headers, address)
        scope.setdefault("state", {}).update(viewer=viewer, guard=self)
        wait = self._limit.take(viewer.id if viewer is not None else f"address {address}")
        if wait:
            raise Refused(429, "too many requests; try again later", **{"Retry-After": str(int(wait) + 1)})
        acts = scope["type"] == "websocket" or scope["method"] not in _SAFE
        if acts and (viewer is None or viewer.by_cookie):
            self._check_origin(scope, connection.headers)

    async def _viewer(self, headers: Headers, address: str) -> Viewer | None:
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            viewer = await self._keys.viewer(bearer.strip(), ["token"])
            if viewer is None:
                self.count_wrong(address)
                raise Refused(401, "this token opens nothing: it is none, was revoked or has expired")
            return viewer
        cookie = session_of(headers)
        return await self._keys.viewer(cookie, ["session"]) if cookie else None

    def count_wrong(self, address: str) -> None:
        """Count a wrong key or login. Raises `Refused` where somebody tries too many."""
        wait = self._wrong.take(address)
        if wait:
            raise Refused(429, "too many wrong keys; try again later", **{"Retry-After": str(int(wait) + 1)})

    def _check_prefix(self, scope: Scope) -> None:
        """Raise `Refused` above the prefix: a proxy may guard only what lies below it."""
        path, root = scope["path"], scope.get("root_path", "")
        if root and path != root and not path.startswith(f"{root}/"):
            raise Refused(404, f"all of this lies below {root}/")

    def count_begun(self, address: str) -> None:
        """Count a login that is begun at a provider. Raises `Refused` where somebody begins too many."""
        wait = self._begun.take(address)
        if wait:
            raise Refused(429, "too many logins; try again later", **{"Retry-After": str(int(wait) + 1)})

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        """Raise `Refused` where another site's page may have sent this."""
        site = headers.get("sec-fetch-site")
        if site is not None and site not in ("same-origin", "none"):
            raise Refused(403, "this request comes from another site")
        origin = headers.get("origin")
        secure = scope["scheme"] in ("https", "wss")
        ours = {f"{'https' if secure else 'http'}://{headers.get('host', '')}", *self._origins}
        if origin is None and site is None and viewer_of(HTTPConnection(scope)) is not None:
            raise Refused(403, "a browser says from where it asks; programs send `Authorization: Bearer …`")
        if origin is not None and origin not in ours:
            raise Refused(403, "this request comes from another origin; see `web.origins` in the settings")


def _length(headers: Headers) -> int:
    """Return how long a body is said to be. Raises `Refused` for what is no length."""
    said = headers.get("content-length", "0")
    if not (said.isascii() and said.isdigit() and len(said) < 19):
        raise Refused(400, "the header Content-Length is no number")
    return int(said)


def session_of(headers: Headers) -> str | None:
    """Return the session that a request's cookie names."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return found.value if found is not None else None


def origin_of(connection: HTTPConnection, origins: Sequence[str]) -> str | None:
    """Return under which origin a browser has this, to be told to others; None if nobody can be sure.

    It is one of `origins`, of the settings: the one that was asked, or the first, behind a proxy that changes
    the `Host` header. Without any it is what was asked on this machine: a name that somebody else sent here
    would lead others to wherever they like.
    """
    asked = f"{connection.url.scheme}://{connection.headers.get('host', '')}"
    if origins:
        return asked if asked in origins else origins[0]
    return asked if _LOCAL(asked) else None


def viewer_of(connection: HTTPConnection) -> Viewer | None:
    """Return who asks; None if nobody has come in."""
    return cast(Viewer | None, connection.scope.get("state", {}).get("viewer"))


def needs(role: Role) -> Any:
    """Return a dependency, the `Viewer`, for an endpoint that only those who have at least `role` may use.

    `async def pause(queue: str, viewer: Annotated[Viewer, needs(Role.OPERATOR)])`. Who has not come in is
    answered 401, who may not 403.
    """

    def check(request: HTTPConnection) -> Viewer:
        viewer = viewer_of(request)
        if viewer is None:
            raise Refused(401, "log in, or send a token", **{"WWW-Authenticate": 'Bearer realm="hopyard"'})
        if not viewer.may(role):
            raise Refused(
                403, f"this needs the role {role.name.lower()}; {viewer.name} has {viewer.role.name.lower()}"
            )
        return viewer

    return Depends(check)


def unscoped(viewer: Viewer) -> Viewer:
    """Return the viewer, unless their key is for one person only. Raises `Refused` then."""
    if viewer.person is not None:
        raise Refused(403, "this key is for one person's own requests")
    return viewer


def address_of(connection: HTTPConnection) -> str:
    """Return the address that asks, as the server or a proxy that is believed tells it."""
    return connection.client.host if connection.client else "unknown"


def _limited(receive: Receive) -> Receive:
    """Count a body's bytes: a length may be left unsaid, or wrong."""
    read = 0

    async def counting() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > MOST_BYTES:
            raise Refused(413, f"a request's body has at most {MOST_BYTES:,} bytes")
        return message

    return counting


def _with_headers(scope: Scope, send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            if scope["scheme"] == "https":
                headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        await send(message)

    return sending


def _without_body(receive: Receive, send: Send) -> tuple[Receive, Send]:
    """Return how to answer without a body; whoever would go on sending one is told that nobody listens."""
    begun = asyncio.Event()

    async def receiving() -> Message:
        if begun.is_set():
            return {"type": "http.disconnect"}
        return await receive()

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            begun.set()
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return receiving, sending


async def _refuse(scope: Scope, receive: Receive, send: Send, refused: Refused) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": str(refused.detail)[:100]})
        return
    answer = problems.response(refused.status_code, str(refused.detail), headers=dict(refused.headers or {}))
    await answer(scope, receive, _with_headers(scope, send))
