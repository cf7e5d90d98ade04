"""Messages as nobody should send them: real ones of Hopyard's and of a stock producer's, changed at random.

The changes know the structure: any part of headers, properties, or of the body's JSON, is replaced by an odd
value, removed, doubled or wrapped; the whole is cut, flipped, packed or sent as something else.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import json
import random
import zlib
from typing import Any

from hopyard.broker.envelope import envelope
from hopyard.ledger.values import QueueMessage, new_id


def signature() -> dict[str, Any]:
    """Return a signature in order, new all through: what is changed in one is not in the next."""
    return {
        "task": "site.note",
        "args": [],
        "kwargs": {},
        "options": {"task_id": None},
        "subtask_type": None,
        "immutable": False,
    }


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def odd(draw: random.Random) -> Any:
    """Return a value that is wrong nearly everywhere."""
    return draw.choice(
        [
            lambda: None,
            lambda: draw.randint(-(2**70), 2**70),
            lambda: 1795000000.5,
            lambda: float("nan"),
            lambda: float("inf"),
            lambda: True,
            lambda: "",
            lambda: "\0",
            lambda: "\ud800",
            lambda: "x" * draw.choice([1, 300, 5000]),
            lambda: "../../etc/passwd",
            lambda: "9999-99-99T99:99:99",
            lambda: "0001-01-01T00:00:00+23:59",
            lambda: "[/x]\x1b[31m",
            list,
            lambda: ["x"],
            lambda: [None] * 1000,
            dict,
            lambda: {"__type__": "datetime", "__value__": "no"},
            lambda: {"task": 5},
            lambda: signature() | {"task": draw.choice(["site.note", "no.such", "", None, 7])},
            lambda: [signature() for _ in range(draw.choice([1, 50]))],
            lambda: _deep(draw.choice([5, 60, 400])),
            lambda: "hopyard",
            lambda: new_id(),
        ]
    )()


def ours(draw: random.Random) -> dict[str, Any]:
    """Return a message as Hopyard sends it, of a job that the ledger does not have."""
    body = json.dumps([[], {"n": draw.randint(0, 9)}, None])
    made = envelope(QueueMessage(new_id(), "site.note", "site", 5, body, ""))
    found: dict[str, Any] = json.loads(made)
    return found


def stock(draw: random.Random) -> dict[str, Any]:
    """Return a message as a stock producer sends it."""
    id_ = new_id()
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    if draw.random() < 0.3:
        embed[draw.choice([*embed])] = draw.choice([[signature()], signature()])  # type: ignore[assignment]
    return {
        "body": json.dumps([[], {"n": draw.randint(0, 9)}, embed]),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": draw.choice(["site.note", "site.note", "no.such", "celery.ping"]),
            "id": id_,
            "root_id": id_,
            "parent_id": None,
            "group": None,
            "eta": draw.choice([None, None, "2035-01-01T00:00:00+00:00"]),
            "expires": None,
            "retries": 0,
            "timelimit": [None, None],
            "argsrepr": "()",
            "kwargsrepr": "{}",
            "origin": "gen1@host",
        },
        "properties": {
            "correlation_id": id_,
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "site"},
            "priority": 0,
            "body_encoding": "utf-8",
            "delivery_tag": new_id(),
        },
    }


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if len(path) > 20:
        return found
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        found += _places(one, (*path, key))
    return found


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def change(draw: random.Random, value: Any) -> Any:
    """Change one place of JSON; return it."""
    places = _places(value)
    if not places:
        return odd(draw)
    *path, key = draw.choice(places)
    place = _at(value, tuple(path))
    kind = draw.random()
    if kind < 0.7:
        place[key] = odd(draw)
    elif kind < 0.85:
        del place[key]
    else:
        place[key] = [place[key], place[key]]
    return value


def message(draw: random.Random) -> dict[str, Any]:
    """Return the parts of a message, changed one to three times."""
    made = draw.choice([ours, stock, stock])(draw)
    for _ in range(draw.randint(1, 3)):
        if draw.random() < 0.4 and isinstance(made.get("body"), str):
            try:
                made["body"] = json.dumps(change(draw, json.loads(made["body"])))
            except ValueError:
                made["body"] = draw.choice(["", "{", "null", "[1,2", "\x00"])
        elif isinstance(made, dict):
            made = change(draw, made)
    if draw.random() < 0.1 and isinstance(made.get("headers"), dict):
        _pack(draw, made)
    return made


def _pack(draw: random.Random, made: dict[str, Any]) -> None:
    """Pack the body, now and then with more in it than it seems, or not as it says."""
    raw = str(made.get("body")).encode(errors="replace")
    if draw.random() < 0.3:
        raw = b" " * 30_000_000
    pack = draw.choice([zlib.compress, gzip.compress, bz2.compress, lambda data: data[:100]])
    made["body"] = base64.b64encode(pack(raw)).decode()  # type: ignore[operator]
    if isinstance(made.get("properties"), dict):
        made["properties"]["body_encoding"] = "base64"
    made["headers"]["compression"] = draw.choice(["application/x-gzip", "application/x-bz2", "gzip", "no", 5])


def raw(draw: random.Random) -> bytes:
    """Return what may stand in a Redis list."""
    data = json.dumps(message(draw)).encode(errors="surrogatepass")
    kind = draw.random()
    if kind < 0.05:
        return data[: draw.randint(0, len(data))]
    if kind < 0.1:
        place = draw.randrange(len(data) or 1)
        return data[:place] + bytes([draw.randrange(256)]) + data[place + 1 :]
    if kind < 0.11:
        return data.replace(b'"args"', b'"args": ' + b"[" * 100_000 + b', "x"')
    if kind < 0.12:
        return draw.randbytes(draw.randint(0, 200))
    return data
