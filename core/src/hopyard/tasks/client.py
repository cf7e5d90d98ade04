"""Ledger and broker as one event loop of a program sees them: submitting jobs and waiting for results."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Final, NamedTuple

from hopyard import portal
from hopyard.broker.publisher import Publisher, unsendable
from hopyard.errors import (
    BrokerError,
    HopyardError,
    JobCancelled,
    JobFailed,
    LedgerUnavailable,
    ResultTimeout,
)
from hopyard.ledger import waiting
from hopyard.ledger.database import Database
from hopyard.ledger.following import open_groups
from hopyard.ledger.keys import submit_unique
from hopyard.ledger.values import NewJob, QueueMessage
from hopyard.specs import State, Unique
from hopyard.tasks import signals
from hopyard.tasks.canvas import Collection, refuse_taken

log = logging.getLogger("hopyard.submit")

_BATCH: Final = 1000
#: An accepted job need not wait for a broker that hangs: the relay messages later.
_PUBLISH_SECONDS: Final = 3.0
#: How long an outbox entry stays after its message was sent, at most: far less than the relay waits (2 s).
_CLEAN_SECONDS: Final = 0.25
_POLL_SECONDS: Final = (0.01, 0.25)


class Ended(NamedTuple):
    """How a job ended. `result` and `error` are JSON texts."""

    state: State
    result: str | None
    error: str | None


class _Batch(NamedTuple):
    """One caller's jobs."""

    jobs: Sequence[NewJob]
    fresh: bool
    future: asyncio.Future[set[str]]


class Client:
    """Everything that a producer needs, bound to one event loop."""

    def __init__(
        self,
        database: Database,
        publisher: Publisher,
        sent: Callable[[Sequence[NewJob]], None] | None = None,
    ) -> None:
        """`sent` is told of jobs once they are stored; it must neither wait nor raise."""
        self.database = database
        self.publisher = publisher
        self._sent = sent
        self._waiting: deque[_Batch] = deque()
        self._flusher: asyncio.Task[None] | None = None
        self._busy = False
        """Jobs are being stored: whoever comes now waits, to be stored together with the others."""
        self._published: list[tuple[str, Any]] = []
        """Jobs whose messages were sent, each with what tells its entry from later ones."""
        self._clean_now = asyncio.Event()
        self._cleaner: asyncio.Task[None] | None = None
        #: Ends with the loop, and closes the client then.
        self.ends: AsyncGenerator[None, None] | None = None
        self._results: dict[str, list[asyncio.Future[Ended]]] = {}
        self._poller: asyncio.Task[None] | None = None

    async def submit(self, jobs: Sequence[NewJob], *, fresh: bool = False) -> set[str]:
        """Store jobs and send their messages; return the ids that were new. `fresh` as in `Database.submit`.

        When it returns the jobs are accepted: they survive anything. Callers at the same time share a commit.
        Raises `LedgerUnavailable` where nothing was stored.
        """
        jobs = signals.before_publish(jobs)
        new = await self._submit(jobs, fresh)
        signals.after_publish(jobs, new)
        return new

    async def _submit(self, jobs: Sequence[NewJob], fresh: bool) -> set[str]:
        if not self._busy:
            self._busy = True
            try:
                return await self._stored(jobs, fresh)
            finally:
                self._busy = False
                self._flush_soon()
        future: asyncio.Future[set[str]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Batch(jobs, fresh, future))
        return await future

    async def submit_canvas(self, found: Collection) -> None:
        """Store a canvas in one transaction, with sizes and shapes of chords' headers; send its messages.

        Raises `SpecError`, and stores nothing, where one of its ids is another job's.
        """
        jobs = signals.before_publish(found.jobs)
        new: set[str] = set()
        async with self.database.transaction() as tx:
            if found.sizes:
                await open_groups(tx, self.database.dialect, found.sizes, found.shapes)
            for start in range(0, len(jobs), _BATCH):
                new |= await tx.insert_jobs(jobs[start : start + _BATCH])
            await refuse_taken(tx, self.database, found, new)
        await self.announce([job for job in jobs if job.id in new])
        signals.after_publish(jobs, new)

    async def submit_unique(self, job: NewJob, unique: Unique) -> str:
        """Store a job that is unique by key; return the id of the job that holds the key now."""
        (job,) = signals.before_publish([job])
        id_, new = await submit_unique(self.database, job, unique)
        signals.after_publish([job], {id_} if new else ())
        if new:
            await self.announce([job])
        else:
            log.info("%s was not stored beside job %s, which holds the key %s", job.task, id_, unique.key)
        return id_

    def _flush_soon(self) -> None:
        if self._waiting:
            self._busy = True
            self._flusher = portal.spawn(self._flush())

    async def _flush(self) -> None:
        """Store what callers brought while another one's jobs were stored."""
        try:
            while self._waiting:
                batch = [self._waiting.popleft()]
                size = len(batch[0].jobs)
                while self._waiting and size + len(self._waiting[0].jobs) <= _BATCH:
                    batch.append(self._waiting.popleft())
                    size += len(batch[-1].jobs)
                await self._store(batch)
        finally:
            self._busy = False

    async def _stored(self, jobs: Sequence[NewJob], fresh: bool) -> set[str]:
        new, at, entry = await self.database.submit(jobs, fresh=fresh)
        await self.announce([job for job in jobs if job.id in new], at, entry)
        return new

    async def announce(self, jobs: Sequence[NewJob], at: Any = None, entry: str | None = None) -> None:
        """Send the messages of jobs that were just stored, and tell plugins of them.

        `at` and `entry` are as for `publish`.
        """
        if self._sent is not None:
            self._sent(jobs)
        await self.publish([QueueMessage(*job[:6]) for job in jobs if job.state == State.QUEUED], at, entry)

    async def _store(self, batch: list[_Batch]) -> None:
        jobs = [job for part in batch for job in part.jobs]
        try:
            new = await self._stored(jobs, all(part.fresh for part in batch))
        except Exception as error:  # noqa: BLE001 - whatever it is, each caller gets it
            if len(batch) > 1 and not isinstance(error, LedgerUnavailable):
                for part in batch:  # one caller's row must not fail the others'
                    await self._store([part])
                return
            for part in batch:
                if not part.future.done():
                    part.future.set_exception(error)
            return
        for part in batch:
            if not part.future.done():
                part.future.set_result({job.id for job in part.jobs if job.id in new})

    async def publish(
        self, messages: Sequence[QueueMessage], at: Any = None, entry: str | None = None
    ) -> bool:
        """Put messages into the broker and drop their outbox entries; False if the broker is away.

        `at` and `entry` are of the jobs' `Stored`: their entries may stay a moment, since later ones are told
        from them.
        """
        if not messages:
            return True
        entries = [(entry, at)] if entry else [(message.id, at) for message in messages]
        if at is None:
            # Before the messages go: an entry that is written from now on waits for a message of its own.
            entries = await self._entries([message.id for message in messages])
        try:
            async with asyncio.timeout(_PUBLISH_SECONDS):
                await self.publisher.publish(messages)
        except (BrokerError, TimeoutError) as error:
            log.warning("the broker is away, %d accepted jobs wait for the relay: %s", len(messages), error)
            return False
        except Exception:
            log.exception("%d accepted jobs wait for the relay: sending their messages failed", len(messages))
            return await self._without_unsendable(messages, at, entry)
        self._published += entries
        if at is None or len(self._published) >= _BATCH:
            self._clean_now.set()
        if self._cleaner is None or self._cleaner.done():
            self._cleaner = portal.spawn(self._clean())
        return True

    async def _entries(self, ids: Sequence[str]) -> list[tuple[str, Any]]:
        try:
            return await waiting.entries(self.database, ids)
        except LedgerUnavailable as error:
            log.info("the outbox entries of %d jobs are left to the relay: %s", len(ids), error)
            return []

    async def _without_unsendable(self, messages: Sequence[QueueMessage], at: Any, entry: str | None) -> bool:
        """Park the jobs whose messages cannot be made, and send those of the others."""
        faults = {message.id: fault for message in messages if (fault := unsendable(message)) is not None}
        if not faults:
            return False
        try:
            for id_, fault in faults.items():
                log.error("job %s is parked: %s", id_, fault)
                await waiting.park(self.database, [id_], fault)
        except LedgerUnavailable as error:
            log.info("jobs whose messages cannot be sent are parked later: %s", error)
            return False
        return await self.publish([message for message in messages if message.id not in faults], at, entry)

    async def _clean(self) -> None:
        """Drop outbox entries, many at a time: a commit for each would be a third of what its job costs."""
        while self._published:
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_CLEAN_SECONDS):
                        await self._clean_now.wait()
            except (
                asyncio.CancelledError
            ):  # the loop is wound up: what is left now the relay would send again
                await self.drop_sent()
                raise
            self._clean_now.clear()
            await self.drop_sent()

    async def drop_sent(self) -> None:
        """Drop the outbox entries of what was sent; entries that were written since stay."""
        sent, self._published = self._published, []
        try:
            if sent:
                await self.database.drop_sent(sent)
        except LedgerUnavailable as error:
            log.info("outbox entries stay for the relay: %s", error)

    async def wait(self, id_: str, timeout: float | None) -> Ended:
        """Wait until a job is over, at most `timeout` seconds; 0 only looks. Raises `ResultTimeout`."""
        if timeout is not None and timeout <= 0:
            found = await self.ended([id_])
            if id_ in found:
                return found[id_]
        future: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._results.setdefault(id_, []).append(future)
        if self._poller is None or self._poller.done():
            self._poller = portal.spawn(self._poll())
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            raise ResultTimeout(f"job {id_} did not end within {timeout:g} s; it goes on") from None
        finally:
            self._results[id_].remove(future)
            if not self._results[id_]:
                del self._results[id_]

    async def _poll(self) -> None:
        """Ask for all awaited results in one query, less often the longer nothing happens."""
        pause = _POLL_SECONDS[0]
        while self._results:
            try:
                found = await self.ended([*self._results])
            except LedgerUnavailable as error:
                log.info("waiting for results: %s", error)
                found = {}
            except Exception as error:  # noqa: BLE001 - whatever it is, each caller gets it
                for future in [future for futures in self._results.values() for future in futures]:
                    if not future.done():
                        future.set_exception(error)
                found = {}
            for id_, ended in found.items():
                for future in self._results.get(id_, ()):
                    if not future.done():
                        future.set_result(ended)
            pause = _POLL_SECONDS[0] if found else min(pause * 1.5, _POLL_SECONDS[1])
            await asyncio.sleep(pause)

    async def ended(self, ids: Sequence[str]) -> dict[str, Ended]:
        """Return how those of the jobs ended that are over."""
        rows = await self.database.fetch(
            f"SELECT id, state, result, error FROM job_history WHERE id {self.database.dialect.ids('$1')}",
            self.database.list(ids),
        )
        return {str(row["id"]): Ended(State(row["state"]), row["result"], row["error"]) for row in rows}

    async def close(self) -> None:
        """Finish what was begun and close the connections."""
        self._clean_now.set()
        for task in (self._flusher, self._cleaner):
            if task is not None and not task.done():
                await asyncio.wait([task], timeout=5)
        if self._poller is not None:
            self._poller.cancel()
        await self.publisher.close()
        await self.database.close()

    def abandon(self) -> None:
        """Cut the connections, whose loop is closed, from whichever thread."""
        self.publisher.abandon()
        self.database.abandon()


def raise_unless_succeeded(id_: str, ended: Ended) -> None:
    """Raise `JobFailed` or `JobCancelled` for a job that ended so."""
    if ended.state is State.SUCCEEDED:
        return
    if ended.state is State.CANCELLED:
        raise JobCancelled(f"job {id_} was cancelled")
    if ended.error is None:
        raise HopyardError(f"job {id_} ended {ended.state.label} without an error")
    error: dict[str, Any] = json.loads(ended.error)
    raise JobFailed(
        f"job {id_} ended dead: {error.get('kind')}: {error.get('message')}",
        kind=error.get("kind", ""),
        category=error.get("category", "bug"),
    )
