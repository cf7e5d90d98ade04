"""Keys to the HTTP API and the dashboard, and the record of what was done with them.

A key is `hop_<id>_<secret>`: the id finds the row, of the secret only the SHA-256 is stored. It has 256 bits
of chance, so that a slow hash would protect nothing. A login link holds a key of kind `login` that makes one
session; a session is a key of kind `session`, and ends with the key that it was made of. A key of kind
`pending` opens nothing: it is a login that somebody has begun at a provider, to be ended once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from hopyard import checks
from hopyard.display import printable, to_json
from hopyard.errors import SpecError
from hopyard.ledger import stored
from hopyard.ledger.database import Database, Row
from hopyard.ledger.values import moment
from hopyard.redaction import masked

Kind = Literal["token", "login", "session", "pending"]

ROLES: Final = ("viewer", "submitter", "operator", "admin")
_SHAPE: Final = re.compile(r"hop_([A-Za-z0-9]{12})_([A-Za-z0-9_-]{43})").fullmatch
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#: The use of a key is written down no more often, in seconds.
_USED_EVERY: Final = 60.0
_AUDIT_BYTES: Final = 4_000


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is listed; the secret is known only when it is made."""

    id: str
    kind: str
    name: str
    role: str
    plugins: tuple[str, ...] | None
    person: str | None
    parent: str | None
    created: datetime
    expires: datetime | None
    used: datetime | None


@dataclass(frozen=True, slots=True)
class Act:
    """Something that was done: `n` counts all of them."""

    n: int
    at: datetime
    who: str
    role: str
    act: str
    target: str
    data: Any
    address: str


async def make(
    database: Database,
    kind: Kind,
    name: str,
    role: str,
    *,
    plugins: Sequence[str] | None = None,
    person: str | None = None,
    parent: str | None = None,
    seconds: float | None = None,
) -> tuple[str, str]:
    """Make a key that lasts `seconds` (None: until it is revoked); return its id and the whole key.

    Raises `SpecError` for a role that there is not, or an empty name.
    """
    checks.choice("role", role, ROLES)
    checks.text("name", name)
    if person is not None:
        checks.text("person", person)
    id_ = "".join(secrets.choice(_LETTERS) for _ in range(12))
    secret = secrets.token_urlsafe(32)
    d = database.dialect
    expires = "NULL" if seconds is None else d.plus(d.now, "$9")
    await database.execute(
        "INSERT INTO access_key (id, kind, hash, name, role, plugins, person, parent, created, expires) "
        f"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, {d.now}, {expires})",
        *(id_, kind, _hash(secret), name, role),
        None if plugins is None else json.dumps([*plugins]),
        *(person, parent, *(() if seconds is None else (float(seconds),))),
    )
    return id_, f"hop_{id_}_{secret}"


async def find(database: Database, key: str, kinds: Sequence[Kind]) -> Key | None:
    """Return what a whole key opens, if it is of one of these kinds and has not expired.

    A session whose parent is gone, or has expired, has ended.
    """
    shape = _SHAPE(key)
    if shape is None:
        return None
    d = database.dialect
    rows = await database.fetch(
        f"SELECT k.*, k.expires IS NULL OR k.expires > {d.now} AS valid, p.id AS mother FROM access_key k "
        f"LEFT JOIN access_key p ON p.id = k.parent AND (p.expires IS NULL OR p.expires > {d.now}) "
        "WHERE k.id = $1",
        shape[1],
    )
    if not rows or not hmac.compare_digest(rows[0]["hash"], _hash(shape[2])):
        return None
    row = rows[0]
    if not row["valid"] or row["kind"] not in kinds or (row["parent"] and not row["mother"]):
        return None
    await database.execute(
        f"UPDATE access_key SET used = {d.now} WHERE id = $1 "
        f"AND (used IS NULL OR used < {d.minus(d.now, '$2')})",
        row["id"],
        _USED_EVERY,
    )
    return _key(row)


async def opening(database: Database, ids: Collection[str]) -> set[str]:
    """Return which of these keys are there and have not expired, with their parents, if they have any."""
    if not ids:
        return set()
    d = database.dialect
    some = ", ".join(f"${n}" for n in range(1, len(ids) + 1))
    rows = await database.fetch(
        f"SELECT k.id FROM access_key k WHERE k.id IN ({some}) "
        f"AND (k.expires IS NULL OR k.expires > {d.now}) "
        "AND (k.parent IS NULL OR EXISTS (SELECT 1 FROM access_key p WHERE p.id = k.parent "
        f"AND (p.expires IS NULL OR p.expires > {d.now})))",
        *ids,
    )
    return {str(row["id"]) for row in rows}


async def spend(database: Database, key: str, kind: Literal["login", "pending"] = "login") -> Key | None:
    """Return what a one-time key opens, and use it up; None if it was used, has expired, or is none."""
    found = await find(database, key, [kind])
    if found is None or not await database.execute("DELETE FROM access_key WHERE id = $1", found.id):
        return None
    return found


async def listed(database: Database) -> list[Key]:
    """Return all tokens and sessions, the newest first."""
    rows = await database.fetch(
        "SELECT * FROM access_key WHERE kind IN ('token', 'session') ORDER BY created DESC, id"
    )
    return [_key(row) for row in rows]


async def known(database: Database, id_: str) -> bool:
    """Say whether there is a key with this id, whether it has expired or not."""
    return bool(await database.fetch("SELECT 1 AS yes FROM access_key WHERE id = $1", id_))


async def revoke(database: Database, id_: str) -> bool:
    """Remove a key and the sessions made of it; say whether there was one."""
    await database.execute("DELETE FROM access_key WHERE parent = $1", id_)
    return bool(await database.execute("DELETE FROM access_key WHERE id = $1", id_))


class NewAct(NamedTuple):
    """Something that is about to be done. Secrets in `data` are masked, and too much of it is left out."""

    who: str
    role: str
    act: str
    target: str
    data: Mapping[str, Any]
    address: str


async def write(database: Database, acts: Sequence[NewAct]) -> None:
    """Keep what people do, in one transaction."""
    async with database.transaction() as tx:
        await tx.execute_many(
            "INSERT INTO audit (at, who, role, act, target, data, address) "
            f"VALUES ({database.dialect.now}, $1, $2, $3, $4, $5, $6)",
            [
                (one.who, one.role, one.act, printable(one.target)[:500], _told(one.data), one.address)
                for one in acts
            ],
        )


def _told(data: Mapping[str, Any]) -> str:
    text = to_json(masked(dict(data)), other=str)
    return text if len(text) <= _AUDIT_BYTES else json.dumps({"left_out": f"{len(text)} characters"})


async def acts(database: Database, *, before: int | None = None, limit: int = 100) -> list[Act]:
    """Return what was done, the latest first, from number `before` on backwards."""
    where = "" if before is None else "WHERE n < $1 "
    rows = await database.fetch(
        f"SELECT * FROM audit {where}ORDER BY n DESC LIMIT {int(limit)}",
        *([] if before is None else [before]),
    )
    return [
        Act(
            int(row["n"]),
            at,
            row["who"],
            row["role"],
            row["act"],
            row["target"],
            stored.value(row["data"]),
            row["address"],
        )
        for row in rows
        if (at := moment(row["at"])) is not None
    ]


async def prune(database: Database, before: datetime) -> int:
    """Remove keys that have expired, and a batch of what was done before a time; return how many went."""
    gone = await database.execute(f"DELETE FROM access_key WHERE expires < {database.dialect.now}")
    gone += await database.execute(
        "DELETE FROM audit WHERE n IN (SELECT n FROM audit ORDER BY n LIMIT 500) AND at < $1", before
    )
    return gone


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(row: Row) -> Key:
    created = moment(row["created"])
    if created is None:
        raise SpecError(f"the key {row['id']} has no time of its making")
    return Key(
        row["id"],
        row["kind"],
        row["name"],
        row["role"],
        None if row["plugins"] is None else tuple(json.loads(row["plugins"])),
        row["person"],
        row["parent"],
        created,
        moment(row["expires"]),
        moment(row["used"]),
    )
