"""Requests to one other side: through the egress, with its credentials, within its limits."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from hopyard import Hopyard
from hopyard.egress import task_errors
from hopyard.errors import (
    AuthenticationError,
    InvalidInput,
    RateLimited,
    TaskError,
    TimeLimitExceeded,
    TransientError,
)

from hopyard_sync.errors import Answered, Forbidden

if TYPE_CHECKING:
    import httpx2

    from hopyard_sync.engine.limits import Limiter
    from hopyard_sync.http.auth import Auth

#: How often a request is made where the other side is busy, before the job is tried again later.
_TRIES: Final = 4
#: The first pause between them in seconds, doubled each time.
_PAUSE: Final = 0.5
#: The longest Retry-After for which a job holds its slot, in seconds.
_LONGEST_WAIT: Final = 10.0
_REDIRECTS: Final = 5
#: Beside 5xx: a request that took too long, a resource that is locked by another, one that came too early.
_PASSING: Final = (408, 423, 425)
_QUOTA: Final = ("remaining", "limit", "reset")


class Session:
    """Use as `async with`.

    Requests go to the origin of `url` and to `origins`; credentials are never sent anywhere else.
    """

    def __init__(
        self,
        name: str,
        url: str,
        auth: Auth,
        *,
        origins: Collection[str] = (),
        headers: Mapping[str, str] | None = None,
        limiter: Limiter | None = None,
        max_bytes: int = 20_000_000,
        timeout: float = 30.0,
    ) -> None:
        self.url = url
        self.requests = 0
        self.quota: dict[str, str] = {}
        self._name = name
        self._auth = auth
        self._origins = {origin(url), *(origin(one) for one in origins)}
        self._headers = dict(headers or {})
        self._limiter = limiter
        self._timeout = timeout
        self._client = Hopyard.current().egress.client(max_bytes=max_bytes, timeout=timeout)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def request(
        self,
        method: str,
        url: str,
        *,
        query: Mapping[str, str] | None = None,
        json: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        accept: Collection[int] = (),
    ) -> httpx2.Response:
        """Return an answer of 2xx, or of a status in `accept`; its body is read.

        `url` may be relative to the session's. A busy other side is asked a few times. Raises RateLimited,
        TransientError, TimeLimitExceeded, AuthenticationError (401, 403), InvalidInput and EgressRefused.
        """
        renewed = False
        for attempt in range(1, _TRIES + 1):
            try:
                response = await self._follow(method, self.absolute(url), query, json, content, headers)
                if response.status_code == 401 and 401 not in accept and not renewed:
                    renewed = True
                    if await self._auth.renew():
                        response = await self._follow(
                            method, self.absolute(url), query, json, content, headers
                        )
                if response.status_code not in accept:
                    self._raise_for(response)
            except (RateLimited, TransientError, TimeLimitExceeded) as error:
                if attempt == _TRIES or not await self._pause(error, attempt):
                    raise
            else:
                return response
        raise AssertionError("the last attempt returns or raises")

    async def json(self, method: str, url: str, **options: Any) -> Any:
        """Return the JSON of an answer. Raises `InvalidInput` for what is none, and as `request` does."""
        return self.decoded(await self.request(method, url, **options))

    def decoded(self, response: httpx2.Response) -> Any:
        """Return the JSON of an answer. Raises `InvalidInput` for what is none."""
        try:
            return json.loads(
                response.text.removeprefix("\ufeff"), parse_constant=_no_number, parse_float=_finite
            )
        except (ValueError, RecursionError) as error:
            raise InvalidInput(
                f"{self._name}: found an answer that begins with {response.text[:60]!r}, "
                f"expected JSON ({error})"
            ) from None

    def absolute(self, url: str) -> str:
        """Return a whole address. Raises `InvalidInput` where it leads to another origin than is allowed."""
        whole = joined(self.url, url)
        if origin(whole) not in self._origins:
            raise InvalidInput(
                f"{self._name}: found an address at {origin(whole)}, expected one at "
                f"{' or '.join(sorted(self._origins))}; nothing was asked there"
            )
        return whole

    async def _follow(
        self,
        method: str,
        url: str,
        query: Mapping[str, str] | None,
        body: Any,
        content: bytes | None,
        headers: Mapping[str, str] | None,
    ) -> httpx2.Response:
        """Make the request, and follow redirects as long as they stay where credentials may go."""
        for _ in range(_REDIRECTS + 1):
            response = await self._once(method, url, query, body, content, headers)
            if not response.has_redirect_location:
                return response
            url, query = self.absolute(joined(url, response.headers["Location"])), None
            if response.status_code == 303:
                method, body, content = "GET", None, None
        raise InvalidInput(f"{self._name}: found more than {_REDIRECTS} redirects, expected an answer")

    def bare(self, url: str) -> str:
        """Return an address without the credentials that requests have in it, so that it can be kept."""
        own = self._auth.query()
        parts = urlsplit(url)
        kept = [one for one in parse_qsl(parts.query, keep_blank_values=True) if one[0] not in own]
        return urlunsplit(parts._replace(query=urlencode(kept))) if own else url

    async def _once(
        self,
        method: str,
        url: str,
        query: Mapping[str, str] | None,
        body: Any,
        content: bytes | None,
        headers: Mapping[str, str] | None,
    ) -> httpx2.Response:
        if self._limiter is not None:
            await self._limiter.wait()
        parameters = {**(query or {}), **self._auth.query()}
        sent = {**self._headers, **(headers or {}), **await self._auth.headers()}
        self.requests += 1
        with task_errors(f"{self._name}: {origin(url)}", self._timeout):
            async with asyncio.timeout(self._timeout):
                response = await self._client.request(
                    method, _with(url, parameters), json=body, content=content, headers=sent
                )
        self._note_quota(response.headers)
        return response

    def _raise_for(self, response: httpx2.Response) -> None:
        status = response.status_code
        if status < 400:
            return
        told = f"{self._name}: {origin(str(response.url))} answered {status}"
        if status == 429 or (status == 403 and _says_limit(response)):
            raise RateLimited(told, retry_after=_seconds(response.headers.get("Retry-After")))
        if status == 403:
            raise Forbidden(told)
        if status == 401:
            raise AuthenticationError(told)
        told += f": {response.text[:200]}"
        if status == 503 and "Retry-After" in response.headers:
            raise RateLimited(told, retry_after=_seconds(response.headers["Retry-After"]))
        if status in _PASSING or status >= 500:
            raise TransientError(told)
        raise Answered(told, status)

    async def _pause(self, error: TaskError, attempt: int) -> bool:
        """Wait before the next try; False where that is longer than a job may hold its slot."""
        asked = error.retry_after if isinstance(error, RateLimited) else None
        if asked is not None and self._limiter is not None:
            await self._limiter.pause(asked)
        seconds = asked if asked is not None else _PAUSE * 2 ** (attempt - 1)
        if seconds > _LONGEST_WAIT:
            return False
        await asyncio.sleep(seconds)
        return True

    def _note_quota(self, headers: Mapping[str, str]) -> None:
        for name, value in headers.items():
            lower = name.lower()
            if "ratelimit" in lower.replace("-", "") and lower.rsplit("-", 1)[-1] in _QUOTA:
                self.quota[lower] = value[:100]


def _with(url: str, parameters: Mapping[str, str]) -> str:
    """Return an address with more parameters."""
    if not parameters:
        return url
    parts = urlsplit(url)
    kept = [one for one in parse_qsl(parts.query, keep_blank_values=True) if one[0] not in parameters]
    return urlunsplit(parts._replace(query=urlencode([*kept, *parameters.items()])))


def joined(base: str, url: str) -> str:
    """Return a whole address of one that may be relative. Raises `InvalidInput` for what is none."""
    try:
        return urljoin(base, url)
    except ValueError as error:
        raise InvalidInput(f"found {url[:100]!r}, which is no address: {error}") from None


def origin(url: str) -> str:
    """Return scheme, host and port of an address. Raises `InvalidInput` for what is none."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError as error:
        raise InvalidInput(f"found {url[:100]!r}, which is no address: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput(
            f"found an address with scheme {parts.scheme!r}, expected http or https with a host"
        )
    return f"{parts.scheme}://{parts.hostname}:{port}"


def _seconds(header: str | None) -> float | None:
    """Return what a Retry-After asks for in seconds; None where it says no time."""
    from hopyard import Category, Verdict

    # A verdict reads seconds and dates alike, and keeps them within a day.
    return Verdict(Category.RATE_LIMITED, retry_after=header).retry_after  # type: ignore[arg-type]


def _says_limit(response: httpx2.Response) -> bool:
    """Google says 403 where a limit is reached, with the reason in the body."""
    return any(word in response.text[:2000] for word in ("rateLimitExceeded", "userRateLimitExceeded"))


def _finite(text: str) -> float:
    found = float(text)
    if not math.isfinite(found):
        raise ValueError(f"{text[:60]} is too large for a number")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")
