"""OAuth2 access tokens: by refresh token or client credentials (RFC 6749, sections 4.4 and 6).

A server may hand out a new refresh token each time. It is kept in the table `sync_token`, sealed by a key
that is made of the credentials in the settings: whoever has the table alone cannot read it, and neither can a
connection with other credentials.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from hopyard import Hopyard, conceal, storage
from hopyard.egress import task_errors
from hopyard.errors import AuthenticationError, InvalidInput, RateLimited, TransientError

if TYPE_CHECKING:
    from hopyard_sync.settings.common import OAuth2 as Settings

#: What RFC 6749, section 5.2, calls errors that no repeat will mend.
_FINAL: Final = ("invalid_grant", "invalid_client", "unauthorized_client", "invalid_scope")
_MAX_BYTES: Final = 100_000
_TIMEOUT: Final = 30.0


class OAuth2:
    """Access tokens of one connection, asked for when they are first needed."""

    def __init__(self, connection: str, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self._token: str | None = None

    async def headers(self) -> Mapping[str, str]:
        """Return the access token as a header."""
        return {"Authorization": f"Bearer {await self.token()}"}

    def query(self) -> Mapping[str, str]:
        """Return nothing: tokens do not belong in addresses."""
        return {}

    async def renew(self) -> bool:
        """Get a new access token in the place of one that was refused."""
        self._token = await self._request()
        return True

    async def token(self) -> str:
        """Return the access token. Raises `AuthenticationError` where a person must agree anew."""
        if self._token is None:
            self._token = await self._request()
        return self._token

    async def _request(self) -> str:
        refresh = await self._refresh_token()
        form = {"client_id": self._settings.client_id}
        if self._settings.client_secret is not None:
            form["client_secret"] = self._settings.client_secret.get_secret_value()
        if refresh is None:
            form["grant_type"] = "client_credentials"
        else:
            form |= {"grant_type": "refresh_token", "refresh_token": refresh}
        if self._settings.scope:
            form["scope"] = self._settings.scope
        answer = await self._post(form)
        token, newer = answer.get("access_token"), answer.get("refresh_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or " " in token:
            raise InvalidInput(f"{self._connection}: the token server answers without an access token")
        conceal(token)
        if isinstance(newer, str) and newer not in ("", refresh):
            conceal(newer)
            await self._keep(newer)
        return token

    async def _post(self, form: Mapping[str, str]) -> dict[str, Any]:
        place = f"{self._connection}: the token server"
        with task_errors(place, _TIMEOUT):
            async with (
                asyncio.timeout(_TIMEOUT),
                Hopyard.current().egress.client(max_bytes=_MAX_BYTES, timeout=_TIMEOUT) as client,
            ):
                response = await client.post(self._settings.token_url, data=dict(form))
        answer = _object(response.text)
        if response.status_code == 200:
            return answer
        code = str(answer.get("error", ""))[:60]
        told = f"{place} answered {response.status_code}{f' ({code})' if code else ''}"
        if response.status_code == 429:
            raise RateLimited(told)
        if response.status_code >= 500:
            raise TransientError(told)
        if code in _FINAL or response.status_code in (401, 403):
            raise AuthenticationError(told)
        raise InvalidInput(told)

    async def _refresh_token(self) -> str | None:
        configured = self._settings.refresh_token
        if configured is None:
            return None
        rows = await storage.fetch("SELECT sealed FROM sync_token WHERE connection = $1", self._connection)
        kept = self._opened(rows[0]["sealed"]) if rows else None
        return kept or configured.get_secret_value()

    def _opened(self, sealed: str) -> str | None:
        """Return a kept token; None where it was sealed for other credentials than those of now."""
        from cryptography.fernet import Fernet, InvalidToken

        try:
            return Fernet(self._key()).decrypt(sealed.encode()).decode()
        except InvalidToken:
            return None

    async def _keep(self, token: str) -> None:
        from cryptography.fernet import Fernet

        await storage.execute(
            "INSERT INTO sync_token (connection, sealed) VALUES ($1, $2) "
            "ON CONFLICT (connection) DO UPDATE SET sealed = excluded.sealed",
            self._connection,
            Fernet(self._key()).encrypt(token.encode()).decode(),
        )

    def _key(self) -> bytes:
        """Return a key for Fernet. What it is made of is random and long: it needs no stretching."""
        own = self._settings
        secrets = [
            own.client_id,
            *(one.get_secret_value() for one in (own.client_secret, own.refresh_token) if one),
        ]
        digest = hashlib.sha256("\0".join(["hopyard sync", self._connection, *secrets]).encode()).digest()
        return base64.urlsafe_b64encode(digest)


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
