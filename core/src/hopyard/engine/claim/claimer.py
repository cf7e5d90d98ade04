"""From messages to claimed jobs: what stands in the ledger afterwards, and how a claim is undone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from celery.worker import state as worker_state

from hopyard.engine.claim.foreign import adopt
from hopyard.errors import LedgerUnavailable
from hopyard.ledger import cancelling, waiting, workers
from hopyard.ledger.values import Claim

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.engine.consume.delivery import Delivery
    from hopyard.ledger.database import Database

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
    #: No ledger would take these, alone neither.
    refused: list[Delivery] = field(default_factory=list)


class Claimer:
    """Claims for one worker; each claim has a number of its own."""

    def __init__(self, hopyard: Hopyard, database: Database, worker: Callable[[], int]) -> None:
        self._hopyard = hopyard
        self._database = database
        self._worker = worker
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
            return Claimed(number, [*claims])
        except LedgerUnavailable as error:
            log.warning("%d messages wait for the ledger: %s", len(once), error)
            # It may have committed all the same: what nobody here knows of must not stay claimed.
            await self.give_back([(id_, counter) for id_ in once], number)
            return Claimed(number, left=[*once.values()])
        except Exception:
            log.exception("%d messages cannot be claimed", len(once))
            await self.give_back([(id_, counter) for id_ in once], number)
        finally:
            self.busy -= 1
        if len(once) == 1:
            return Claimed(number, refused=[*once.values()])
        found = Claimed(number)
        for delivery in once.values():
            one = await self.claim([delivery])
            found.claims += one.claims
            found.left += one.left
            found.refused += one.refused
        return found

    async def _take(self, batch: dict[str, Delivery], number: int, counter: int) -> Sequence[Claim]:
        foreign = [delivery for delivery in batch.values() if delivery.foreign is not None]
        if foreign:
            await adopt(self._hopyard, self._database, foreign)
        if worker_state.revoked:
            revoked = [id_ for id_, delivery in batch.items() if delivery.original in worker_state.revoked]
            await cancelling.cancel(self._database, revoked, "revoked through Celery")
        claims = await self._database.claim([*batch], number, counter)
        if foreign:
            ours = {claim.id for claim in claims}
            await waiting.rung(self._database, [delivery.id for delivery in foreign if delivery.id in ours])
        return claims

    async def give_back(self, jobs: Sequence[tuple[str, int]], number: int, entry: str | None = None) -> None:
        """Undo claims, however long the ledger is away; those that are not ours stay as they are."""
        while True:
            try:
                await waiting.release(self._database, jobs, number, entry)
            except LedgerUnavailable as error:
                log.info("%d jobs cannot be handed back yet: %s", len(jobs), error)
                await asyncio.sleep(PAUSE)
            else:
                return
