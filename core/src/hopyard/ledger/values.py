"""Plain values of the ledger: ids, times and the rows that its functions take and give."""

from __future__ import annotations

import json
import os
import re
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hopyard.specs import State

#: The message header by which a worker knows that the job stands in the ledger already.
MARK = "hopyard"
#: Namespace for Celery ids that are no UUIDs (any fixed UUID would do).
_FOREIGN = uuid.UUID("5d9f1f6e-0f5c-4c38-9d5a-6a1f0b6f8a11")
_CANONICAL = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new_id() -> str:
    """Return a UUIDv7 (RFC 9562 §5.7): 48 bits of Unix milliseconds, then random bits.

    Time-ordered keys keep inserts at the index's right edge.
    """
    stamp = f"{time.time_ns() // 1_000_000:012x}"
    return f"{stamp[:8]}-{stamp[8:]}-{random_text()}"


_drawn: list[str] = []


def random_text() -> str:
    """Return the 23 characters behind a UUIDv7's time: version 7, variant 2, and 74 random bits.

    A hundred are made of one call to the system.
    """
    try:
        return _drawn.pop()
    except IndexError:
        many = os.urandom(1000).hex()
        for n in range(0, 2000, 20):
            variant = "89ab"[int(many[n], 16) & 3]
            _drawn.append(f"7{many[n + 1 : n + 4]}-{variant}{many[n + 4 : n + 7]}-{many[n + 7 : n + 19]}")
        return _drawn.pop()


# A child must not give the ids that its parent will give.
os.register_at_fork(after_in_child=_drawn.clear)


def oldest_id(seconds: float) -> str:
    """Return an id that sorts before every time-ordered one that was made in the last `seconds`."""
    stamp = f"{max(0, int((time.time() - seconds) * 1000)):012x}"
    return f"{stamp[:8]}-{stamp[8:]}-0000-0000-000000000000"


def derived_id(*parts: str) -> str:
    """Return the id that the same parts always give; resubmitting it is refused as a duplicate.

    Where a part is a time-ordered id, the result sorts beside the first such (RFC 9562 §5.8: version 8).
    """
    # Halves of characters, which no encoding has, are written out.
    text = "\x1f".join(parts).encode(errors="backslashreplace").decode()
    hashed = uuid.uuid5(_FOREIGN, text)
    stamp = next((part for part in parts if _is_timed(part)), None)
    if stamp is None:
        return str(hashed)
    tail = hashed.hex
    return f"{stamp[:13]}-8{tail[13:16]}-{tail[16:20]}-{tail[20:]}"


def _is_timed(text: str) -> bool:
    return len(text) == 36 and text[13] == "-" and text[14] in "78"


def job_id(text: str) -> str:
    """Return `text` as a job id: itself if it is a UUID, else its uuid5."""
    if _CANONICAL(text):
        return text
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return derived_id("celery", text)


def is_job_id(text: str) -> bool:
    """Say whether a text is a job's id in the form in which the ledger writes it."""
    return _CANONICAL(text) is not None


def plain_text(text: str) -> str:
    """Return `text` without what one of the databases cannot store: NUL, and halves of characters."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def utcnow() -> datetime:
    """Return the time now, in UTC."""
    return datetime.now(UTC)


def micros(value: datetime) -> int:
    """Return microseconds since 1970."""
    return (value - _EPOCH) // timedelta(microseconds=1)


def moment(value: Any) -> datetime | None:
    """Return a database's time as an aware UTC datetime."""
    if value is None or isinstance(value, datetime):
        return value
    return _EPOCH + timedelta(microseconds=int(value))


class NewJob(NamedTuple):
    """A job to be stored. `body` is the protocol-2 body `[args, kwargs, embed]`.

    `headers` are the message's as JSON text; empty where they say nothing that the other fields do not say.
    """

    id: str
    task: str
    queue: str
    priority: int
    body: str
    headers: str
    state: int = State.QUEUED
    eta: datetime | None = None
    schedule: str | None = None
    due: datetime | None = None
    parent: str | None = None
    root: str | None = None
    person: str | None = None
    origin: str | None = None
    replay_of: str | None = None
    reason: str | None = None
    job_group: str | None = None
    linked: bool = False


#: What `NewJob` has beyond what every job has, where nothing special was asked for.
ORDINARY = ("", State.QUEUED, *[None] * 10, False)


def renamed(headers: str, id_: str, **more: Any) -> str:
    """Return a message's headers with another id; those that are made when it is sent stay empty."""
    return json.dumps(json.loads(headers) | {"id": id_, **more}) if headers else ""


class Stored(NamedTuple):
    """What `Database.submit` did.

    `new` are the ids that were; `at` tells their outbox entries from later ones of the same ids; `entry` is
    the id of an entry that stands for all of them.
    """

    new: set[str]
    at: Any
    entry: str | None = None


class Claim(NamedTuple):
    """A job that this worker may run. `claim` is the second half of the fence."""

    id: str
    claim: int
    task: str
    queue: str
    body: str
    headers: str
    attempt: int
    crashes: int
    created: datetime
    parent: str | None
    root: str | None
    person: str | None
    schedule: str | None
    due: datetime | None
    cancel: bool
    linked: bool
    #: What earlier attempts saved, as JSON text.
    checkpoint: str | None
    priority: int = 5


class Done(NamedTuple):
    """A job that is over. `result` and `error` are JSON texts; `entry` describes a failed attempt."""

    id: str
    claim: int
    state: int
    result: str | None
    error: str | None
    entry: str | None


class Again(NamedTuple):
    """A job to be tried again at `eta`; `entry` describes the failed attempt as JSON text.

    `crashes` is 1 where the process that ran it died.
    """

    id: str
    claim: int
    eta: datetime
    reason: str
    entry: str
    crashes: int = 0


class LostJob(NamedTuple):
    """A job whose worker died in `attempt`. `dead`: once too often, it is over; else it is queued again."""

    id: str
    task: str
    queue: str
    attempt: int
    worker: int
    person: str | None
    message: str
    dead: bool


class QueueMessage(NamedTuple):
    """What a broker message is made of. `first`: it overtakes what waits in its queue."""

    id: str
    task: str
    queue: str
    priority: int
    body: str
    headers: str
    first: bool = False

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> QueueMessage:
        """Make one of a row; a job whose worker died has waited already, and goes first."""
        first = row["crashes"] > 0
        return cls(
            str(row["id"]), row["task"], row["queue"], row["priority"], row["body"], row["headers"], first
        )


#: The columns that `QueueMessage.of` reads.
MESSAGE_COLUMNS = "id, task, queue, priority, body, headers, crashes"


class Progress(NamedTuple):
    """A job's progress as its task last told it."""

    id: str
    current: float
    total: float | None
    message: str
    updated: datetime
