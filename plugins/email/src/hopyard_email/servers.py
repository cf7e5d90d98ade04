"""Settings of servers: accounts that mail goes out by, mailboxes that are read, and logging in there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from hopyard import PluginSettings
from hopyard.errors import InvalidInput
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from hopyard_email.limits import Limit

_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
_IMAP_PORTS: Final = {"starttls": 143, "tls": 993, "none": 143}

_DNS_NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?")
#: Hosts of this machine, which a token's address may name without TLS.
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

Security = Literal["starttls", "tls", "none"]


def _limit(value: Any) -> Any:
    return Limit.parse(value) if isinstance(value, str) else value


def _address(value: str) -> str:
    from hopyard_email.addresses import parse_address

    try:
        return parse_address(value, "address").written
    except InvalidInput as error:
        raise ValueError(str(error)) from None


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("expected one line of text, without control characters")
    return value


def _file(value: Path) -> Path:
    if not value.is_file():
        raise ValueError(f"there is no file {value}")
    return value


def _dns_name(value: str) -> str:
    if not _DNS_NAME.fullmatch(value):
        raise ValueError("expected a name as it is in the DNS: ASCII letters, digits, `-`, `_` and `.`")
    return value


Rate = Annotated[Limit, BeforeValidator(_limit)]
Sender = Annotated[str, AfterValidator(_address)]
Line = Annotated[str, AfterValidator(_one_line)]
File = Annotated[Path, AfterValidator(_file)]
DnsName = Annotated[str, AfterValidator(_dns_name)]


class OAuth(PluginSettings):
    """How an access token for XOAUTH2 is had: a fixed one, or from the provider's token address."""

    token: SecretStr | None = Field(None, description="A fixed access token.")
    token_url: str | None = Field(None, description="Where tokens are asked for, https://….")
    client_id: str | None = Field(None, description="The application's id at the provider.")
    client_secret: SecretStr | None = Field(None, description="The application's secret.")
    refresh_token: SecretStr | None = Field(
        None, description="Of the person who allowed it; without it the application asks for itself."
    )
    scope: str | None = Field(None, description="What is asked for, as the provider names it.")

    @model_validator(mode="after")
    def _whole(self) -> OAuth:
        if self.token is None and not (self.token_url and self.client_id):
            raise ValueError("expected `token`, or `token_url` and `client_id`")
        if self.token_url is not None:
            place = urlsplit(self.token_url)
            if place.scheme != "https" and not (place.scheme == "http" and place.hostname in _LOOPBACK):
                raise ValueError("expected `token_url` to begin with https://: secrets are sent there")
        if self.token is not None and self.token_url:
            raise ValueError("expected either `token` or `token_url`, not both")
        return self


class Server(PluginSettings):
    """A server, and how one logs in there."""

    host: str = Field(min_length=1, max_length=253, description="The server's name.")
    port: int | None = Field(None, gt=0, lt=65536, description="Its port; the usual one unless given.")
    security: Security = Field(
        "starttls", description="`starttls`, `tls` (from the first byte), or `none`, without a password."
    )
    ca_file: File | None = Field(
        None, description="PEM file of the authorities that are trusted; the system's unless given."
    )
    user: str | None = Field(None, description="The name to log in with.")
    password: SecretStr | None = Field(None, description="The password to log in with.")
    oauth: OAuth | None = Field(None, description="Log in with a token (XOAUTH2) in a password's place.")
    timeout: float = Field(30.0, gt=0, le=600, description="Seconds for one answer of the server.")

    @model_validator(mode="after")
    def _login(self) -> Server:
        if self.password is not None and self.oauth is not None:
            raise ValueError("expected either `password` or `oauth`, not both")
        if (self.password or self.oauth) and not self.user:
            raise ValueError("expected `user` beside the password or token")
        if self.security == "none" and (self.password or self.oauth):
            raise ValueError("expected `starttls` or `tls`: a password is not sent in the clear")
        return self


class Mailbox(Server):
    """A mailbox that is read by IMAP."""

    security: Security = Field("tls", description="`tls` (from the first byte), `starttls`, or `none`.")
    folder: str = Field("INBOX", min_length=1, max_length=200, description="The folder that is read.")

    @model_validator(mode="after")
    def _owner(self) -> Mailbox:
        if self.password is None and self.oauth is None:
            raise ValueError("expected `user` and `password`, or `oauth`: a mailbox is read by who owns it")
        return self

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self.port or _IMAP_PORTS[self.security]


class Proof(Mailbox):
    """A folder in which a copy of each mail appears that the server took.

    A mail whose sending was interrupted is looked for there: the sent folder, where the server keeps it by
    itself, or a mailbox that gets a copy of all that goes out.
    """

    conclusive_after: float | None = Field(
        None,
        gt=0,
        le=7 * 86_400,
        description="Seconds after which a copy is there for certain. A mail that is not found by then was "
        "not sent, and is sent again. Without it, what is not found stays unknown.",
    )


class Dkim(PluginSettings):
    """Signing with DKIM, where mail goes straight to the recipients' servers."""

    domain: DnsName = Field(description="The domain that signs.")
    selector: DnsName = Field(description="The name of the key in the domain's DNS.")
    key_file: File = Field(description="PEM file with the private RSA key.")


class Account(Server):
    """A way out for mail: a server, whom it sends as, and how fast."""

    sender: Sender = Field(description="The address in From, as ada@example.org or Ada <ada@example.org>.")
    senders: tuple[Line, ...] = Field(
        (), description="Patterns of other From addresses that this account may send as: *@example.org."
    )
    bounces_to: Sender | None = Field(
        None, description="Where reports of non-delivery go; the address in From unless given."
    )
    limit: Rate | None = Field(
        None, description="How many mails in how long, such as 100/1m; for all workers."
    )
    connections: int = Field(2, gt=0, le=50, description="Connections of one worker at once.")
    proof: Proof | None = Field(None, description="Where a copy of each mail that was sent is found.")
    dkim: Dkim | None = Field(None, description="Sign with DKIM; needs hopyard-email[dkim].")

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self.port or _PORTS[self.security]
