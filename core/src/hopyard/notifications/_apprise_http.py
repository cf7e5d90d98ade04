"""Holds Apprise's HTTP requests to the rules of `hopyard.egress`: each hop is judged, and no proxy is used.

Apprise's services call `requests` themselves. Every request and every redirect goes through `Session.send`,
which is wrapped once; the wrapper does nothing for callers outside of `guarded`.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hopyard.errors import EgressRefused, TransientError

if TYPE_CHECKING:
    from hopyard.egress import Egress

_RESOLVE_SECONDS = 30
_guard: ContextVar[tuple[Egress, asyncio.AbstractEventLoop] | None] = ContextVar(
    "hopyard_guard", default=None
)


@contextmanager
def guarded(egress: Egress) -> Iterator[None]:
    """Judge the requests of this context meanwhile, also in threads that run in a copy of it."""
    _wrap()
    token = _guard.set((egress, asyncio.get_running_loop()))
    try:
        yield
    finally:
        _guard.reset(token)


@functools.cache
def _wrap() -> None:
    import requests

    plain = requests.Session.send

    @functools.wraps(plain)
    def send(self: Any, request: Any, **options: Any) -> Any:
        guard = _guard.get()
        if guard is None:
            return plain(self, request, **options)
        _judge(request.url, *guard)
        return plain(self, request, **{**options, "proxies": {}})

    requests.Session.send = send  # type: ignore[method-assign]


def _judge(url: str, egress: Egress, loop: asyncio.AbstractEventLoop) -> None:
    """Raise `EgressRefused` unless the host of `url` may be reached."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise EgressRefused(f"found a URL with scheme {parts.scheme!r}, expected http or https")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    found = asyncio.run_coroutine_threadsafe(egress.addresses(parts.hostname, port), loop)
    try:
        found.result(_RESOLVE_SECONDS)
    except OSError as error:  # also that it took too long
        found.cancel()
        raise TransientError(f"{parts.hostname} cannot be resolved: {error}") from error
