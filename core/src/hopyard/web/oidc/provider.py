"""The provider: where it is, as it says itself, where browsers are sent, and what it says of who comes back.

All that is asked of it goes through the egress client, which follows no redirects, bounds what it reads, and
reaches private addresses only where `[egress] allow` names them.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from hopyard.checks import shown
from hopyard.egress import Egress
from hopyard.errors import HopyardError, ProviderError
from hopyard.settings import OidcSection
from hopyard.web.oidc import tokens
from hopyard.web.oidc.kept import Kept
from hopyard.web.oidc.pending import Pending

#: Seconds that one question to the provider may take, and the most bytes of its answer.
_TIMEOUT: Final = 10.0
_MOST_BYTES: Final = 1_000_000
#: Seconds that its documents are believed; after a key that is not among them they are fetched again, but no
#: more often than each minute: anybody can name keys that there are not.
_BELIEVED: Final = 3600.0
_AGAIN: Final = 60.0


@dataclass(frozen=True, slots=True)
class Described:
    """What it says of itself (OpenID Connect Discovery 1.0, section 3): its addresses, how it wants the
    secret, and whether its answers name it (RFC 9207)."""

    authorization: str
    token: str
    keys: str
    by_post: bool
    names_itself: bool


class Provider:
    """One provider, for all logins of an application."""

    def __init__(self, settings: OidcSection, egress: Egress) -> None:
        self.settings = settings
        self._egress = egress
        self._described = Kept(self._discover, _BELIEVED)
        self._keys = Kept(self._fetch_keys, _BELIEVED)

    async def address(self, pending: Pending, redirect: str) -> str:
        """Return where a browser is sent to log in, and from there back to `redirect`.

        Raises `ProviderError`.
        """
        described = await self._described.get()
        query = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": redirect,
            "scope": " ".join(self.settings.scopes),
            "state": pending.state,
            "nonce": pending.nonce,
            "code_challenge": pending.challenge,
            "code_challenge_method": "S256",
        }
        separator = "&" if "?" in described.authorization else "?"  # it may have a query (RFC 6749, 3.1)
        return f"{described.authorization}{separator}{urlencode(query)}"

    async def check_issuer(self, issuer: str | None) -> None:
        """Check who an answer says that it is from; a provider that always says so must (RFC 9207).

        Raises `ProviderError`.
        """
        if issuer is None and not (await self._described.get()).names_itself:
            return
        if issuer != self.settings.issuer:
            raise ProviderError(f"the answer to a login is from {shown(issuer)}, not from the provider")

    async def claims(self, pending: Pending, code: str, redirect: str) -> Mapping[str, Any]:
        """Return what the provider says of who came back with this code. Raises `ProviderError`."""
        token = await self._exchanged(code, pending.verifier, redirect)
        header = tokens.header_of(token)
        key = (await self._keys.get()).find(header)
        if key is None:
            key = (await self._keys.get(younger_than=_AGAIN)).find(header)
        if key is None:
            raise ProviderError(f"the provider has no key {shown(header.kid)} for {header.algorithm}")
        claims = tokens.signed(token, header, key)
        tokens.check(
            claims,
            issuer=self.settings.issuer,
            client=self.settings.client_id,
            nonce=pending.nonce,
            now=time.time(),
        )
        return claims

    async def _exchanged(self, code: str, verifier: str, redirect: str) -> Any:
        """Return the ID token for a code (RFC 6749, section 4.1.3)."""
        described = await self._described.get()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
            "code_verifier": verifier,
        }
        headers: dict[str, str] = {}
        secret, client = self.settings.client_secret, self.settings.client_id
        if secret is None:
            form["client_id"] = client
        elif described.by_post:
            form |= {"client_id": client, "client_secret": secret.get_secret_value()}
        else:
            headers["Authorization"] = _basic(client, secret.get_secret_value())
        answer = await self._ask("POST", described.token, form=form, headers=headers)
        return answer.get("id_token")

    async def _discover(self) -> Described:
        issuer = self.settings.issuer
        found = await self._ask("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != issuer:
            raise ProviderError(f"{issuer} calls itself {shown(found.get('issuer'))}: write that as `issuer`")
        methods = found.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if not isinstance(methods, list):
            raise ProviderError("the provider does not say how it wants the secret")
        return Described(
            self._endpoint(found, "authorization_endpoint"),
            self._endpoint(found, "token_endpoint"),
            self._endpoint(found, "jwks_uri"),
            "client_secret_basic" not in methods,
            found.get("authorization_response_iss_parameter_supported") is True,
        )

    def _endpoint(self, found: Mapping[str, Any], name: str) -> str:
        """Return one of its addresses; all are as safe as the issuer's own."""
        url = found.get(name)
        try:
            parts = urlsplit(url) if isinstance(url, str) and url.isascii() and url.isprintable() else None
        except ValueError:
            parts = None
        schemes = ("https",) if self.settings.issuer.startswith("https:") else ("https", "http")
        if parts is None or parts.scheme not in schemes or not parts.hostname or parts.fragment:
            raise ProviderError(f"the provider's {name} is {shown(url)}, which is no address to go to")
        return str(url)

    async def _fetch_keys(self) -> tokens.Keys:
        return tokens.Keys(await self._ask("GET", (await self._described.get()).keys))

    async def _ask(self, method: str, url: str, **more: Any) -> dict[str, Any]:
        """Return the JSON object that the provider answers. Raises `ProviderError`."""
        headers = {"Accept": "application/json"} | more.pop("headers", {})
        try:
            answer = await self._egress.request(
                method, url, headers=headers, max_bytes=_MOST_BYTES, timeout=_TIMEOUT, **more
            )
        except HopyardError as error:
            raise ProviderError(f"the login provider does not answer as it should: {error}") from error
        try:
            found = json.loads(answer.content)
        except (ValueError, RecursionError) as error:
            raise ProviderError(f"the login provider answers {url} with what is no JSON") from error
        if not isinstance(found, dict):
            raise ProviderError(f"the login provider answers {url} with what is no JSON object")
        return found


def _basic(client: str, secret: str) -> str:
    """Return a client's name and secret as a header (RFC 6749, section 2.3.1)."""
    pair = f"{quote(client, safe='')}:{quote(secret, safe='')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"
