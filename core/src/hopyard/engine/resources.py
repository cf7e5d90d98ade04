"""Jobs begin once they hold the resources that their tasks need; those that wait hold no slot meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hopyard.engine.observers import EndedRun, Observer
from hopyard.errors import LedgerUnavailable
from hopyard.ledger import resources, workers
from hopyard.ledger.resources import Wanted

if TYPE_CHECKING:
    from hopyard.ledger.values import Again, Claim, Done, LostJob
    from hopyard.specs import TaskOptions
    from hopyard.tasks.client import Client

log = logging.getLogger("hopyard.engine")


class Resources(Observer):
    """Takes resources for claimed jobs, and calls those that wait once others are over.

    `options` are those of all tasks, which may come and go with their plugins.
    """

    def __init__(
        self,
        client: Client,
        options: Callable[[], Mapping[str, TaskOptions]],
        totals: Mapping[str, int],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._client = client
        self._options = options
        self._totals = totals
        self._spawn = spawn
        self._holding: set[str] = set()

    async def admitted(self, claims: Sequence[Claim], worker: int) -> list[Claim]:
        """Return the claims that may begin; the others are queued again, and wait. Raises `LedgerError`."""
        options = self._options()
        wanted = [
            Wanted(claim.id, claim.claim, needs)
            for claim in claims
            if (needs := options[claim.task].resources) and not claim.cancel
        ]
        if not wanted:
            return [*claims]
        taken = await resources.take(self._client.database, wanted, self._totals, worker)
        self._holding |= taken
        left = {one.id for one in wanted} - taken
        if left:
            log.info("%d jobs wait for resources", len(left))
        return [claim for claim in claims if claim.id not in left]

    def ended(self, runs: Sequence[EndedRun]) -> None:
        """As `Observer`: what was handed back holds nothing any more."""
        back = {run.running.claim.id for run in runs if run.outcome is None} if self._holding else set()
        self._freed(self._holding & back)

    def recorded(self, outcomes: Sequence[Done | Again], refused: Sequence[str]) -> None:
        """As `Observer`: what ends frees what it held."""
        if self._holding:
            self._freed(self._holding.intersection(outcome.id for outcome in outcomes))

    def _freed(self, jobs: set[str]) -> None:
        if jobs:
            self._holding -= jobs
            self._spawn(self._call_soon())

    def lost(self, jobs: Sequence[LostJob]) -> None:
        """As `Observer`."""
        self._spawn(self._call_soon())

    async def _call_soon(self) -> None:
        try:
            await call(self._client, self._totals)
        except LedgerUnavailable as error:
            log.info("jobs that wait for resources are left to the reconciler: %s", error)


async def call(client: Client, totals: Mapping[str, int]) -> None:
    """Send the messages of jobs whose turn it is. Raises `LedgerError`."""
    if await resources.anybody_waits(client.database):
        served = await workers.served_queues(client.database)
        await client.publish(await resources.call(client.database, totals, served))
