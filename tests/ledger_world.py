"""What the actors of `core/tests/test_ledger_interleavings.py` do, and what must hold when they are done."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

from hopyard.errors import LedgerUnavailable, StaleFence
from hopyard.ledger import cancelling, keys, queues, waiting, workers
from hopyard.ledger.crashes import MAX_CRASHES
from hopyard.ledger.database import Database, open_database, sqlite_path
from hopyard.ledger.values import Again, Done, NewJob, utcnow
from hopyard.specs import State, Unique
from interleaving import Gate, Stage, Stepped, SteppedWhole
from ledger_model import emptied, seen

T = TypeVar("T")
HOUR = timedelta(hours=1)
NAMES = ("a", "b", "c")


class World:
    """The ledger of one run, what its actors were answered, and what must hold whatever the order was."""

    def __init__(self, ledger: Any, stage: Stage) -> None:
        self.ledger = ledger
        self.database: Database = ledger.database
        self.stage = stage
        self.waited = 0

    async def begin(self) -> None:
        """Empty the ledger for one more run."""
        await emptied(self.database)
        for gate in self.stage.gates.values():
            gate.only = ""
        self.jobs: set[str] = set()
        self.ends: dict[str, list[tuple[State, int | None]]] = {}
        self.grants: Counter[str] = Counter()
        self.returned: Counter[str] = Counter()
        self.requeued = 0
        self.messages: Counter[str] = Counter()
        self.gone: set[str] = set()
        self.told: dict[str, Any] = {}
        self.at_end: Callable[[], Awaitable[None]] | None = None
        self.forgotten_at_last = False

    # --- preparing

    async def job(self, **values: Any) -> str:
        id_: str = await self.ledger.job(**values)
        self.jobs.add(id_)
        return id_

    async def running(self, worker: int, claim: int = 1, crashes: int = 0, **values: Any) -> str:
        id_ = await self.job(**values)
        assert await self.claim(self.database, worker, claim, id_)
        await self.database.execute("UPDATE job_live SET crashes = $2 WHERE id = $1", id_, crashes)
        return id_

    async def lose(self, worker: int) -> None:
        """Let a worker's lease run out."""
        beat = self.database.dialect.plus("beat", "$2")
        await self.database.execute(f"UPDATE worker SET beat = {beat} WHERE id = $1", worker, -3600)

    # --- what actors do

    def of(self, actor: str) -> Database:
        return self.stage.databases[actor]

    async def patient(self, call: Callable[[], Awaitable[T]]) -> T:
        """As the engine does: what the database refuses (a deadlock) is tried again."""
        for _ in range(5):
            try:
                return await call()
            except LedgerUnavailable:
                self.waited += 1
        raise AssertionError("refused five times")

    async def claim(self, database: Database, worker: int, claim: int, *ids: str) -> set[str]:
        for id_ in ids:
            self.messages[id_] = max(0, self.messages[id_] - 1)
        claims = await self.patient(lambda: database.claim(ids, worker, claim))
        for one in claims:
            self.grants[one.id] += 1
        if not claims and await self.patient(lambda: workers.given_up(database, worker)):
            for id_ in ids:  # as the engine does: it keeps the message for when it has another number
                self.messages[id_] += 1
        return {one.id for one in claims}

    async def finish(
        self, database: Database, worker: int, claim: int, *ids: str, state: State = State.SUCCEEDED
    ) -> None:
        done = [Done(id_, claim, state, "1", None, None) for id_ in ids]
        for id_ in await self.patient(lambda: database.finish(done, worker)):
            self.ends.setdefault(id_, []).append((state, claim))

    async def run(self, database: Database, worker: int, claim: int, *ids: str) -> None:
        """Claim and finish."""
        await self.finish(database, worker, claim, *sorted(await self.claim(database, worker, claim, *ids)))

    async def again(self, database: Database, worker: int, claim: int, id_: str, later: bool = True) -> None:
        eta = utcnow() + (HOUR if later else -HOUR)
        for ours in await self.patient(lambda: database.again([Again(id_, claim, eta, "x", "{}")], worker)):
            self.returned[ours] += 1

    async def cancel(self, database: Database, *ids: str) -> None:
        answer = await self.patient(lambda: cancelling.cancel(database, ids, "no more"))
        for id_, state in answer.items():
            if state == State.CANCELLED:
                self.ends.setdefault(id_, []).append((State.CANCELLED, None))

    async def rescue(self, database: Database) -> None:
        rescued = await self.patient(lambda: workers.rescue(database))
        self.requeued += len(rescued.again)

    async def leave(self, database: Database, worker: int) -> None:
        self.requeued += 1
        await self.patient(lambda: workers.leave(database, worker))

    async def release(self, database: Database, worker: int, claim: int, id_: str) -> None:
        self.returned[id_] += 1
        await self.patient(lambda: waiting.release(database, [(id_, claim)], worker))

    async def submit(self, database: Database, job: NewJob) -> None:
        await self.patient(lambda: database.submit([job]))
        self.jobs.add(job.id)

    async def unique(self, database: Database, job: NewJob, mode: Any = "reject") -> tuple[str, bool]:
        answer = await self.patient(lambda: keys.submit_unique(database, job, Unique("k", mode)))
        self.jobs.add(answer[0])
        return answer

    async def promote(self, database: Database) -> None:
        for ring in await self.patient(lambda: waiting.promote(database)):
            self.messages[ring.id] += 1

    async def fenced(self, write: Callable[[], Awaitable[Any]], name: str) -> None:
        """Write under a fence and note whether it was accepted."""
        try:
            await self.patient(write)
        except StaleFence:
            self.told[name] = "stale"
        else:
            self.told[name] = "stored"

    # --- what must hold

    async def check(self) -> None:
        """Check the promises, then bring everything to its end and check once more."""
        found = await seen(self.database)
        self.promises(found)
        if self.at_end is not None:
            await self.at_end()
        for id_, row in found["live"].items():
            if row["state"] == State.QUEUED and row["queue"] not in found["paused"]:
                if self.forgotten_at_last and not found["outbox"]:
                    assert [ring.id for ring in await waiting.forgotten(self.database, ["q"], 0.0)] == [id_]
                    continue
                assert id_ in found["outbox"] or self.messages[id_], "nobody will ring for a queued job"
        await self.drain()
        found = await seen(self.database)
        assert found["live"] == {}, "a job does not come to its end"
        self.promises(found)

    def promises(self, found: dict[str, Any]) -> None:
        live, past = found["live"], found["past"]
        assert not {*live} & {*past}, "a job is live and over at once"
        assert {*live, *past} == self.jobs - self.gone, "a job is lost"
        for id_, ends in self.ends.items():
            assert len(ends) == 1, "a job ended twice"
            state, claim = ends[0]
            if id_ not in self.gone:
                assert past[id_]["state"] == state, "a terminal state changed"
                assert claim is None or past[id_]["claim"] == claim, "a stale outcome was accepted"
        for id_, row in {**live, **past}.items():
            assert row["crashes"] <= MAX_CRASHES
            assert (row["state"] == State.RUNNING) <= (row["worker"] is not None)
            again = self.returned[id_] + self.requeued
            assert self.grants[id_] <= 1 + again, "a job was given to two workers"

    async def drain(self) -> None:
        """Lose all workers, let all times come, and let one worker run what is left."""
        database = self.database
        for row in await database.fetch("SELECT id FROM worker"):
            await self.lose(row["id"])
        await self.rescue(database)
        await self.ledger.later("job_live", "eta", 7200)
        await self.promote(database)
        await waiting.unpark(database, ["site.echo"])
        await queues.resume(database, "q")
        worker = await self.ledger.worker()
        left = [str(row["id"]) for row in await database.fetch("SELECT id FROM job_live ORDER BY id")]
        self.requeued += len(left)
        await self.run(database, worker, 900, *left)


@asynccontextmanager
async def staged(url: str) -> AsyncIterator[Stage]:
    """The actors' databases."""
    observer = open_database(url)

    def connect(gate: Gate) -> Database:
        return SteppedWhole(sqlite_path(url), gate) if url.startswith("sqlite") else Stepped(url, gate)

    stage = Stage(connect, observer, NAMES)
    try:
        yield stage
    finally:
        await stage.close()
        await observer.close()
