"""Requests to a Vault or OpenBao server, and its refusals by their status and its list of errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hopyard import Egress, redact
from hopyard.egress import task_errors
from hopyard.errors import AuthenticationError, InvalidInput, RateLimited, TransientError

from hopyard_maintenance.settings import VaultSettings

if TYPE_CHECKING:
    import httpx2

_MAX_BYTES: Final = 1_000_000
_SECONDS: Final = 15.0
#: Beside 5xx: timed out; the server has not caught up with what was written on another one.
_PASSING: Final = frozenset({408, 412, 472, 473})
_MOST_TOLD: Final = 300


class Refused(InvalidInput):
    """The server refuses a request: its `status`, and its list of `errors` as it gave them."""

    def __init__(self, message: str, status: int, errors: list[str]) -> None:
        self.status = status
        self.errors = errors
        super().__init__(message)


class NotThere(Refused):
    """There is nothing at the path that was read."""


class VaultServer:
    """The server of the settings."""

    def __init__(self, settings: VaultSettings, egress: Egress) -> None:
        self._settings = settings
        self._egress = egress
        self._checked = False

    async def request(self, method: str, kind: str, place: str, body: Any = None) -> Any:
        """Return the JSON answer about a place below the prefix; an empty table for an empty answer.

        Raises `NotThere` where a GET finds nothing, `Refused` for other refusals, and as `Egress.request`.
        """
        settings = self._settings
        return await self._ask(method, f"{settings.mount}/{kind}/{settings.prefix}/{place}", body)

    async def check_engine(self) -> None:
        """Raise `InvalidInput` if the mount has no KV engine of version 2, as far as the token may ask.

        An engine of version 1 answers as if nothing were there, and takes what is written to other places.
        """
        if self._checked:
            return
        try:
            answer = await self._ask("GET", f"sys/internal/ui/mounts/{self._settings.mount}", None)
        except (AuthenticationError, Refused):
            return  # the token may not ask: what it may read and write tells
        found = answer.get("data") if isinstance(answer, dict) else None
        if isinstance(found, dict) and found.get("type") is not None:
            options = found.get("options")
            version = options.get("version") if isinstance(options, dict) else None
            if found["type"] != "kv" or version != "2":
                raise InvalidInput(
                    f"the mount `{self._settings.mount}` has an engine {redact(str(found['type']))[:40]} of "
                    f"version {redact(str(version or 1))[:40]}, expected kv of version 2"
                )
        self._checked = True

    async def _ask(self, method: str, path: str, body: Any) -> Any:
        import asyncio

        settings = self._settings
        headers = {"X-Vault-Token": settings.token.get_secret_value(), "X-Vault-Request": "true"}
        if settings.namespace is not None:
            headers["X-Vault-Namespace"] = settings.namespace
        url = f"{settings.url.rstrip('/')}/v1/{path}"
        opened = self._egress.client(max_bytes=_MAX_BYTES, timeout=_SECONDS)
        with task_errors(settings.url, _SECONDS):
            async with asyncio.timeout(_SECONDS), opened as client:
                response = await client.request(method, url, json=body, headers=headers)
        if response.status_code >= 300:
            raise self._refusal(method, response)
        if not response.content:
            return {}
        try:
            return response.json()
        except (ValueError, RecursionError):
            raise InvalidInput(f"the server at {settings.url} answers with no JSON") from None

    def _refusal(self, method: str, response: httpx2.Response) -> Exception:
        status, errors = response.status_code, _errors(response)
        # Masked before it is cut: of a secret that is cut in two nothing would be recognized.
        words = redact("; ".join(errors))[:_MOST_TOLD]
        told = f"{self._settings.url} answered {status}{f': {words}' if words else ''}"
        if status in (401, 403):
            return AuthenticationError(told)
        if status == 429:
            return RateLimited(told)
        if status >= 500 or status in _PASSING:
            return TransientError(told)
        if status == 404 and method == "GET" and not errors:
            return NotThere(told, status, errors)
        return Refused(told, status, errors)


def _errors(response: httpx2.Response) -> list[str]:
    """Return the server's list of errors; a text that is no such list is one."""
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        return [response.text[:10_000]] if response.content else []
    found = answer.get("errors") if isinstance(answer, dict) else None
    return [str(one) for one in found] if isinstance(found, list) else []
