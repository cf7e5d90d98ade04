"""A caller's grip on a job."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from hopyard import checks, current, portal
from hopyard.errors import ResultTimeout, UnknownJob
from hopyard.ledger import cancelling
from hopyard.ledger.values import job_id, moment
from hopyard.specs import State
from hopyard.tasks.client import Client, raise_unless_succeeded
from hopyard.tasks.job import current_job
from hopyard.tasks.payload import Payload

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Status:
    """A job at one moment. `percentage` is None where the task gave no total."""

    id: str
    task: str
    state: State
    attempt: int
    current: float | None = None
    total: float | None = None
    message: str | None = None
    updated_at: datetime | None = None
    reason: str | None = None

    @property
    def percentage(self) -> float | None:
        if not self.total or self.current is None:
            return None
        return 100.0 * self.current / self.total


class JobHandle(Generic[R]):
    """A job that was accepted. Made by `Task.submit`, or from an id by `Hopyard.handle`.

    Of an id that is no UUID, as stock producers may give, the handle has the UUID that the job got.
    """

    def __init__(self, id_: str, payload: Payload | None = None) -> None:
        self.id = job_id(id_)
        self._payload = payload

    def __repr__(self) -> str:
        return f"JobHandle({self.id!r})"

    @property
    def sync(self) -> JobHandleSync[R]:
        """The same calls for plain code."""
        return JobHandleSync(self)

    async def status(self) -> Status:
        """Return where the job is. Raises `UnknownJob`."""
        database = _client().database
        columns = "j.id, j.task, j.state, j.attempt, j.reason, p.current, p.total, p.message, p.updated"
        joined = "LEFT JOIN job_progress p ON p.job_id = j.id WHERE j.id = $1"
        rows = await database.fetch(
            f"SELECT {columns} FROM job_live j {joined} "
            f"UNION ALL SELECT {columns} FROM job_history j {joined}",
            self.id,
        )
        if not rows:
            raise UnknownJob(f"the ledger has no job {self.id}")
        row = rows[0]
        return Status(
            id=self.id,
            task=row["task"],
            state=State(row["state"]),
            attempt=row["attempt"],
            current=row["current"],
            total=row["total"],
            message=row["message"],
            updated_at=moment(row["updated"]),
            reason=row["reason"],
        )

    async def result(self, timeout: float | None = None) -> R:
        """Wait for the job's result, at most `timeout` seconds. A job that waits holds no slot meanwhile.

        Raises `JobFailed`, `JobCancelled`, `ResultTimeout` if it goes on, or `UnknownJob` where the handle
        was made from an id that the ledger does not have, at the end of the time if there is one.
        """
        if timeout is not None:
            checks.number("result: timeout", timeout, 0, 100 * checks.YEAR, " seconds, or None")
        if self._payload is None and timeout is None:
            await self.status()  # raises: an id that nobody has stored is waited for in vain
        job = current_job.get()
        try:
            async with job.release_slot() if job is not None else nullcontext():
                ended = await _client().wait(self.id, timeout)
        except ResultTimeout:
            await self.status()  # of a stock producer's job the ledger hears when a worker takes its message
            raise
        raise_unless_succeeded(self.id, ended)
        if self._payload is not None:
            return self._payload.load_result(ended.result)  # type: ignore[no-any-return]
        import json

        return None if ended.result is None else json.loads(ended.result)  # type: ignore[return-value]

    async def cancel(self, reason: str = "cancelled by its caller") -> State:
        """Cancel the job. A waiting one is cancelled at once; a running one is told to stop.

        Returns the state it is in now. Raises `UnknownJob`.
        """
        told = await cancelling.cancel(_client().database, [self.id], reason)
        return told.get(self.id) or (await self.status()).state

    async def stream(self, every: float = 0.25) -> AsyncIterator[Status]:
        """Yield the job's status whenever it changed, looked up `every` seconds, until it is over."""
        import asyncio

        checks.positive("stream: every", every, checks.DAY)
        last = None
        while True:
            status = await self.status()
            if status != last:
                last = status
                yield status
            if status.state.final:
                return
            await asyncio.sleep(every)


class JobHandleSync(Generic[R]):
    """`JobHandle`'s calls for plain code; refused inside a running event loop."""

    def __init__(self, handle: JobHandle[R]) -> None:
        self._handle = handle

    def status(self) -> Status:
        """As `JobHandle.status`."""
        return portal.run(self._handle.status())

    def result(self, timeout: float | None = None) -> R:
        """As `JobHandle.result`."""
        return portal.run(self._handle.result(timeout))

    def cancel(self, reason: str = "cancelled by its caller") -> State:
        """As `JobHandle.cancel`."""
        return portal.run(self._handle.cancel(reason))


def _client() -> Client:
    client: Client = current.get().client()
    return client


__all__ = ["JobHandle", "JobHandleSync", "Status"]
