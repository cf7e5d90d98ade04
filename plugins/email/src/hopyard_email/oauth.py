"""Access tokens for XOAUTH2: fixed ones, or asked for at the provider and kept until they end."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final

from hopyard import Hopyard
from hopyard.errors import AuthenticationError, InvalidInput, TransientError

if TYPE_CHECKING:
    from hopyard_email.settings import OAuth

#: A token is renewed so many seconds before it ends.
_MARGIN: Final = 60.0
_LIFETIME: Final = 300.0  # where the provider does not say
_MOST_BYTES: Final = 100_000
_ERROR: Final = re.compile(r'"error"\s*:\s*"([a-z_]{1,60})"')
_kept: dict[tuple[str, str, str, str], tuple[str, float]] = {}


async def access_token(oauth: OAuth, *, renew: bool = False) -> str:
    """Return an access token; `renew` asks for a new one, after the last was refused.

    RFC 6749: §6 with a refresh token, §4.4 without. Raises `AuthenticationError` if the provider gives none,
    `TransientError` if it does not answer, `EgressRefused`.
    """
    if oauth.token is not None:
        return oauth.token.get_secret_value()
    refresh = oauth.refresh_token.get_secret_value() if oauth.refresh_token else ""
    key = (oauth.token_url or "", oauth.client_id or "", oauth.scope or "", refresh)
    token, until = _kept.get(key, ("", 0.0))
    if not renew and time.monotonic() < until:
        return token
    answer = await _ask(oauth)
    token = str(answer["access_token"])
    lifetime = answer.get("expires_in", _LIFETIME)
    seconds = float(lifetime) if isinstance(lifetime, int | float) else _LIFETIME
    _kept[key] = (token, time.monotonic() + max(0.0, seconds - _MARGIN))
    return token


async def _ask(oauth: OAuth) -> dict[str, Any]:
    form = {"grant_type": "refresh_token" if oauth.refresh_token else "client_credentials"}
    form["client_id"] = oauth.client_id or ""
    if oauth.client_secret is not None:
        form["client_secret"] = oauth.client_secret.get_secret_value()
    if oauth.refresh_token is not None:
        form["refresh_token"] = oauth.refresh_token.get_secret_value()
    if oauth.scope is not None:
        form["scope"] = oauth.scope
    place = str(oauth.token_url).partition("?")[0]
    try:
        answer = await Hopyard.current().egress.request(
            "POST", str(oauth.token_url), form=form, max_bytes=_MOST_BYTES
        )
        found = answer.json()
    except InvalidInput as error:
        # The provider's own word for it (RFC 6749 §5.2) and nothing else: an answer may hold secrets.
        word = _ERROR.search(str(error))
        raise AuthenticationError(f"{place} gave no token{f': {word[1]}' if word else ''}") from None
    except ValueError:
        raise TransientError(f"{place} gave no token: its answer is no JSON") from None
    if not isinstance(found, dict) or not isinstance(found.get("access_token"), str):
        raise AuthenticationError(f"{place} gave no token: there is none in its answer")
    return found
