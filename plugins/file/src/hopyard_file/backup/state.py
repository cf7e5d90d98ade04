"""How the last backups and checks ended, in the ledger's database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from hopyard import redact, storage

Kind = Literal["source", "repository"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How the last run ended: of a backup of a source, or of a check of a repository."""

    state: str
    error: str | None
    ended: datetime | None
    succeeded: datetime | None
    report: str | None


async def standings(kind: Kind) -> dict[str, Standing]:
    """Return where all sources, or repositories, stand that ever ran."""
    rows = await storage.fetch(
        "SELECT name, state, error, ended, succeeded, report FROM file_backup_state WHERE kind = $1", kind
    )
    return {
        row["name"]: Standing(
            row["state"],
            row["error"],
            storage.moment(row["ended"]),
            storage.moment(row["succeeded"]),
            row["report"],
        )
        for row in rows
    }


async def record(kind: Kind, name: str, state: str, error: str | None, report: str | None) -> None:
    """Keep how a run ended. With `ok` it is a success; without a report the last one stays."""
    now = storage.sql().now
    succeeded = now if state == "ok" else "NULL"
    await storage.execute(
        "INSERT INTO file_backup_state (kind, name, state, error, report, ended, succeeded) "
        f"VALUES ($1, $2, $3, $4, $5, {now}, {succeeded}) ON CONFLICT (kind, name) DO UPDATE SET "
        "state = excluded.state, error = excluded.error, ended = excluded.ended, "
        "report = coalesce(excluded.report, file_backup_state.report), "
        "succeeded = coalesce(excluded.succeeded, file_backup_state.succeeded)",
        kind,
        name,
        state,
        storable(redact(error))[:1000] if error else None,
        report,
    )


def storable(text: str) -> str:
    """Return text as any database takes it."""
    return text.replace("\0", "\ufffd").encode(errors="backslashreplace").decode()
