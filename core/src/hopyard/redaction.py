"""Secrets that must not be printed: a process-wide registry, and the text filter that uses it.

Settings register what they load; the loader registers the secrets of plugins' settings. Whoever writes
text that leaves the process (logs, errors, the command line) passes it through `redact`.
"""

from __future__ import annotations

import json
import re
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["MASK", "redact", "register", "register_model"]

MASK = "***"
MINIMUM_LENGTH = 6  # shorter values occur by chance in ordinary text
SERVER_SCHEMES = ("redis", "amqp", "pyamqp", "postgresql", "sqlite", "sentinel", "memory", "filesystem")

_USERINFO = re.compile(r"([a-zA-Z][a-zA-Z0-9+.\-]*://[^\s:/@?#\"']*):[^\s/\"']+@")
_QUERY = re.compile(r"([?&](?:password|passwd|token|secret|api_?key|key)=)[^&\s\"'<>]+", re.IGNORECASE)
_BEARER = re.compile(r"(\b(?:authorization\W{1,4}(?:bearer|basic)|bearer)\s+)[^\s,\"']+", re.IGNORECASE)
_API_KEY = re.compile(r"\bsk-[A-Za-z0-9_\-]{8,}")

_lock = Lock()
_secrets: set[str] = set()
_pattern: re.Pattern[str] | None = None


def register(secret: str) -> None:
    """Have `redact` replace `secret` from now on, in any of the spellings that it may be printed in.

    Values of fewer than 6 characters are not registered. The address of a server counts as secret only
    in its password, so that messages can still say which server they are about.
    """
    global _pattern
    with _lock:
        new = {spelling for spelling in _spellings(secret) if len(spelling) >= MINIMUM_LENGTH} - _secrets
        if new:
            _secrets.update(new)
            longest_first = sorted(_secrets, key=len, reverse=True)
            _pattern = re.compile("|".join(map(re.escape, longest_first)))


def register_model(model: BaseModel) -> None:
    """Register every `SecretStr` (and `SecretBytes`) in a pydantic model, at any depth."""
    for value in vars(model).values():
        _register_value(value)
    for value in (model.__pydantic_extra__ or {}).values():
        _register_value(value)


def redact(text: str) -> str:
    """Return `text` with registered secrets and whatever looks like a credential replaced by `***`."""
    if _pattern is not None:
        text = _pattern.sub(MASK, text)
    if "://" in text:
        text = _USERINFO.sub(rf"\1:{MASK}@", text)
    if "=" in text:
        text = _QUERY.sub(rf"\1{MASK}", text)
    if "sk-" in text:
        text = _API_KEY.sub(MASK, text)
    lowered = text.lower()
    if "bearer" in lowered or "basic" in lowered:
        text = _BEARER.sub(rf"\1{MASK}", text)
    return text


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
    return {secret, quote(secret, safe=""), json.dumps(secret)[1:-1]}


def _password(url: str) -> str | None:
    try:
        return urlsplit(url).password
    except ValueError:  # not a URL after all, e.g. an unclosed IPv6 bracket
        return url.partition("://")[2]
