"""The one way out: requests and connections of tasks, to addresses that tasks may reach.

A name is resolved, each address is judged, and the connection goes to a judged address, so that a second
answer of the name server changes nothing. Addresses of the machine itself and of private networks are
refused unless the operator allows them. Redirects are judged like first requests. Proxies named in the
environment are not used.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hopyard.addresses import Address, AllowedHost, embedded
from hopyard.errors import (
    AuthenticationError,
    EgressRefused,
    InvalidInput,
    RateLimited,
    TimeLimitExceeded,
    TransientError,
)
from hopyard.redaction import redact
from hopyard.retry import seconds_to_wait

if TYPE_CHECKING:
    import ssl

    import httpx2

__all__ = ["Egress", "Resolver", "task_errors"]

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host name; raises OSError if there are none."""

MAX_BYTES = 10 * 1024 * 1024
TIMEOUT = 30.0
MAX_REDIRECTS = 5
_MOST_MASKED = 20_000
_METHOD = re.compile("[A-Za-z]{1,20}")
_KINDS = (
    ("loopback", "is_loopback"),
    ("link-local", "is_link_local"),
    ("multicast", "is_multicast"),
    ("unspecified", "is_unspecified"),
    ("reserved", "is_reserved"),
    ("private", "is_private"),
)


class Egress:
    """HTTP for tasks, and connections for other protocols.

    `allow` names what may be reached although it is not public: `host`, `*.domain`, `host:port`, an address
    or a network such as `10.0.0.0/8`. `resolve` and `tls` stand in for the system's resolver and certificate
    authorities. Raises SpecError for an entry that is none of these.
    """

    def __init__(
        self,
        allow: Sequence[str] = (),
        *,
        resolve: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = tuple(AllowedHost.parse(text) for text in allow)
        self._resolve = resolve or _resolve
        self._given_tls = tls

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses of `host` that may be connected to.

        Raises EgressRefused if it has none that may, OSError if it has none at all.
        """
        name = host.lower().rstrip(".")
        found = [ipaddress.ip_address(text) for text in await self._resolve(host, port)]
        reasons = {address: self._refusal(name, address, port) for address in found}
        usable = [str(address) for address, reason in reasons.items() if reason is None]
        if usable:
            return usable
        if not reasons:
            raise OSError(f"{host} has no address")
        address, reason = next(iter(reasons.items()))
        raise EgressRefused(_refused(host, str(address), port, str(reason)))

    def check(self, host: str, address: str, port: int) -> None:
        """Raise EgressRefused unless tasks may reach `address`, to which the name `host` was resolved.

        For libraries that resolve names and connect themselves, at the moment when they connect.
        """
        reason = self._refusal(host.lower().rstrip("."), ipaddress.ip_address(address), port)
        if reason is not None:
            raise EgressRefused(_refused(host, address, port, reason))

    async def connect(self, host: str, port: int, *, timeout: float = TIMEOUT) -> socket.socket:
        """Return a TCP connection, for protocols such as SMTP and IMAP; TLS is the caller's.

        `timeout` is in seconds, for all of it; it is also the socket's own. Raises EgressRefused,
        TimeLimitExceeded, and TransientError where nobody answers.
        """
        place = f"{host}:{port}"
        try:
            async with asyncio.timeout(timeout):
                return await self._connected(await self.addresses(host, port), port, timeout)
        except TimeoutError as error:
            raise TimeLimitExceeded(f"{place} did not answer within {timeout:g} s") from error
        except (OSError, UnicodeError) as error:
            raise TransientError(f"{place}: {type(error).__name__}: {error}") from error

    async def _connected(self, addresses: Sequence[str], port: int, timeout: float) -> socket.socket:
        loop, failure = asyncio.get_running_loop(), OSError("no address")
        for address in addresses:
            made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
            made.setblocking(False)
            try:
                await loop.sock_connect(made, (address, port))
            except OSError as error:
                made.close()
                failure = error
            except BaseException:
                made.close()
                raise
            else:
                made.settimeout(timeout)
                return made
        raise failure

    def client(
        self, *, max_bytes: int = MAX_BYTES, timeout: float = TIMEOUT, follow_redirects: bool = False
    ) -> httpx2.AsyncClient:
        """Return a client to be used with `async with`. `max_bytes` bounds each body as it is read.

        `timeout` is in seconds, for connecting and for each read and write. Beside the errors of httpx2
        it raises EgressRefused, and InvalidInput for a body that is too long.
        """
        from hopyard._egress_http import open_client

        return open_client(
            self, self._tls, max_bytes=max_bytes, timeout=timeout, follow_redirects=follow_redirects
        )

    async def request(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        form: Mapping[str, str | Sequence[str]] | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = MAX_BYTES,
        timeout: float = TIMEOUT,
        follow_redirects: bool = False,
    ) -> httpx2.Response:
        """Return the answer, its body read; `timeout` is in seconds for all of it.

        The body is `json`, or the fields of a `form` as web pages send them, which OAuth2 wants; with
        `files`, each its name, content and media type, both are sent as multipart.

        Raises RateLimited (429), TransientError (408, 5xx, no connection), TimeLimitExceeded,
        AuthenticationError (401, 403), InvalidInput (other 4xx, redirects that are not followed, bodies
        over `max_bytes`, what is no URL) and EgressRefused.
        """
        place = _place(url)
        if not _METHOD.fullmatch(method):
            raise InvalidInput(f"{place}: found the method {method[:40]!r}, expected one such as GET or POST")
        opened = self.client(max_bytes=max_bytes, timeout=timeout, follow_redirects=follow_redirects)
        with task_errors(place, timeout):
            async with asyncio.timeout(timeout), opened as client:
                fields = None if form is None else dict(form)
                response = await client.request(
                    method,
                    url,
                    json=json,
                    data=fields,
                    files=None if files is None else dict(files),
                    headers=dict(headers or {}),
                )
        _raise_for_status(response, place)
        return response

    def _refusal(self, host: str, address: Address, port: int) -> str | None:
        kind = _kind(address)
        if kind is None or any(entry.covers(host, address, port) for entry in self._allowed):
            return None
        return kind

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        import httpx2

        return self._given_tls or httpx2.create_ssl_context()


@contextmanager
def task_errors(place: str, timeout: float) -> Iterator[None]:
    """Raise what a client of `Egress.client` raises within the block as the errors of tasks.

    `place` is what they are about, without anything secret; `timeout`, in seconds, what `asyncio.timeout`
    within the block was given. Raises TimeLimitExceeded, TransientError for connections that fail, and
    InvalidInput for what is no URL, text that no header can hold, and bodies that have no JSON form.
    """
    import httpx2

    try:
        yield
    except (TimeoutError, httpx2.TimeoutException) as error:
        raise TimeLimitExceeded(f"{place} did not answer within {timeout:g} s") from error
    except (
        httpx2.InvalidURL,
        httpx2.LocalProtocolError,
        httpx2.TooManyRedirects,
        ValueError,
        TypeError,
    ) as error:
        # Text that no header or URL can hold, or a body that has no JSON form.
        raise InvalidInput(f"{place}: {type(error).__name__}: {error}") from error
    except httpx2.RequestError as error:
        raise TransientError(f"{place}: {type(error).__name__}: {error}") from error


def _refused(host: str, address: str, port: int, reason: str) -> str:
    name = host.lower().rstrip(".")
    entry = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    return (
        f"{host} is {address}, a {reason} address, which tasks may not reach; "
        f'to allow it: [egress] allow = ["{entry}"]'
    )


def _kind(address: Address) -> str | None:
    """Say what kind of address it is, None for a public one."""
    address = embedded(address) or address
    for kind, attribute in _KINDS:
        if getattr(address, attribute):
            return kind
    return None if address.is_global and not getattr(address, "is_site_local", False) else "private"


async def _resolve(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(item[4][0]) for item in found))


def _place(url: str) -> str:
    """The URL without what may be secret in it: user, path and query."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise InvalidInput(f"no URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput(
            f"found a URL with scheme {parts.scheme!r}, expected http://… or https://… with a host"
        )
    return f"{parts.scheme}://{parts.hostname}{port}"


def _raise_for_status(response: httpx2.Response, place: str) -> None:
    status = response.status_code
    if response.has_redirect_location:
        raise InvalidInput(f"{place} answered {status}, a redirect, which is not followed here")
    if status < 400:
        return
    if status in (401, 403):
        raise AuthenticationError(f"{place} answered {status}")
    # Masked before it is cut: of a secret that is cut in two nothing would be recognized.
    message = f"{place} answered {status}: {redact(response.text[:_MOST_MASKED])[:200]}"
    if status == 429:
        raise RateLimited(message, retry_after=seconds_to_wait(response.headers.get("Retry-After")))
    if status == 408 or status >= 500:
        raise TransientError(message)
    raise InvalidInput(message)
