"""Time that passes in a test: delays end, and schedules fire for the moments in between."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hopyard import rules
from hopyard.ledger import waiting
from hopyard.ledger.dialect import SQLITE, SqliteDialect
from hopyard.ledger.values import moment
from hopyard.schedule import store
from hopyard.schedule.scheduler import Scheduler

if TYPE_CHECKING:
    from hopyard.testing._site import Site


class PassedTime:
    """How far the schedules of a test are ahead of the clock.

    Their due times cannot be moved back instead, as delays are: a rule's times of day stay where they are,
    and a due time fires once.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._seconds = 0.0
        #: When each schedule was stored or changed, as of the last time that passed.
        self._known: dict[str, Any] = {}

    async def go_on(self, seconds: float) -> None:
        """Have time pass; on the portal's loop. What is due then is queued, and nothing is run."""
        await self._move_changed()
        await self._tick()  # declares, so that what is due meanwhile is known
        self._seconds += seconds
        await self._end_delays(seconds)
        await self._tick()
        self._known = await self._updated()

    async def _tick(self) -> None:
        scheduler = _Ahead(self._site, self._seconds)
        await scheduler.tick()
        await scheduler.resign()

    async def _move_changed(self) -> None:
        """Have schedules that the test stored or changed count from the time that has passed by then."""
        ahead = timedelta(seconds=self._seconds)
        updated = await self._updated()
        async with self._site.client().database.transaction() as tx:
            for stored in await store.listed(tx) if ahead else ():
                name = stored.schedule.name
                changed = moment(updated.get(name))
                if stored.next_due is None or changed is None or self._known.get(name) == updated.get(name):
                    continue
                due = rules.next_after(stored.schedule.rule, changed + ahead) or stored.next_due
                await tx.execute("UPDATE schedule SET next_due = $2 WHERE name = $1", name, due)

    async def _updated(self) -> dict[str, Any]:
        """Return when each schedule was stored or changed."""
        rows = await self._site.client().database.fetch("SELECT name, updated FROM schedule")
        return {row["name"]: row["updated"] for row in rows}

    async def _end_delays(self, seconds: float) -> None:
        client = self._site.client()
        await client.database.execute(
            f"UPDATE job_live SET eta = {SQLITE.minus('eta', '$1')} WHERE eta IS NOT NULL", seconds
        )
        while messages := await waiting.promote(client.database):
            await client.publish(messages)


class _Ahead(Scheduler):
    """A scheduler for which so many seconds more have passed."""

    def __init__(self, site: Site, seconds: float) -> None:
        super().__init__(site)
        ahead: Any = _AheadDatabase(self._database, seconds)
        self._database = ahead


class _AheadDatabase:
    """The site's database, asked in terms of a later wall clock; the clock of leases is what it is."""

    def __init__(self, database: Any, seconds: float) -> None:
        self._database = database
        self.dialect = SqliteDialect()
        self.dialect.now = SQLITE.plus(SQLITE.now, repr(float(seconds)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)
