"""Where a stream of a connection stands: the cursor of complete passes, the position within one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

from hopyard import storage
from hopyard.storage import Transaction


@dataclass(frozen=True, slots=True)
class StreamState:
    """`cursor` and `position` are JSON-like, None where there is none.

    Passes are numbered from 1: a row that has an older number than a pass that read everything is gone.
    """

    connection: str
    name: str
    cursor: Any = None
    position: Any = None
    pass_number: int = 1
    source: str | None = None
    """What stands for the place that is read, and how: of another one nothing that is known holds."""

    async def save(self, tx: Transaction, *, completed: bool = False) -> None:
        """Store it, together with the rows that it stands behind."""
        when = tx.sql.now if completed else "NULL"
        kept = "excluded.completed" if completed else "sync_stream.completed"
        await tx.execute(
            "INSERT INTO sync_stream (connection, name, cursor, position, pass_number, source, completed) "
            f"VALUES ($1, $2, $3, $4, $5, $6, {when}) ON CONFLICT (connection, name) DO UPDATE SET "
            "cursor = excluded.cursor, position = excluded.position, pass_number = excluded.pass_number, "
            f"source = excluded.source, completed = {kept}",
            self.connection,
            self.name,
            _text(self.cursor),
            _text(self.position),
            self.pass_number,
            self.source,
        )

    def at(self, position: Any) -> StreamState:
        """Return it at another position."""
        return replace(self, position=position)

    def anew(self) -> StreamState:
        """Return it before everything, in a pass of its own."""
        return replace(self, cursor=None, position=None, pass_number=self.pass_number + 1)

    def done(self, cursor: Any) -> StreamState:
        """Return it behind a complete pass."""
        return replace(self, cursor=cursor, position=None, pass_number=self.pass_number + 1)


async def load(connection: str, name: str) -> StreamState:
    """Return where a stream stands; a new one at its beginning."""
    rows = await storage.fetch(
        "SELECT cursor, position, pass_number, source FROM sync_stream WHERE connection = $1 AND name = $2",
        connection,
        name,
    )
    if not rows:
        return StreamState(connection, name)
    row = rows[0]
    return StreamState(
        connection,
        name,
        _value(row["cursor"]),
        _value(row["position"]),
        int(row["pass_number"]),
        row["source"],
    )


def mark(*parts: Any) -> str:
    """Return what stands for a place and how it is read, for `Run.stream`; secrets cannot be read from it."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _text(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


def _value(text: str | None) -> Any:
    return None if text is None else json.loads(text)
