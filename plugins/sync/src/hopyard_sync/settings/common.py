"""What the settings of all connections have in common."""

from __future__ import annotations

from typing import Final

from hopyard import PluginSettings
from hopyard.fields import Url
from pydantic import Field, SecretStr, model_validator

YEAR: Final = 366 * 86_400.0


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
