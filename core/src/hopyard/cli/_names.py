"""Names that are typed: what nobody knows is refused with the nearest name, and is no empty answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from hopyard.checks import nearest, printable

if TYPE_CHECKING:
    from hopyard.app import Hopyard


async def check_queue(hopyard: Hopyard, name: str | None) -> None:
    """Raise UsageError for a queue of which neither the ledger nor a plugin knows."""
    await _check(hopyard, "queue", name)


async def check_task(hopyard: Hopyard, name: str | None) -> None:
    """Raise UsageError for a task of which neither the ledger nor a plugin knows."""
    await _check(hopyard, "task", name)


async def _check(hopyard: Hopyard, column: str, name: str | None) -> None:
    if name is None:
        return
    tables = ["job_live", "job_history", *(["queue_state"] if column == "queue" else [])]
    look = " UNION ".join(f"SELECT {column} AS name FROM {table}" for table in tables)
    # The plugins are imported only where the ledger does not know the name.
    if await hopyard.client().database.fetch(
        f"SELECT name FROM ({look}) AS found WHERE name = $1 LIMIT 1", name
    ):
        return
    declared = hopyard.plugins.queues if column == "queue" else hopyard.plugins.tasks
    if name not in declared:
        stored = {str(row["name"]) for row in await hopyard.client().database.fetch(look)}
        raise click.UsageError(unknown(column, name, stored | declared.keys()))


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the line for a name that nobody knows."""
    names = sorted(known)
    close = nearest(name, names)
    told = f"did you mean `{close}`?" if close else f"there are {', '.join(names) or 'none'}"
    return f"there is no {kind} `{printable(name)}`: {told}"
