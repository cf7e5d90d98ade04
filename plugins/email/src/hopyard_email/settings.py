"""The plugin's settings: accounts to send from, mailboxes to sort, limits, templates."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal

from hopyard import PluginSettings
from hopyard.errors import InvalidInput
from pydantic import AfterValidator, Field, field_validator, model_validator

from hopyard_email.addresses import parse_address
from hopyard_email.limits import Limit
from hopyard_email.servers import Account, Dkim, Mailbox, OAuth, Proof, Rate, Sender, Server

__all__ = [
    "Account",
    "Dkim",
    "EmailSettings",
    "Incoming",
    "IncomingRule",
    "Mailbox",
    "OAuth",
    "Proof",
    "Sandbox",
    "Server",
    "Summary",
    "Template",
]

_TIME: Final = re.compile(r"([01]?[0-9]|2[0-3]):[0-5][0-9]")
_UNSUBSCRIBE: Final = re.compile(r"https://[!-;=?-~]{1,900}")
_LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def _time(value: str) -> str:
    if not _TIME.fullmatch(value):
        raise ValueError("expected a time of the day such as 08:00")
    return value


def _hours(value: str) -> str:
    begin, dash, end = value.partition("-")
    if not dash or not _TIME.fullmatch(begin) or not _TIME.fullmatch(end):
        raise ValueError("expected hours such as 22:00-07:00")
    if begin.zfill(5) == end.zfill(5):
        raise ValueError("expected hours such as 22:00-07:00, which do not end when they begin")
    return value


def _domain(name: str) -> str:
    try:
        return parse_address(f"x@{name}", "domain").domain
    except InvalidInput:
        raise ValueError(f'found {name[:100]!r}, expected a domain such as example.org, or "*"') from None


def _label(value: str) -> str:
    if not _LABEL.fullmatch(value):
        raise ValueError("expected letters, digits, `_`, `.` and `-`, at most 64")
    return value


Label = Annotated[str, AfterValidator(_label)]


class Template(PluginSettings):
    """A template in the settings. Each part is Jinja2; `text` is made from `html` unless given."""

    subject: str = Field("", description="The subject.")
    html: str | None = Field(None, description="The HTML part.")
    text: str | None = Field(None, description="The text part.")


class Sandbox(PluginSettings):
    """Nothing reaches its recipients: all mail goes to one address, or into files."""

    to: Sender | None = Field(None, description="The address that gets all mail.")
    folder: Path | None = Field(None, description="The folder that gets a file for each mail.")

    @model_validator(mode="after")
    def _one(self) -> Sandbox:
        if (self.to is None) == (self.folder is None):
            raise ValueError("expected either `to` or `folder`")
        return self


class IncomingRule(PluginSettings):
    """A label for the mails that fit all of the given patterns (`*` and `?`, capitals do not matter)."""

    label: Label = Field(description="What such a mail gets.")
    sender: str | None = Field(None, description="Pattern of the address in From.")
    to: str | None = Field(None, description="Pattern of an address in To or Cc.")
    subject: str | None = Field(None, description="Pattern of the subject.")
    text: str | None = Field(None, description="Words that stand in the text.")
    headers: dict[str, str] = Field(default_factory=dict, description="Patterns by header.")
    kind: Literal["bounce", "complaint", "list", "automatic", "personal"] | None = Field(
        None, description="What kind of mail it is."
    )
    move: str | None = Field(None, min_length=1, max_length=200, description="The folder it is moved to.")
    flag: str | None = Field(
        None, pattern=r"^(\\Flagged|\\Seen|\\Answered|[A-Za-z0-9_$-]{1,64})$", description="The flag it gets."
    )
    stop: bool = Field(False, description="No later rule is looked at.")


class Incoming(Mailbox):
    """A mailbox whose mail is sorted."""

    rules: tuple[IncomingRule, ...] = Field((), description="Tried in order; a mail may get several labels.")
    labels: tuple[Label, ...] = Field(
        (),
        description="What the classifier chooses among for mails that no rule fits; none: it is not asked.",
    )
    classifier: str = Field(
        "ai.classify",
        description="The task that chooses: (text: str, labels: list[str]) → one of the labels.",
    )
    backlog: int = Field(
        500, ge=0, le=100_000, description="Of the mails that are there the first time, so many are read."
    )
    idle: float = Field(
        0.0, ge=0, le=1200, description="Seconds that a job waits for new mail, where the server offers IDLE."
    )
    max_bytes: int = Field(
        10_000_000, ge=10_000, le=100_000_000, description="Of a larger mail only the headers are read."
    )


class Summary(PluginSettings):
    """The daily summary by mail of what a person was told."""

    people: tuple[str, ...] = Field((), description='Who gets it: keys of [people]; "*" for all of them.')
    at: Annotated[str, AfterValidator(_time)] = Field("08:00", description="When, in the person's zone.")
    quiet: dict[str, Annotated[str, AfterValidator(_hours)]] = Field(
        default_factory=dict, description="Quiet hours by person, as 22:00-07:00: it comes after them."
    )


class EmailSettings(PluginSettings):
    """How mail goes out, and how what comes in is sorted."""

    accounts: dict[str, Account] = Field(default_factory=dict, description="Ways out for mail, by name.")
    default_account: str | None = Field(
        None, description="Taken where no other fits; the only one unless given."
    )
    domain_limits: dict[str, Rate] = Field(
        default_factory=dict,
        description='How many mails in how long, by recipient\'s domain; "*" for each other.',
    )
    addresses: dict[str, Sender] = Field(
        default_factory=dict, description="Mail addresses by person, where no mailto channel has them."
    )
    channel: bool = Field(
        True, description="Serve mailto:// channels of people; false leaves them to Apprise."
    )
    templates: Path | None = Field(
        None, description="The folder of templates: NAME.html, NAME.txt, NAME.subject."
    )
    inline_templates: dict[str, Template] = Field(default_factory=dict, description="Templates by name.")
    attachment_roots: tuple[Path, ...] = Field((), description="Folders whose files may be attached.")
    unsubscribe: str | None = Field(
        None,
        description="One-click address for List-Unsubscribe, https://… with {id} and {address} in it.",
    )
    max_recipients: int = Field(50, gt=0, le=1000, description="Recipients of one mail.")
    max_bytes: int = Field(10_000_000, ge=10_000, le=50_000_000, description="A whole mail, encoded.")
    give_up_after: float = Field(
        4.0, gt=0, le=60, description="Days for which a mail that is put off is tried."
    )
    retry_after: float = Field(
        60.0,
        gt=0,
        le=86_400,
        description="Seconds after which a mail that was put off is tried; then twice "
        "as many, and so on, up to four hours.",
    )
    keep_content_days: float = Field(
        7.0, gt=0, le=3660, description="Days that the content of a mail is kept."
    )
    keep_days: float = Field(90.0, gt=0, le=3660, description="Days that its record and timeline are kept.")
    sandbox: Sandbox | None = Field(None, description="Let no mail reach its recipients.")
    incoming: dict[str, Incoming] = Field(
        default_factory=dict, description="Mailboxes that are sorted, by name."
    )
    summary: Summary = Field(default_factory=Summary, description="The daily summary.")
    sender_lease: float = Field(
        30.0, ge=2, le=600, description="Seconds without a sign after which a sender counts as dead."
    )

    @model_validator(mode="after")
    def _default(self) -> EmailSettings:
        name = self.default_account
        if name is not None and name not in self.accounts:
            raise ValueError(
                f"`default_account` is {name}, expected one of: {', '.join(self.accounts) or 'none'}"
            )
        if name is None and len(self.accounts) > 1:
            raise ValueError("expected `default_account`, because there are several accounts")
        if self.unsubscribe is not None and not _UNSUBSCRIBE.fullmatch(self.unsubscribe):
            raise ValueError(
                "expected `unsubscribe` to begin with https://, as RFC 8058 wants, in ASCII and without "
                "spaces and <>"
            )
        return self

    @field_validator("domain_limits")
    @classmethod
    def _domains(cls, given: dict[str, Limit]) -> dict[str, Limit]:
        """Return the limits by domains in the form in which letters have them."""
        found: dict[str, Limit] = {}
        for name, limit in given.items():
            domain = name if name == "*" else _domain(name)
            if domain in found:
                raise ValueError(f"{name}: this domain has two limits")
            found[domain] = limit
        return found

    def limit_for(self, domain: str) -> Limit | None:
        """Return the limit of a recipient's domain; None for none."""
        return self.domain_limits.get(domain) or self.domain_limits.get("*")
