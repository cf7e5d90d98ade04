"""Secrets that must not be printed: a process-wide registry, and the text filter that uses it.

Settings register what they load; the loader registers the secrets of plugins' settings. Whoever writes
text that leaves the process (logs, errors, the command line) passes it through `redact`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["MASK", "conceal", "masked", "names_secret", "redact", "register", "register_model"]

MASK = "***"
MINIMUM_LENGTH = 6  # shorter values occur by chance in ordinary text
SERVER_SCHEMES = ("redis", "amqp", "pyamqp", "postgresql", "sqlite", "sentinel", "memory", "filesystem")

# Each pattern begins with fixed letters, and what it repeats before it may fail has a bound: the time that it
# takes grows with the length of the text and no faster, whatever the text (a test looks at each).
_USERINFO = re.compile(r"(?<=[a-zA-Z0-9+.\-])(://[^\s:/@?#\"']{0,256}):[^\s/\"']{1,4096}@")
_ASSIGNED = re.compile(r"((?:password|passwd|token|secret|api_?key|[?&]key)=)[^&\s\"'<>]++", re.IGNORECASE)
_BEARER = re.compile(r"((?:authorization\W{1,4}(?:bearer|basic)|bearer)\s{1,8})[^\s,\"']++", re.IGNORECASE)
_API_KEY = re.compile(r"\bsk-[A-Za-z0-9_\-]{8}[A-Za-z0-9_\-]*+")

_SECRET_WORDS = frozenset(
    (
        *("password", "passwd", "passphrase", "pwd", "secret", "secrets"),
        *("authorization", "credential", "credentials", "apikey"),
    )
)
_SECRET_ENDS = (("token",), ("api", "key"), ("private", "key"), ("access", "key"), ("secret", "key"))
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_DEEPEST = 100  # lists and tables within one another that are looked into

_lock = Lock()
_secrets: set[str] = set()
_longest_first: tuple[str, ...] = ()


def register(secret: str) -> None:
    """Have `redact` replace `secret` from now on, in any of the spellings that it may be printed in.

    Values of fewer than 6 characters are not registered. The address of a server counts as secret only
    in its password, so that messages can still say which server they are about.
    """
    global _longest_first
    with _lock:
        new = {spelling for spelling in _spellings(secret) if len(spelling) >= MINIMUM_LENGTH} - _secrets
        if new:
            _secrets.update(new)
            _longest_first = tuple(sorted(_secrets, key=len, reverse=True))


def conceal(secret: str) -> None:
    """Have all that this process logs, tells and shows say `***` in place of `secret` from now on.

    For secrets that come from elsewhere than the settings, whose own are known already. A value of fewer than
    6 characters is not concealed: it occurs by chance.
    """
    register(secret)


def register_model(model: BaseModel) -> None:
    """Register every `SecretStr` (and `SecretBytes`) in a pydantic model, at any depth."""
    for value in vars(model).values():
        _register_value(value)
    for value in (model.__pydantic_extra__ or {}).values():
        _register_value(value)


def redact(text: str) -> str:
    """Return `text` with registered secrets and whatever looks like a credential replaced by `***`.

    To be given values, not the JSON that they are encoded in, which a replacement could break.
    """
    for secret in _longest_first:
        if secret in text:
            text = text.replace(secret, MASK)
    if "://" in text:
        text = _USERINFO.sub(rf"\1:{MASK}@", text)
    if "=" in text:
        text = _ASSIGNED.sub(rf"\1{MASK}", text)
    if "sk-" in text:
        text = _API_KEY.sub(MASK, text)
    lowered = text.lower()
    if "bearer" in lowered or "basic" in lowered:
        text = _BEARER.sub(rf"\1{MASK}", text)
    return text


def names_secret(name: str) -> bool:
    """Whether the value of this name is a secret: `password`, `apiKey`, `access_token`, not `max_tokens`."""
    words = tuple(word.lower() for word in _WORDS.findall(name[:200]))
    return not _SECRET_WORDS.isdisjoint(words) or any(words[-len(end) :] == end for end in _SECRET_ENDS)


def masked(value: Any) -> Any:
    """Return JSON-like data with the values under names such as `password` or `token` replaced by `***`.

    None and truth values stay: they are no secrets.
    """
    return _masked(value, _DEEPEST)


def named_secrets(value: Any) -> tuple[str, ...]:
    """Return the texts in JSON-like data that stand under names such as `password`, the longest first.

    Those of fewer than 6 characters are left out: they occur by chance in ordinary text.
    """
    found: set[str] = set()
    _find_named(value, found, False, _DEEPEST)
    return tuple(sorted(found, key=len, reverse=True))


def _find_named(value: Any, found: set[str], named: bool, depth: int) -> None:
    if isinstance(value, str):
        if named and len(value) >= MINIMUM_LENGTH:
            found.add(value)
    elif depth and isinstance(value, Mapping):
        for name, inner in value.items():
            _find_named(inner, found, named or names_secret(str(name)), depth - 1)
    elif depth and isinstance(value, list | tuple):
        for inner in value:
            _find_named(inner, found, named, depth - 1)


def without(value: Any, secrets: Sequence[str]) -> Any:
    """Return a text, or JSON-like data, with `***` in place of these secrets wherever they stand."""
    if not secrets:
        return value
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, MASK)
        return value
    if isinstance(value, Mapping):
        return {name: without(inner, secrets) for name, inner in value.items()}
    return [without(inner, secrets) for inner in value] if isinstance(value, list | tuple) else value


def _masked(value: Any, depth: int) -> Any:
    if depth == 0:
        return value
    if isinstance(value, Mapping):
        return {
            name: MASK
            if names_secret(str(name)) and not (inner is None or isinstance(inner, bool))
            else _masked(inner, depth - 1)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_masked(inner, depth - 1) for inner in value]
    return value


def _register_value(value: Any) -> None:
    from pydantic import BaseModel, SecretBytes, SecretStr

    if isinstance(value, SecretStr):
        register(value.get_secret_value())
    elif isinstance(value, SecretBytes):
        register(value.get_secret_value().decode(errors="replace"))
    elif isinstance(value, BaseModel):
        register_model(value)
    elif isinstance(value, dict):
        for item in value.values():
            _register_value(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            _register_value(item)


def _spellings(secret: str) -> set[str]:
    """The secret as it is, percent-encoded and as a JSON string."""
    scheme = secret.partition("://")[0]
    if "://" in secret:
        password = _password(secret)
        whole = set() if scheme.startswith(SERVER_SCHEMES) else {secret}
        return whole | ({password, unquote(password)} if password else set())
    return {secret, quote(secret, safe="", errors="surrogatepass"), json.dumps(secret)[1:-1]}


def _password(url: str) -> str | None:
    try:
        return urlsplit(url).password
    except ValueError:  # not a URL after all, e.g. an unclosed IPv6 bracket
        return url.partition("://")[2]
