"""Messages of the broker, read by one parser: each is a job's, or refused with the reason.

Anybody may put anything into a queue. Nothing behind this border has to be ready for it.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from pydantic_core import from_json

from hopyard.checks import MAX_BYTES
from hopyard.engine.consume.encoding import Unreadable, body_text
from hopyard.errors import PayloadError
from hopyard.ledger.values import MARK, is_job_id, job_id
from hopyard.tasks.canvas import signatures

log = logging.getLogger("hopyard.engine")

_NAME_CHARACTERS: Final = 500
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
#: What Celery's own request adds, or what the row says by itself: not kept among the headers.
_NOT_KEPT: Final = frozenset({"compression", "reply_to", "correlation_id"})


class Foreign(NamedTuple):
    """What a stock producer's message says, whose job may not be in the ledger yet.

    `body` and `headers` are JSON texts; `follow` names what follows the job (`callbacks`, `chord` …).
    """

    body: str
    headers: str
    eta: datetime | None
    expires: datetime | None
    parent: str | None
    root: str | None
    follow: frozenset[str]


class Delivery(NamedTuple):
    """One message that stands for a job. `original` is the id that its sender knows it by."""

    id: str
    original: str
    queue: str
    task: str
    #: What the ledger does not know yet; None of a message that Hopyard made.
    foreign: Foreign | None
    #: Tells the broker that the message is done with.
    acknowledge: Callable[[], object]
    #: The message as it came, to be kept if no ledger takes it.
    raw: bytes = b""


class Refused(NamedTuple):
    """A message that is no job's."""

    queue: str
    reason: str
    raw: bytes
    acknowledge: Callable[[], object]


class Unfit(Exception):
    """Why a message is no job's."""


def nothing(*_: Any, **__: Any) -> None:
    """Acknowledge or reject what the broker no longer knows."""


def from_redis(queue: str, raw: bytes) -> Delivery | Refused:
    """Read what stood in a Redis list. Never raises."""
    try:
        envelope = _quickly(raw)
        if not isinstance(envelope, dict):
            raise Unfit("it is no object")
        headers = envelope.get("headers")
        if isinstance(headers, dict) and MARK in headers:
            return _marked(queue, headers, raw, nothing)
        properties = envelope.get("properties")
        encoding = properties.get("body_encoding") if isinstance(properties, dict) else None
        part = _Part(
            headers,
            envelope.get("body"),
            envelope.get("content-type"),
            envelope.get("content-encoding"),
            base64=encoding == "base64",
        )
        return _delivery(queue, part, raw, nothing)
    except (Unfit, Unreadable) as error:
        return Refused(queue, str(error), raw, nothing)
    except Exception as error:
        log.exception("a message in %s cannot be read", queue)
        return Refused(queue, f"it cannot be read: {type(error).__name__}", raw, nothing)


def from_kombu(message: Any, acknowledge: Callable[[], object]) -> Delivery | Refused:
    """Read what kombu delivered. Never raises."""
    route = message.delivery_info.get("routing_key") if isinstance(message.delivery_info, dict) else None
    queue = route if isinstance(route, str) and route else "hopyard"
    try:
        if message.errors:  # kombu has tried to decompress it
            raise Unfit(f"its body cannot be read: {message.errors[0][1]!r}"[:300])
        part = _Part(
            message.headers, message.body, message.content_type, message.content_encoding, unpacked=True
        )
        return _delivery(queue, part, b"", acknowledge)
    except (Unfit, Unreadable) as error:
        return Refused(queue, str(error), _kept(message), acknowledge)
    except Exception as error:
        log.exception("a message in %s cannot be read", queue)
        return Refused(queue, f"it cannot be read: {type(error).__name__}", _kept(message), acknowledge)


class _Part(NamedTuple):
    headers: Any
    body: Any
    content_type: Any
    content_encoding: Any
    base64: bool = False
    unpacked: bool = False


def _delivery(queue: str, part: _Part, raw: bytes, acknowledge: Callable[[], object]) -> Delivery:
    headers = part.headers
    if not isinstance(headers, dict):
        raise Unfit("it has no headers of Celery's protocol 2")
    if MARK in headers:
        return _marked(queue, headers, raw, acknowledge)
    original, task = _name(headers, "id"), _name(headers, "task")
    return Delivery(job_id(original), original, queue, task, _foreign(headers, part), acknowledge, raw)


def _marked(queue: str, headers: dict[str, Any], raw: bytes, acknowledge: Callable[[], object]) -> Delivery:
    """Return what a message of Hopyard's own says: its row has all the rest."""
    id_ = headers.get("id")
    if not isinstance(id_, str) or not is_job_id(id_):
        raise Unfit(f"it is marked as Hopyard's, but its id {_name(headers, 'id')!r} is no job's")
    return Delivery(id_, id_, queue, _name(headers, "task"), None, acknowledge, raw)


def _foreign(headers: dict[str, Any], part: _Part) -> Foreign:
    compression = None if part.unpacked else headers.get("compression")
    text = body_text(part.body, part.content_type, part.content_encoding, compression, in_base64=part.base64)
    payload = _parsed(text)
    if not isinstance(payload, list) or len(payload) != 3:
        raise Unfit("its body is not [args, kwargs, embed]")
    args, kwargs, embed = payload
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise Unfit("its arguments are no list and object")
    original = headers["id"]
    kept = {name: value for name, value in headers.items() if name not in _NOT_KEPT}
    written = _json(kept | {"id": job_id(original)})
    if len(written) > MAX_BYTES:
        raise Unfit(f"its headers have more than {MAX_BYTES:,} bytes")
    return Foreign(
        text,
        written,
        _time(headers, "eta"),
        _time(headers, "expires"),
        _reference(headers, "parent_id"),
        _reference(headers, "root_id"),
        _follow(embed),
    )


def _follow(embed: Any) -> frozenset[str]:
    """Return what follows the job, of which each is checked to be a signature or a list of them."""
    try:
        found = signatures(embed)
    except PayloadError as error:
        raise Unfit(f"what follows it: {error}") from None
    return frozenset(found)


def _name(headers: Mapping[str, Any], name: str) -> str:
    value = headers.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _NAME_CHARACTERS or not _storable(value):
        raise Unfit(
            f"its {name} is {_shown(value)}, expected a text of at most {_NAME_CHARACTERS} characters"
        )
    return value


def _reference(headers: Mapping[str, Any], name: str) -> str | None:
    return None if headers.get(name) in (None, "") else job_id(_name(headers, name))


def _time(headers: Mapping[str, Any], name: str) -> datetime | None:
    value = headers.get(name)
    if value is None or isinstance(value, datetime):
        found = value
    elif isinstance(value, str):
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            raise Unfit(f"its {name} is {_shown(value)}, expected a time as in ISO 8601") from None
    else:
        raise Unfit(f"its {name} is {_shown(value)}, expected a time as in ISO 8601")
    if found is None:
        return None
    try:  # Celery's times without a zone are in UTC (`enable_utc`)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (OverflowError, ValueError):
        raise Unfit(f"its {name} is {_shown(value)}, which no calendar has") from None


def _quickly(text: bytes) -> Any:
    """As `_parsed`, in a third of the time for what is in order."""
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError:
        return _parsed(text)


def _parsed(text: str | bytes) -> Any:
    try:
        return json.loads(text, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise Unfit(f"it is no JSON: {error}"[:300]) from None


def _constant(name: str) -> Any:
    raise Unfit(f"it has {name} in it, which JSON has not")


def _json(value: Any) -> str:
    try:
        return json.dumps(value, default=str, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise Unfit(f"its headers have no JSON form: {error}"[:300]) from None


def _storable(text: str) -> bool:
    """Say whether any database takes a text: no NUL, no half of a surrogate pair."""
    return _UNSTORABLE.search(text) is None


def _shown(value: Any) -> str:
    try:
        return repr(value)[:80]
    except ValueError:  # a number of thousands of digits
        return f"a {type(value).__name__} without end"


def _kept(message: Any) -> bytes:
    """Return what is kept of a message of kombu's that is refused."""
    body = message.body
    text = body if isinstance(body, str) else bytes(body or b"").decode(errors="backslashreplace")
    try:
        return json.dumps({"headers": message.headers, "body": text}, default=repr).encode()
    except (ValueError, TypeError, RecursionError):
        return text.encode(errors="backslashreplace")


def message_of(envelope: dict[str, Any], queue: str) -> Any:
    """Return kombu's message of an envelope, bound to no channel."""
    from kombu.message import Message

    made: Any = Message
    properties, body = envelope.get("properties"), envelope["body"]
    if not isinstance(properties, dict):
        properties = {}
    if properties.get("body_encoding") == "base64":
        body = base64.b64decode(body)
    return made(
        body=body,
        delivery_tag=properties.get("delivery_tag") or os.urandom(16).hex(),
        content_type=envelope.get("content-type"),
        content_encoding=envelope.get("content-encoding"),
        delivery_info={"exchange": "", "routing_key": queue},
        properties=properties,
        headers=envelope["headers"],
        accept={"application/json"},
    )
