"""Breaking the product on purpose, to see that the suite turns red: `make chaos-smoke BREAK=claim`.

Installed by the suite's `hopfile.py` in workers, producers and schedulers; the product knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

_STATE: Final = "AND state = 1"


def install(name: str) -> None:
    """Break one part. Raises `SystemExit` for a name that is none."""
    if not name:
        return
    if name not in BREAKS:
        raise SystemExit(f"HOPYARD_INTERNAL_BREAK={name}: expected one of {', '.join(BREAKS)}")
    BREAKS[name]()


def _without(module: Any, constant: str, *parts: str) -> None:
    statement = getattr(module, constant)
    for part in parts:
        if part not in statement:
            raise SystemExit(
                f"{module.__name__}.{constant} no longer has {part!r}: repair tests/chaos/breaks.py"
            )
        statement = statement.replace(part, "")
    setattr(module, constant, statement)


def _no_claim() -> None:
    """Whoever has a message runs the job."""
    from hopyard.ledger import postgres_statements, sqlite

    _without(postgres_statements, "CLAIM", _STATE)
    _without(sqlite, "_CLAIM", _STATE)


def _no_lease() -> None:
    """Nobody looks after dead workers' jobs."""
    from hopyard.ledger import workers

    async def rescue(database: Any) -> Any:
        return workers.Rescued([], [], [])

    workers.rescue = rescue


def _no_fence() -> None:
    """Results and effects are accepted from whoever brings them."""
    from hopyard.ledger import effects, notes, postgres, sqlite
    from hopyard.ledger import postgres_statements as sql

    checks = "AND j.claim = ($2::bigint[])[array_position($1, j.id)] AND j.worker = $7 AND j.state = 2"
    _without(sql, "FINISH", checks)
    _without(sqlite, "_FINISH", "AND claim = ?2 AND worker = ?7 AND state = 2")
    asked = "id = ANY($1::uuid[])"
    sql.FINISH = sql.FINISH.replace(asked, f"{asked} AND $2::bigint[] IS NOT NULL")  # type: ignore[misc]

    async def held(*args: Any) -> None:
        """Anybody holds it."""

    effects.check_held = notes.check_held = held  # type: ignore[assignment]

    async def finish(self: Any, done: Sequence[Any], worker: int) -> set[str]:
        rows = await self.fetch(sql.FINISH, *postgres._columns(done, 6))
        return {str(row[0]) for row in rows}

    postgres.PostgresDatabase.finish = finish  # type: ignore[method-assign]


def _no_unique_fire() -> None:
    """Every scheduler leads, and a due time that fired before fires again."""
    from hopyard.ledger import leader
    from hopyard.schedule.scheduler import DUTY, Scheduler

    lead, insert = leader.lead, Scheduler._insert

    async def leads_always(database: Any, duty: str, holder: str, seconds: float) -> int | None:
        term = await lead(database, duty, holder, seconds)
        return 1 if duty == DUTY else term

    async def leads(*args: Any) -> bool:
        return True

    async def inserted(self: Any, tx: Any, fires: Any, jobs: Any) -> Any:
        kept = await insert(self, tx, fires, jobs)
        again = [job for job in jobs if job not in kept]
        if again:
            await tx.insert_jobs(again)
        return jobs

    leader.lead, leader.leads = leads_always, leads  # type: ignore[assignment]
    Scheduler._insert = inserted  # type: ignore[method-assign]


def _no_outbox() -> None:
    """What a producer did not ring for is not looked for."""
    from hopyard.ledger import waiting

    async def unrung(*args: Any) -> list[Any]:
        return []

    waiting.unsent = unrung  # type: ignore[assignment]


def _no_followers() -> None:
    """What follows a job is not looked for where its worker died before it had stored that."""
    from hopyard.ledger import following

    async def marked(*args: Any) -> list[str]:
        return []

    following.marked = marked  # type: ignore[assignment]


BREAKS: Final[dict[str, Callable[[], None]]] = {
    "claim": _no_claim,
    "lease": _no_lease,
    "fence": _no_fence,
    "fire": _no_unique_fire,
    "outbox": _no_outbox,
    "follow": _no_followers,
}
