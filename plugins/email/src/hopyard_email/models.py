"""What callers hand in, and what they get back."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field

State = Literal["queued", "claimed", "sending", "sent", "failed", "suppressed", "cancelled", "unknown"]
#: States after which nothing more happens by itself. `unknown` is over only once somebody resolves it.
OVER: tuple[State, ...] = ("sent", "failed", "suppressed", "cancelled")


class Attachment(BaseModel):
    """A file with a mail: its bytes in base64 as `data`, or the path of a `file` under a declared root."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = None
    """The name that the recipient sees; that of the file unless given."""
    type: str | None = None
    """Its media type, such as application/pdf; told from the name unless given."""
    data: str | None = None
    file: str | None = None
    inline: bool = False
    """Shown within the HTML part, which names it as `cid:NAME`."""


class Mail(BaseModel):
    """A mail as it is handed in. Each recipient gets a letter of their own, which may bounce alone."""

    model_config = ConfigDict(extra="forbid")

    to: list[str]
    subject: str = ""
    text: str | None = None
    html: str | None = None
    template: str | None = None
    values: dict[str, Any] = Field(default_factory=dict)
    cc: list[str] = Field(default_factory=list)
    bcc: list[str] = Field(default_factory=list)
    sender: str | None = None
    reply_to: str | None = None
    account: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    attachments: list[Attachment] = Field(default_factory=list)
    bulk: bool = False
    """Sent to many: it gets List-Unsubscribe headers, which needs the setting `unsubscribe`."""
    person: str | None = None
    """Whom it is for, where that is one person of the installation."""

    @classmethod
    def given(cls, **values: Any) -> Mail:
        """Return a mail of those of the values that are not None."""
        return cls(**{name: value for name, value in values.items() if value is not None})


class Letter(BaseModel):
    """A mail to one of its recipients, as the outbox knows it."""

    id: str
    mail: str
    """The id of the mail that it is a letter of."""
    message_id: str
    state: State
    account: str
    sender: str
    recipient: str
    domain: str
    subject: str
    due: datetime
    attempts: int
    reply: str | None
    """The server's last reply."""
    status: str | None
    """The enhanced status code of the reply, such as 5.1.1."""
    person: str | None
    created: datetime
    updated: datetime


class Outgoing(BaseModel):
    """A mail to one recipient as it is told to the person who had it sent, and to their model."""

    id: str
    recipient: str
    subject: str
    state: State
    due: datetime
    reply: str | None

    @classmethod
    def of(cls, letter: Letter) -> Outgoing:
        """Return a letter in this form."""
        return cls(**letter.model_dump(include={*cls.model_fields}))


class Happened(BaseModel):
    """One line of a letter's timeline."""

    at: datetime
    what: str
    detail: str


class Queued(BaseModel):
    """A mail that is in the outbox."""

    id: str
    letters: list[str]
    recipients: list[str]
    subject: str
    due: datetime
    new: bool
    """False where the same mail was there already."""
    asked_for: datetime | None = None
    """Where it was there already: the moment of this call, which changed nothing."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def summary(self) -> str:
        """What was done, in a sentence."""
        done = "is in the outbox" if self.new else "was in the outbox already"
        if self.asked_for is not None and abs((self.asked_for - self.due).total_seconds()) >= 1:
            done += f", for {self.due:%Y-%m-%d %H:%M} UTC, which stays"
        return f"The mail “{self.subject}” to {', '.join(self.recipients)} {done}."


class Processed(BaseModel):
    """What one run of the sender did, in letters."""

    sent: int = 0
    deferred: int = 0
    failed: int = 0
    suppressed: int = 0
    unknown: int = 0
    resolved: int = 0
    """Of those that were unknown, so many were found out about."""
    problems: list[str] = Field(default_factory=list)
    """What kept a whole account from sending."""


class Categorized(BaseModel):
    """What one run over the mailboxes did."""

    read: int = 0
    labels: dict[str, int] = Field(default_factory=dict)
    suppressed: list[str] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    """What could not be done, and why."""


class Summarized(BaseModel):
    """Who got a daily summary."""

    sent: list[str] = Field(default_factory=list)
    nothing_to_say: list[str] = Field(default_factory=list)
    problems: list[str] = Field(default_factory=list)
