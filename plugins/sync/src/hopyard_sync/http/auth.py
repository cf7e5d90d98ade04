"""How a request is let in."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import quote, quote_plus

from hopyard import conceal
from hopyard.errors import InvalidInput


class Auth(Protocol):
    """Adds to a request what lets it in."""

    async def headers(self) -> Mapping[str, str]:
        """Return headers. Raises `AuthenticationError` where there are none to be had any more."""

    def query(self) -> Mapping[str, str]:
        """Return parameters of the address."""

    async def renew(self) -> bool:
        """Get a new credential after a refusal; False where there is none to be got."""


class Fixed:
    """Headers and parameters that never change: keys, bearer tokens, passwords, or nothing."""

    def __init__(
        self, headers: Mapping[str, str] | None = None, query: Mapping[str, str] | None = None
    ) -> None:
        for name, value in (headers or {}).items():
            if not value.isascii() or not value.isprintable():
                raise InvalidInput(f"the header {name}: expected a credential of printable ASCII characters")
        self._headers = dict(headers or {})
        self._query = dict(query or {})
        for value in self._query.values():  # as it stands in addresses
            conceal(quote(value, safe=""))
            conceal(quote_plus(value))

    async def headers(self) -> Mapping[str, str]:
        """Return the headers."""
        return self._headers

    def query(self) -> Mapping[str, str]:
        """Return the parameters."""
        return self._query

    async def renew(self) -> bool:
        """There is nothing to renew."""
        return False


def bearer(token: str) -> Fixed:
    """Return `Authorization: Bearer …`."""
    return Fixed({"Authorization": f"Bearer {token}"})


def basic(user: str, password: str) -> Fixed:
    """Return `Authorization: Basic …` (RFC 7617, in UTF-8)."""
    joined = base64.b64encode(f"{user}:{password}".encode()).decode()
    conceal(joined)
    return Fixed({"Authorization": f"Basic {joined}"})
