"""What the settings of all connections have in common."""

from __future__ import annotations

import re
from typing import Annotated, Final
from urllib.parse import urlsplit

from hopyard import PluginSettings
from pydantic import AfterValidator, Field, SecretStr, model_validator

YEAR: Final = 366 * 86_400.0


def _address(value: str) -> str:
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


Url = Annotated[str, AfterValidator(_address)]


def _base(value: str) -> str:
    if "?" in value or "#" in value:
        raise ValueError("expected an address without ? and #: paths are put behind it")
    return _address(value)


#: An address behind which paths are put.
BaseUrl = Annotated[str, AfterValidator(_base)]


def _origin(value: str) -> str:
    if urlsplit(_address(value)).path not in ("", "/") or "?" in value or "#" in value:
        raise ValueError("expected an address without a path, such as https://files.example.com")
    return value


#: Scheme, host and port.
Origin = Annotated[str, AfterValidator(_origin)]


def _credential(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]+", value.get_secret_value()):
        raise ValueError("expected printable ASCII characters without spaces")
    return value


#: A secret that is sent in a header as it stands.
Credential = Annotated[SecretStr, AfterValidator(_credential)]


def _filled(value: SecretStr) -> SecretStr:
    if not value.get_secret_value() or re.search(r"[\r\n\0]", value.get_secret_value()):
        raise ValueError("expected some characters, without line breaks")
    return value


#: A secret that is not empty.
Secret = Annotated[SecretStr, AfterValidator(_filled)]


class Connection(PluginSettings):
    """Something that is kept in step: whose it is, and how often."""

    person: str | None = Field(
        None,
        description="Whose it is: who is told when it needs them, and who may ask what is in it. "
        "Without it both are left to operators.",
    )
    every: float = Field(3600.0, ge=1, le=YEAR, description="Seconds between two runs.")
    enabled: bool = Field(True, description="Whether it runs by itself.")


class OAuth2(PluginSettings):
    """An OAuth2 client (RFC 6749): by a refresh token, or by its own credentials where there is none."""

    token_url: Url = Field(description="Where access tokens are had.")
    client_id: str = Field(description="As it was registered.")
    client_secret: SecretStr | None = Field(None, description="None for public clients.")
    refresh_token: SecretStr | None = Field(
        None, description="Got when the person agreed; without it, the client's own credentials are used."
    )
    scope: str | None = Field(None, description="What is asked for; the server's default unless given.")

    @model_validator(mode="after")
    def _has_a_grant(self) -> OAuth2:
        if self.client_secret is None and self.refresh_token is None:
            raise ValueError("expected a `refresh_token` or a `client_secret`: nothing else gives tokens")
        return self
