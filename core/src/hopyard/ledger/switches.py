"""Which plugins somebody has disabled while processes run; every process looks here, and follows."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from hopyard.ledger.database import Database
from hopyard.ledger.values import moment, plain_text, utcnow


class Switch(NamedTuple):
    """That a plugin is disabled: since when, and by whom."""

    name: str
    at: datetime
    who: str

    @property
    def reason(self) -> str:
        """In words, as records of plugins and parked jobs have it."""
        return f"disabled by {self.who} at {self.at.isoformat(timespec='seconds')}"


async def disable(database: Database, name: str, who: str) -> bool:
    """Have all processes do without a plugin; say whether that is new. Raises `LedgerUnavailable`.

    Durable: it outlives workers and brokers. Who disabled it first stays on record.
    """
    return bool(
        await database.execute(
            f"INSERT INTO plugin_switch (name, at, who) VALUES ($1, {database.dialect.now}, $2) "
            "ON CONFLICT (name) DO NOTHING",
            name,
            plain_text(who)[:200],
        )
    )


async def enable(database: Database, name: str) -> bool:
    """Have all processes take a plugin back; say whether it was disabled. Raises `LedgerUnavailable`."""
    return bool(await database.execute("DELETE FROM plugin_switch WHERE name = $1", name))


async def disabled(database: Database) -> dict[str, Switch]:
    """Return the plugins that are disabled, by name. Raises `LedgerUnavailable`."""
    rows = await database.fetch("SELECT name, at, who FROM plugin_switch ORDER BY name")
    return {row["name"]: Switch(row["name"], moment(row["at"]) or utcnow(), row["who"]) for row in rows}
