"""ID tokens: whatever is done to one, it is refused; only the one that the provider made for this login is
taken."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import string
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("joserfc")

from hopyard.errors import ProviderError
from hopyard.web.oidc import tokens
from hypothesis import given
from hypothesis import strategies as st
from joserfc.errors import SecurityWarning
from joserfc.jwk import Key, RSAKey
from oidc_provider import encoded, new_key, token_of

NOW: Final = 1_800_000_000.0
ISSUER: Final = "https://id.example.com"
NONCE: Final = "n" * 43
RSA: Final = cast(RSAKey, new_key("RS256", "first"))
EC: Final = new_key("ES256", "ec")
STRANGER: Final = new_key("RS256", "first")
CLAIMS: Final[Mapping[str, Any]] = {
    "iss": ISSUER,
    "aud": "hopyard",
    "exp": NOW + 300,
    "iat": NOW,
    "nonce": NONCE,
    "sub": "ada",
}


def published(*keys: Key) -> dict[str, Any]:
    """Return a document of public keys."""
    found: list[Any] = [key.as_dict(private=False) for key in keys]
    return {"keys": found}


KEYS: Final = tokens.Keys(published(RSA, EC))


def judged(token: Any, keys: tokens.Keys = KEYS) -> dict[str, Any]:
    """Judge a token as `Provider.claims` does. Raises `ProviderError`."""
    header = tokens.header_of(token)
    key = keys.find(header)
    if key is None:
        raise ProviderError("no such key")
    claims = tokens.signed(token, header, key)
    tokens.check(claims, issuer=ISSUER, client="hopyard", nonce=NONCE, now=NOW)
    return claims


def test_the_token_of_this_login_is_taken() -> None:
    assert judged(token_of(CLAIMS, RSA)) == CLAIMS
    assert judged(token_of(CLAIMS, EC, "ES256", "ec")) == CLAIMS
    assert judged(token_of(CLAIMS, RSA, x5t="a", typ="JWT", more=1)) == CLAIMS  # unknown words mean nothing
    alone = tokens.Keys(published(RSA))
    assert judged(token_of(CLAIMS, RSA, kid=None), alone) == CLAIMS


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["hopyard"]},
        {"aud": ["hopyard", "other"], "azp": "hopyard"},
        {"azp": "hopyard"},
        {"exp": NOW - 59},
        {"iat": NOW + 59},
        {"iat": NOW - 900},
        {"nbf": NOW},
        {"more": [{"deep": [1]}]},
    ],
)
def test_claims_that_are_right_in_other_ways(claims: dict[str, Any]) -> None:
    assert judged(token_of({**CLAIMS, **claims}, RSA))["sub"] == "ada"


_NO_TIME: Final = st.one_of(
    st.none(), st.booleans(), st.text(max_size=5), st.just(10**400), st.just([NOW]), st.just(str(NOW))
)
_OTHER: Final[st.SearchStrategy[Any]] = st.one_of(
    st.none(), st.integers(), st.text(max_size=8), st.lists(st.text(max_size=3), max_size=3), st.just({})
)
#: Claims of which each makes a token one for nobody.
WRONG_CLAIMS: Final = st.one_of(
    st.fixed_dictionaries({"iss": _OTHER | st.sampled_from([ISSUER + "/", ISSUER.upper(), [ISSUER]])}),
    st.fixed_dictionaries({"aud": _OTHER | st.sampled_from(["hopyard ", "Hopyard", {"hopyard": 1}])}),
    st.fixed_dictionaries({"aud": st.just(["hopyard", "other"])}),
    st.fixed_dictionaries({"azp": st.sampled_from(["other", "", 0, False, ["hopyard"], {}])}),
    st.fixed_dictionaries({"aud": st.just(["hopyard", "other"]), "azp": st.just("other")}),
    st.fixed_dictionaries({"nonce": _OTHER | st.sampled_from([NONCE[:-1], NONCE + "n", [NONCE]])}),
    st.fixed_dictionaries({"exp": st.floats(-1e12, NOW - 60) | _NO_TIME}),
    st.fixed_dictionaries({"iat": st.floats(-1e12, NOW - 961) | st.floats(NOW + 61, 1e300) | _NO_TIME}),
    st.fixed_dictionaries({"nbf": st.floats(NOW + 61, 1e300) | _NO_TIME}),
    st.fixed_dictionaries({"sub": st.sampled_from([None, "", 7, ["ada"], "a" * 256])}),
)


@given(WRONG_CLAIMS)
def test_a_claim_that_is_wrong_is_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(ProviderError):
        judged(token_of({**CLAIMS, **claims}, RSA))


@given(st.sampled_from(["iss", "aud", "exp", "iat", "nonce", "sub"]))
def test_a_claim_that_is_missing_is_refused(name: str) -> None:
    with pytest.raises(ProviderError):
        judged(token_of({key: value for key, value in CLAIMS.items() if key != name}, RSA))


def _unsigned(header: Any, claims: Any = CLAIMS, signature: str = "") -> str:
    return f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(claims).encode())}.{signature}"


def _by_secret(secret: bytes, algorithm: str = "HS256") -> str:
    """Sign with a secret that is none: what is public."""
    signed = _unsigned({"alg": algorithm, "kid": "first"})[:-1]
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[algorithm]
    return f"{signed}.{encoded(hmac.new(secret, signed.encode(), digest).digest())}"


def _relabelled(token: str, **header: Any) -> str:
    """Change the header of a signed token, and leave the rest as it is."""
    first, rest = token.split(".", 1)
    known = json.loads(base64.urlsafe_b64decode(first + "=="))
    return f"{encoded(json.dumps(known | header).encode())}.{rest}"


def _own_key(claims: Any) -> str:
    """Bring along the key with which it is signed, as some libraries have believed."""
    return token_of(claims, STRANGER, jwk=STRANGER.as_dict(private=False))


GOOD: Final = token_of(CLAIMS, RSA)
FORGED: Final[dict[str, Callable[[], Any]]] = {
    "none": lambda: _unsigned({"alg": "none"}),
    "none with a key": lambda: _unsigned({"alg": "none", "kid": "first"}, signature="AA"),
    "None": lambda: _unsigned({"alg": "None", "kid": "first"}, signature=GOOD.split(".")[2]),
    "no algorithm": lambda: _unsigned({"kid": "first"}, signature=GOOD.split(".")[2]),
    "a list of algorithms": lambda: _unsigned({"alg": ["RS256"]}, signature=GOOD.split(".")[2]),
    "by the public key as PEM": lambda: _by_secret(RSA.as_pem(private=False)),
    "by the public key as DER": lambda: _by_secret(RSA.as_der(private=False), "HS512"),
    "by the public key as JSON": lambda: _by_secret(json.dumps(RSA.as_dict(private=False)).encode(), "HS384"),
    "by the modulus": lambda: _by_secret(str(RSA.as_dict(private=False)["n"]).encode()),
    "another key of that name": lambda: token_of(CLAIMS, STRANGER),
    "another key of another name": lambda: token_of(CLAIMS, STRANGER, kid="stranger"),
    "a key that it brings": lambda: _own_key(CLAIMS),
    "a key somewhere else": lambda: token_of(CLAIMS, STRANGER, jku="https://evil.test/keys", x5u="https://x"),
    "another algorithm of the key": lambda: _relabelled(GOOD, alg="RS512"),
    "PSS for PKCS": lambda: _relabelled(GOOD, alg="PS256"),
    "the key of another kind": lambda: token_of(CLAIMS, EC, "ES256", "first"),
    "another key's name": lambda: _relabelled(GOOD, kid="ec"),
    "a name that is a number": lambda: _relabelled(GOOD, kid=1),
    "a path for a name": lambda: _relabelled(GOOD, kid="../../dev/null"),
    "an extension": lambda: token_of(CLAIMS, RSA, crit=["kid"]),
    "no base64": lambda: token_of(json.dumps(CLAIMS).encode(), RSA, b64=False, crit=["b64"]),
    "a token in a token": lambda: token_of(GOOD.encode(), RSA, cty="JWT"),
    "encrypted": lambda: f"{GOOD}.{GOOD.split('.')[0]}.AA",
    "two parts": lambda: GOOD.rpartition(".")[0],
    "no signature": lambda: GOOD.rpartition(".")[0] + ".",
    "a null signature": lambda: f"{GOOD.rpartition('.')[0]}.{encoded(bytes(256))}",
    "an ECDSA signature of zeros": lambda: (
        f"{token_of(CLAIMS, EC, 'ES256', 'ec').rpartition('.')[0]}.{encoded(bytes(64))}"
    ),
    "empty": lambda: "",
    "no text": lambda: 7,
    "nothing": lambda: None,
    "bytes": lambda: GOOD.encode(),
    "a line more": lambda: GOOD + "\n",
    "padded": lambda: GOOD + "==",
    "other letters": lambda: GOOD.replace(".", "．"),
    "huge": lambda: token_of({**CLAIMS, "x": "x" * 200_000}, RSA),
    "a huge header": lambda: token_of(CLAIMS, RSA, x="x" * 200_000),
    "no object": lambda: token_of(b"[1]", RSA),
    "no JSON": lambda: token_of(b"\xff{", RSA),
    "deep": lambda: token_of(b"[" * 50_000, RSA),
    "long number": lambda: token_of(b'{"exp": ' + b"9" * 5_000 + b"}", RSA),
    "infinite": lambda: token_of(json.dumps(dict(CLAIMS)).replace("1800000300.0", "Infinity").encode(), RSA),
    "not a number": lambda: token_of(json.dumps(dict(CLAIMS)).replace("1800000300.0", "NaN").encode(), RSA),
}


@pytest.mark.parametrize("how", FORGED)
def test_a_forged_token_is_refused(how: str) -> None:
    with pytest.raises(ProviderError):
        judged(FORGED[how]())


@given(st.data())
def test_no_letter_of_what_is_signed_can_be_changed(data: st.DataObject) -> None:
    signed = GOOD.rindex(".")
    place = data.draw(st.integers(0, signed - 1))
    letter = data.draw(st.sampled_from(string.ascii_letters + string.digits + "-_."))
    changed = GOOD[:place] + letter + GOOD[place + 1 :]
    if changed != GOOD:
        with pytest.raises(ProviderError):
            judged(changed)


def _parts(parts: list[bytes]) -> str:
    return ".".join(map(encoded, parts))


@given(st.text(max_size=300) | st.lists(st.binary(max_size=60), min_size=1, max_size=5).map(_parts))
def test_text_that_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(ProviderError):
        judged(text)


_JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
_MEMBERS: Final = st.dictionaries(
    st.sampled_from(["kty", "n", "e", "crv", "x", "y", "kid", "use", "alg", "key_ops", "d", "k"]),
    _JSON
    | st.sampled_from(["RSA", "EC", "OKP", "oct", "AQAB", "P-256", "first", "sig", ["verify"], "RS256"]),
)


@given(
    _JSON | st.fixed_dictionaries({"keys": _JSON | st.lists(_MEMBERS, max_size=3)}),
    st.sampled_from([RSA, EC]),
)
def test_keys_of_any_shape_make_no_token_right(document: Any, key: Key) -> None:
    algorithm = "RS256" if key is RSA else "ES256"
    with pytest.raises(ProviderError):
        judged(token_of(CLAIMS, key, algorithm), tokens.Keys(document))


def test_keys_that_are_too_short_or_may_be_several_are_not_taken() -> None:
    with pytest.warns(SecurityWarning):
        short = RSAKey.generate_key(1024, {"kid": "first"})
    with pytest.raises(ProviderError, match="2,048 bits"):
        judged(GOOD, tokens.Keys(published(short)))
    with pytest.raises(ProviderError, match="no such key"):
        judged(GOOD, tokens.Keys(published(RSA, STRANGER)))
    with pytest.raises(ProviderError, match="at most 100"):
        tokens.Keys({"keys": [{}] * 101})
