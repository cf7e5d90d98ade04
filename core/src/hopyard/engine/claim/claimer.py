"""From messages to claimed jobs: what stands in the ledger afterwards, and how a claim is undone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from celery.worker import state as worker_state

from hopyard.engine.claim.foreign import adopt
from hopyard.errors import LedgerUnavailable
from hopyard.ledger import cancelling, waiting, workers
from hopyard.ledger.values import Claim

if TYPE_CHECKING:
    from hopyard.engine.consume.delivery import Delivery
    from hopyard.ledger.database import Database
    from hopyard.loading import Plugins

log = logging.getLogger("hopyard.engine")

#: Between two tries where the ledger is away.
PAUSE: Final = 1.0


@dataclass(slots=True)
class Claimed:
    """What became of a batch of messages."""

    worker: int
    claims: list[Claim] = field(default_factory=list)
    #: The ledger was away, or this worker given up: none of these stays claimed, they are to be tried again.
    left: list[Delivery] = field(default_factory=list)
    #: The ledger refuses these, also alone; with the reason.
    refused: list[tuple[Delivery, str]] = field(default_factory=list)


class Claimer:
    """Claims for one worker; each claim has a number of its own."""

    def __init__(
        self,
        plugins: Plugins,
        database: Database,
        worker: Callable[[], int],
        parked: Callable[[Sequence[Claim], str], None],
        admitted: Callable[[Sequence[Claim], int], Awaitable[list[Claim]]],
    ) -> None:
        self._plugins = plugins
        self._database = database
        self._worker = worker
        self._parked = parked
        self._admitted = admitted
        self._counter = 0
        #: Claims under way.
        self.busy = 0

    async def claim(self, batch: Sequence[Delivery]) -> Claimed:
        """Claim what the messages stand for, each id once.

        Where a batch cannot be claimed its messages are tried alone, so that one does not hold up others.
        """
        number = self._worker()
        once = {delivery.id: delivery for delivery in batch}
        self._counter += 1
        counter = self._counter
        self.busy += 1
        try:
            claims = await self._take(once, number, counter)
            if not claims and await workers.given_up(self._database, number):
                return Claimed(number, left=[*once.values()])
            return Claimed(number, await self._admitted(await self._known(claims, number), number))
        except LedgerUnavailable as error:
            log.warning("%d messages wait for the ledger: %s", len(once), error)
            # It may have committed all the same: what nobody here knows of must not stay claimed.
            await self.give_back([(id_, counter) for id_ in once], number)
            return Claimed(number, left=[*once.values()])
        except Exception as error:
            log.exception("%d messages cannot be claimed", len(once))
            await self.give_back([(id_, counter) for id_ in once], number)
            if len(once) == 1:
                reason = f"the ledger refuses it: {type(error).__name__}: {error}"[:500]
                return Claimed(number, refused=[(one, reason) for one in once.values()])
        finally:
            self.busy -= 1
        return await self._one_by_one(once, number)

    async def _one_by_one(self, batch: dict[str, Delivery], number: int) -> Claimed:
        found = Claimed(number)
        for delivery in batch.values():
            one = await self.claim([delivery])
            found.claims += one.claims
            found.left += one.left
            found.refused += one.refused
        return found

    async def _take(self, batch: dict[str, Delivery], number: int, counter: int) -> Sequence[Claim]:
        foreign = [delivery for delivery in batch.values() if delivery.foreign is not None]
        stored = await adopt(self._plugins, self._database, foreign) if foreign else None
        if worker_state.revoked:
            revoked = [id_ for id_, delivery in batch.items() if delivery.original in worker_state.revoked]
            await cancelling.cancel(self._database, revoked, "revoked through Celery")
        claims = await self._database.claim([*batch], number, counter)
        if stored is not None and (ours := [claim.id for claim in claims if claim.id in stored.new]):
            await self._database.drop_sent([(id_, stored.at) for id_ in ours])
        return claims

    async def _known(self, claims: Sequence[Claim], number: int) -> list[Claim]:
        """Return the claims whose tasks this worker runs; the others are parked, with the reason.

        The row decides: what a message says of its task may be anything.
        """
        tasks = self._plugins.tasks
        for claim in [claim for claim in claims if claim.task not in tasks]:
            reason = why_unknown(self._plugins, claim.task)
            level = logging.INFO if self._plugins.resting(claim.task) else logging.ERROR
            log.log(level, "job %s is parked: %s", claim.id, reason)
            await self._persist(
                "parked", waiting.park_claimed, self._database, claim.id, claim.claim, number, reason
            )
            self._parked([claim], reason)
        return [claim for claim in claims if claim.task in tasks]

    async def give_back(self, jobs: Sequence[tuple[str, int]], number: int, entry: str | None = None) -> None:
        """Undo claims, however long the ledger is away; those that are not ours stay as they are."""
        await self._persist("handed back", waiting.release, self._database, jobs, number, entry)

    @staticmethod
    async def _persist(what: str, statement: Callable[..., Awaitable[None]], *args: Any) -> None:
        while True:
            try:
                await statement(*args)
            except LedgerUnavailable as error:
                log.info("jobs cannot be %s yet: %s", what, error)
                await asyncio.sleep(PAUSE)
            else:
                return


def why_unknown(plugins: Plugins, task: str) -> str:
    """Return why this worker cannot run a task, as the reason of a parked job."""
    name = task.split(".", 1)[0]
    record = next((record for record in plugins.records if record.name == name), None)
    if record is None:
        return f"no worker here knows task {task}: is plugin `{name}` installed and enabled?"
    if record.state == "enabled":
        return f"plugin `{name}` {record.version or ''} has no task {task}"
    return f"plugin `{name}` is {record.state} here: {record.reason}"
