"""The child process of `pool="process"` tasks: takes jobs from its parent over a socket, answers there."""

from __future__ import annotations

import asyncio
import faulthandler
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from hopyard import current, portal
from hopyard.app import Hopyard
from hopyard.ending import end_soon
from hopyard.engine.processes.pool import CANCEL, claim_from
from hopyard.engine.processes.process import resident
from hopyard.engine.retry import describe
from hopyard.engine.run import wrapping
from hopyard.engine.run.runner import nobody_cancelled
from hopyard.engine.run.wrapping import TookTooLong, Wrappers
from hopyard.errors import JobCancelled
from hopyard.ledger import notes
from hopyard.ledger.database import Database
from hopyard.ledger.read.logs import LogLine
from hopyard.ledger.values import Claim, Progress
from hopyard.monitor import logs
from hopyard.monitor.joblog import JobLog
from hopyard.tasks import Task, signals
from hopyard.tasks.classify import classify
from hopyard.tasks.job import Job, current_job

if TYPE_CHECKING:
    from hopyard.tasks import Task


class ChildHost:
    """The `Host` of jobs in a child: one connection, opened for the first checkpoint."""

    def __init__(self, hopyard: Hopyard, line: socket.socket) -> None:
        self._hopyard = hopyard
        self._line = line
        self._saying = threading.Lock()
        self._about: dict[str, Any] = {}
        self._database: Database | None = None
        self._told = False
        self._waits = 0
        self.worker = 0
        self.busy = False

    def note(self, progress: Progress) -> None:
        self.say({"progress": [progress.current, progress.total, progress.message]})

    def logged(self, line: LogLine) -> None:
        """Tell the parent what the job logged."""
        self.say({"log": [line.n, line.at.timestamp(), line.level, line.message]})

    async def save(self, id_: str, claim: int, data: Mapping[str, Any]) -> None:
        database, fence = self.held(id_, claim)
        await notes.write_checkpoint(database, id_, fence, data)

    def held(self, id_: str, claim: int) -> tuple[Database, tuple[int, int]]:
        if self._database is None:
            self._database = self._hopyard.open_database()
        return self._database, (self.worker, claim)

    @asynccontextmanager
    async def release_slot(self, id_: str) -> AsyncIterator[None]:
        """Have the parent give the job's slot to others until the block ends."""
        self._waits += 1
        if self._waits == 1:
            self.say({"waits": True})
        try:
            yield
        finally:
            self._waits -= 1
            if self._waits == 0:
                self.say({"waits": False})

    def check(self, id_: str, claim: int) -> None:
        """Raise if the job was told to stop."""
        if self._told:
            raise JobCancelled(f"job {id_} was cancelled")

    def stop(self, *_: Any) -> None:
        """Interrupt the job that runs, as a signal's handler; the child is not used again."""
        self._told = True
        if self.busy:
            raise JobCancelled("the job was cancelled")

    async def close(self) -> None:
        """Close the connection, on the loop that opened it."""
        if self._database is not None:
            await self._database.close()

    def begin(self, claim: Claim, worker: int) -> None:
        """Speak of this job from now on."""
        self.worker = worker
        self._waits = 0
        self._about = {"job": claim.id, "claim": claim.claim}

    def say(self, what: Mapping[str, Any]) -> None:
        """Tell the parent of the job that runs."""
        with self._saying:
            self._line.sendall(json.dumps({**what, **self._about}).encode() + b"\n")


def run(hopyard: Hopyard, host: ChildHost, order: dict[str, Any]) -> dict[str, Any]:
    """Run one job; return the answer."""
    claim = claim_from(order["claim"])
    host.begin(claim, order["worker"])
    return _answer(hopyard, host, claim, order["checkpoint"])


def _answer(hopyard: Hopyard, host: ChildHost, claim: Claim, checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    process = os.getpid()
    job = Job(claim, host, checkpoint)
    token = current_job.set(job)
    try:
        task = hopyard.task(claim.task)
        values = task.payload.load_body(claim.body)
        if task.payload.job_parameter:
            values[task.payload.job_parameter] = job
        host.say({"memory": resident(os.getpid())})  # its parent looks now and then only
        host.busy = True
        host.check(claim.id, claim.claim)
        value = signals.wrapped(job, values, lambda: _value(hopyard, job, task, values))()
        host.busy = False
        return {"result": task.payload.dump_result(value)}
    except BaseException as error:  # noqa: BLE001 - whatever a task raises is told to the parent
        host.busy = False
        return {"error": _described(hopyard, claim.task, error)}
    finally:
        host.busy = False
        current_job.reset(token)
        if os.getpid() != process:  # the task forked, and the child came back: it has nothing to answer
            os._exit(0)


def _value(hopyard: Hopyard, job: Job, task: Task[..., Any], values: dict[str, Any]) -> Any:
    """Return what a task returns, within what plugins put around its run."""
    function = partial(task.function, **values)
    callers = hopyard.plugins.callers
    if not callers.of("run_task"):
        return _on_portal(function()) if task.is_async else function()
    wrappers = Wrappers(callers, job)
    if task.is_async:
        return _on_portal(wrappers.on_loop(function))
    return wrappers.run(function, portal.loop(), _alarmed)


@contextmanager
def _alarmed() -> Iterator[None]:
    """Interrupt a plugin's wrapper that hangs in this process's main thread, where the task runs."""

    def too_long(*_: Any) -> None:
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, wrapping.WRAP_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _described(hopyard: Hopyard, task: str, error: BaseException) -> dict[str, Any]:
    if isinstance(error, asyncio.CancelledError):
        error = nobody_cancelled(task, error)
    verdict = hopyard.plugins.classify(task, error) or classify(error)
    told = describe(error, verdict.category, None)
    return {name: told[name] for name in ("kind", "category", "message", "traceback")} | {
        "retry_after": verdict.retry_after
    }


def _on_portal(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on the portal's loop; one that is told to stop may clean up first."""
    over = threading.Event()

    async def whole() -> Any:
        try:
            return await coroutine
        finally:
            over.set()

    future = asyncio.run_coroutine_threadsafe(whole(), portal.loop())
    try:
        return future.result()
    except JobCancelled:
        if future.cancel():
            over.wait()
        raise


def main() -> None:
    """Serve jobs until the line ends: the parent is gone then."""
    descriptor = int(sys.argv[1])
    os.set_inheritable(descriptor, False)  # what tasks start must not hold the line, nor read from it
    hopyard: Hopyard = current.get()
    logs.configure(hopyard.settings.log.level, hopyard.settings.log.format, prints=True)
    hopyard.plugins.start_process("child")
    faulthandler.enable()  # a segfault says where, in the parent's log and in the job's history
    with socket.socket(fileno=descriptor) as line, line.makefile("rb") as orders:
        host = ChildHost(hopyard, line)
        logging.getLogger().addHandler(JobLog(host.logged))
        signal.signal(CANCEL, host.stop)
        for order in orders:
            host.say(run(hopyard, host, json.loads(order)))
    hopyard.plugins.stop_process("child")
    portal.run(host.close())
    end_soon(0)


if __name__ == "__main__":
    main()
