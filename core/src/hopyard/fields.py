"""Types of settings that several plugins have: addresses of servers, secrets that are sent as they stand."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

__all__ = ["BaseUrl", "Credential", "Origin", "Secret", "Url"]


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not right or re.search(r"\s", value):
        raise ValueError("expected an address such as https://api.example.com/v1")
    if parts.username is not None or parts.password is not None:
        raise ValueError("expected an address without a user and a password in it")
    return value


def _base(value: str) -> str:
    if "?" in value or "#" in value:
        raise ValueError("expected an address without ? and #: paths are put behind it")
    return _url(value)


def _origin(value: str) -> str:
    if urlsplit(_base(value)).path not in ("", "/"):
        raise ValueError("expected an address without a path, such as https://files.example.com")
    return value


def _credential(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]+", value.get_secret_value()):
        raise ValueError("expected printable ASCII characters without spaces")
    return value


def _filled(value: SecretStr) -> SecretStr:
    if not value.get_secret_value() or re.search(r"[\r\n\0]", value.get_secret_value()):
        raise ValueError("expected some characters, without line breaks")
    return value


#: An http or https address, without a user and a password in it.
Url = Annotated[str, AfterValidator(_url)]
#: An address behind which paths are put.
BaseUrl = Annotated[str, AfterValidator(_base)]
#: Scheme, host and port.
Origin = Annotated[str, AfterValidator(_origin)]
#: A secret that is sent in a header as it stands.
Credential = Annotated[SecretStr, AfterValidator(_credential)]
#: A secret that is not empty and has no line breaks.
Secret = Annotated[SecretStr, AfterValidator(_filled)]
