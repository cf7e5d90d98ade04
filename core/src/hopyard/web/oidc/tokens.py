"""Judging an ID token: its signature, by the provider's keys, and what it claims.

The signature is JSON Web Signature (RFC 7515) by JSON Web Keys (RFC 7517), the rules of the claims are those
of OpenID Connect Core 1.0, section 3.1.3.7, and the advice of RFC 8725. A token says by itself how it was
signed, so that is looked at first: only algorithms with a public key count, and a key only for its own kind.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import import_key

from hopyard.checks import shown
from hopyard.errors import ProviderError

#: Algorithm to the type of its keys and their curve (RFC 7518, section 3.1; RFC 9864). Neither `none` nor
#: HS256 and its like: with those whoever knows a public key, or nothing, could sign.
ALGORITHMS: Final[Mapping[str, tuple[str, str | None]]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "Ed25519": ("OKP", "Ed25519"),
}
#: Seconds by which the clocks of provider and Hopyard may differ.
LEEWAY: Final = 60.0
#: Seconds before now from which on a token may be from: it is made while somebody logs in.
_OLDEST: Final = 900.0
#: Some thousand years after 1970, in seconds.
_LATEST: Final = 1e12
_MOST_CHARACTERS: Final = 100_000
_MOST_KEYS: Final = 100
_LEAST_RSA_BITS: Final = 2048
#: Characters of a member of a key: enough for RSA of 16,384 bits, with which a check takes milliseconds.
_MOST_OF_KEY: Final = 2_800
_SHAPE: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)").fullmatch
#: What makes a public key, and nothing else of what stands beside it.
_MEMBERS: Final = ("kty", "n", "e", "crv", "x", "y")


@dataclass(frozen=True, slots=True)
class Header:
    """How a token says that it was signed; `kid` is the key's name, if it says one."""

    algorithm: str
    kid: str | None


class Keys:
    """The provider's public keys, of its document's `keys` (RFC 7517, section 5)."""

    def __init__(self, document: Any) -> None:
        """Take what can be used of them. Raises `ProviderError` for what is no set of keys."""
        found = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(found, list) or len(found) > _MOST_KEYS:
            raise ProviderError("the provider's keys are no list of at most 100 keys")
        self._keys = [key for key in found if isinstance(key, dict) and _verifies(key)]

    def find(self, header: Header) -> Mapping[str, Any] | None:
        """Return the key that a token was signed with; None if there is none, or if it may be several."""
        kind, curve = ALGORITHMS[header.algorithm]
        fitting = [
            key
            for key in self._keys
            if key.get("kty") == kind
            and (curve is None or key.get("crv") == curve)
            and key.get("alg") in (None, header.algorithm)
            and (header.kid is None or key.get("kid") == header.kid)
        ]
        return fitting[0] if len(fitting) == 1 else None


def _verifies(key: Mapping[str, Any]) -> bool:
    operations = key.get("key_ops")
    if any(len(str(key.get(name, ""))) > _MOST_OF_KEY for name in _MEMBERS):
        return False
    return key.get("use") in (None, "sig") and (
        operations is None or (isinstance(operations, list) and "verify" in operations)
    )


def header_of(token: Any) -> Header:
    """Return how a token was signed. Raises `ProviderError` for what is no token, or is signed otherwise."""
    if not isinstance(token, str) or len(token) > _MOST_CHARACTERS:
        raise ProviderError(f"the ID token is no text of at most {_MOST_CHARACTERS:,} characters")
    if (parts := _SHAPE(token)) is None:  # also what is encrypted (RFC 7516): that has five parts
        raise ProviderError("the ID token is no signed token of three parts")
    header = _object(parts[1], "header")
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise ProviderError(f"the ID token is signed by {shown(algorithm)}, which is not allowed")
    if "crit" in header or "b64" in header:  # extensions that have to be understood (RFC 7515, 4.1.11)
        raise ProviderError("the ID token wants extensions to be understood, of which there are none here")
    if not isinstance(kid, str | None):
        raise ProviderError(f"the ID token's key is named {shown(kid)}, which is no text")
    return Header(algorithm, kid)


def signed(token: str, header: Header, key: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a token says, if this key has signed it. Raises `ProviderError`."""
    registry = jws.JWSRegistry(algorithms=[header.algorithm], strict_check_header=False)
    # The length of the whole was looked at already; certificates in the header make it long.
    registry.max_header_length = registry.max_payload_length = _MOST_CHARACTERS
    if key["kty"] == "RSA" and _bits(key) < _LEAST_RSA_BITS:
        raise ProviderError(f"the provider's key is shorter than {_LEAST_RSA_BITS:,} bits")
    try:
        public = import_key({name: key[name] for name in _MEMBERS if name in key})
        jws.deserialize_compact(token, public, registry=registry)
    except (JoseError, ValueError, TypeError, KeyError) as error:  # the last three: keys that are none
        raise ProviderError(f"the ID token's signature is wrong ({type(error).__name__})") from error
    return _object(token.split(".")[1], "content")


def _bits(key: Mapping[str, Any]) -> int:
    """Return how long the modulus of an RSA key is; 0 for what is none."""
    modulus = key.get("n")
    try:
        return int.from_bytes(_decoded(modulus)).bit_length() if isinstance(modulus, str) else 0
    except ValueError:
        return 0


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _object(part: str, what: str) -> dict[str, Any]:
    try:
        found = json.loads(_decoded(part))
    except (ValueError, RecursionError) as error:
        raise ProviderError(f"the ID token's {what} is no JSON") from error
    if not isinstance(found, dict):
        raise ProviderError(f"the ID token's {what} is no JSON object")
    return found


def check(claims: Mapping[str, Any], *, issuer: str, client: str, nonce: str, now: float) -> None:
    """Check that a signed token was made for this login by this provider; `now` is in seconds since 1970.

    Raises `ProviderError` with the first rule that it breaks.
    """
    if claims.get("iss") != issuer:
        raise ProviderError(f"the ID token is from {shown(claims.get('iss'))}, not from {issuer}")
    _check_audience(claims, client)
    _check_times(claims, now)
    said = claims.get("nonce")
    if not isinstance(said, str) or not hmac.compare_digest(said.encode(errors="replace"), nonce.encode()):
        raise ProviderError("the ID token was made for another login: its nonce is another")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise ProviderError("the ID token does not say whom it is about")


def _check_audience(claims: Mapping[str, Any], client: str) -> None:
    audience, party = claims.get("aud"), claims.get("azp")
    listed = audience if isinstance(audience, list) else [audience]
    if client not in listed:
        raise ProviderError(f"the ID token is for {shown(audience)}, not for {client}")
    if (len(listed) > 1 or party is not None) and party != client:
        raise ProviderError(f"the ID token was made for {shown(party)} to use, not for {client}")


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    if _time(claims, "exp") <= now - LEEWAY:
        raise ProviderError("the ID token has expired")
    made = _time(claims, "iat")
    if made > now + LEEWAY:
        raise ProviderError("the ID token is from the future: do the clocks agree?")
    if made < now - _OLDEST - LEEWAY:
        raise ProviderError("the ID token is older than this login")
    if "nbf" in claims and _time(claims, "nbf") > now + LEEWAY:
        raise ProviderError("the ID token does not hold yet: do the clocks agree?")


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    # A number may also be infinite, none at all, or of hundreds of digits.
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < _LATEST:
        raise ProviderError(f"the ID token's {name} is {shown(value)}, which is no time")
    return value
