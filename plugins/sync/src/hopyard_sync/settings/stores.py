"""Settings of Notion, of mailboxes, and of connections that other plugins bring."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from hopyard.fields import BaseUrl, Credential, Secret
from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator

from hopyard_sync.settings.common import YEAR, Connection, OAuth2

_OWN_KINDS = {
    "caldav": "calendars",
    "google": "calendars",
    "imap": "mailboxes",
    "microsoft": "calendars",
    "notion": "notion",
    "rest": "apis",
}


class NotionConnection(Connection):
    """A Notion integration and what it may see."""

    every: float = Field(7200.0, ge=1, le=YEAR, description="Seconds between two runs.")
    token: Credential = Field(description="Of the integration.")
    url: BaseUrl = Field("https://api.notion.com", description="Of the API.")
    overlap: float = Field(
        300.0, ge=60, le=86_400, description="Seconds that are read again: Notion's times are whole minutes."
    )
    full_every: float = Field(
        7 * 86_400.0, gt=0, le=YEAR, description="Seconds after which all is read, which finds what is gone."
    )
    requests_per_second: float = Field(3.0, gt=0, le=50, description="Of all workers together.")
    max_blocks: int = Field(2000, ge=1, le=100_000, description="Blocks of one page that are read.")
    max_depth: int = Field(10, ge=1, le=50, description="Blocks within blocks that are looked into.")
    most_deletions: float = Field(0.5, gt=0, le=1, description="The share of pages that may be gone at once.")


class MailboxConnection(Connection):
    """A mailbox that is read by IMAP."""

    host: str = Field(
        pattern=r"^(?:[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45})$", description="The server, without a port."
    )
    port: int = Field(993, ge=1, le=65535, description="993 is for TLS from the start, 143 for STARTTLS.")
    security: Literal["tls", "starttls"] = Field(
        "tls", description="There is no way without: passwords and mail do not travel in clear."
    )
    ca_file: str | None = Field(None, description="A file with the authorities to trust, in PEM.")
    user: str = Field(min_length=1, description="The account.")
    password: Secret | None = Field(None, description="Of the account.")
    oauth: OAuth2 | None = Field(None, description="In the place of the password (XOAUTH2).")
    folders: tuple[Annotated[str, StringConstraints(min_length=1)], ...] = Field(
        ("*",), min_length=1, description="Names or patterns; `!name` takes one out."
    )
    max_message_bytes: int = Field(
        10_000_000, ge=1000, le=500_000_000, description="Of longer messages only so much is kept."
    )
    max_messages: int = Field(
        100_000, ge=1, le=100_000_000, description="Messages that one run reads; the next one goes on."
    )
    timeout: float = Field(30.0, gt=0, le=600, description="Seconds for one answer.")

    @field_validator("ca_file")
    @classmethod
    def _is_there(cls, value: str | None) -> str | None:
        if value is not None and not os.path.isfile(value):
            raise ValueError("expected a file that is there")
        return value

    @model_validator(mode="after")
    def _one_way_in(self) -> MailboxConnection:
        if (self.password is None) == (self.oauth is None):
            raise ValueError("expected either `password` or `oauth`")
        return self


class OtherConnection(Connection):
    """A connection of a kind that another plugin brings (`register_connectors`)."""

    kind: str = Field(min_length=1, description="The connector's.")
    options: dict[str, Any] = Field(default_factory=dict, description="What the connector asks for.")
    secrets: dict[str, SecretStr] = Field(
        default_factory=dict, description="What of it must not be shown, by name."
    )

    @model_validator(mode="after")
    def _said_once(self) -> OtherConnection:
        if twice := self.options.keys() & self.secrets.keys():
            raise ValueError(
                f"{', '.join(sorted(twice))}: expected it in `options` or in `secrets`, not in both"
            )
        return self

    @field_validator("kind")
    @classmethod
    def _anothers(cls, value: str) -> str:
        if value in _OWN_KINDS:
            raise ValueError(
                f"expected a kind of another plugin; {value} has its own section: {_OWN_KINDS[value]}"
            )
        return value
