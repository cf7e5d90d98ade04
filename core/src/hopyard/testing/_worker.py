"""A worker in the tests' process: the engine's own claim, run, retry and record, without broker and Celery.

All of it lives on the process's portal loop, as in a worker.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from hopyard import portal
from hopyard.engine.claim.claimer import Claimer
from hopyard.engine.consume.delivery import Delivery, nothing
from hopyard.engine.observers import EndedRun, Observers
from hopyard.engine.plugin_events import PluginEvents
from hopyard.engine.record.followups import FollowUps, FollowUpsObserver
from hopyard.engine.retry import Retry, failed_here
from hopyard.engine.run.deadlines import over
from hopyard.engine.run.job_host import JobHost
from hopyard.engine.run.jobs import Jobs, Outcome
from hopyard.engine.run.runner import Runner
from hopyard.engine.slots import Slots
from hopyard.errors import HopyardError, LedgerUnavailable
from hopyard.ledger import cancelling, waiting, workers
from hopyard.ledger.values import Again, Claim, Done, Progress, QueueMessage
from hopyard.tasks.job import Job
from hopyard.testing.faults import CancelAfter, DieAfter, Died, Fault, LoseLease, Moment, TimeOutAfter

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.engine.running import Running
    from hopyard.loading import EventTeller
    from hopyard.tasks.client import Client

log = logging.getLogger("hopyard.testing")

#: Jobs that one run may lead to: one that submits itself again and again would never be over.
MOST_JOBS: Final = 10_000
_SLOTS: Final = 1_000_000
_LEASE: Final = 3600.0


async def _admit_all(claims: Sequence[Claim], worker: int) -> list[Claim]:
    """A test has as much of each resource as its jobs need."""
    return [*claims]


class InProcessWorker:
    """Runs the jobs of one installation until nothing is left to do now. Retries do not wait."""

    def __init__(self, hopyard: Hopyard, client: Client, teller: EventTeller) -> None:
        self._hopyard = hopyard
        self._client = client
        self._database = client.database
        self._number = 0
        self._queued: list[QueueMessage] = []
        self._changed = asyncio.Event()
        self._background: set[asyncio.Task[Any]] = set()
        self._running: dict[str, Running] = {}
        #: What still happens to the next attempt of a job, and how often each moment has come in this one.
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self._moments: dict[tuple[str, int, Moment], int] = defaultdict(int)
        self.progress: dict[str, list[Progress]] = defaultdict(list)
        self.saved: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        followups = FollowUpsObserver(FollowUps(hopyard, client), self._spawn)
        events = PluginEvents(teller, self._running, lambda: self._number)
        self._observers = Observers(followups, events)
        host = _Host(self, JobHost(self._database, self._observers, self._running, lambda slots: None))
        self._runner = Runner(hopyard, host, None, lambda job, limit: None, _Job)
        self._runner.retry = _Retry(hopyard.plugins)
        self._claimer = Claimer(
            hopyard.plugins,
            self._database,
            lambda: self._number,
            self._observers.parked,
            _admit_all,
        )
        self._jobs = Jobs(
            self._runner,
            self._running,
            holds=lambda number: True,
            ended=self._ended,
            hand_back=self._hand_back,
            look_again=lambda id_: None,
            spawn=self._spawn,
        )

    def enqueue(self, messages: Sequence[QueueMessage]) -> None:
        """Take the messages of queued jobs, on this worker's loop."""
        self._queued += messages
        self._changed.set()

    async def work(self, within: float) -> None:
        """Run what is queued, and all that this leads to, until nothing is left that runs now.

        Raises `HopyardError` where that never ends, or takes longer than `within` seconds: what runs then is
        left behind, and the next jobs run as if it were not there.
        """
        try:
            async with asyncio.timeout(within) as limit:
                await self._work()
        except TimeoutError:
            if not limit.expired():
                raise
            names = ", ".join(sorted({running.claim.task for running in self._running.values()}))
            self._leave_behind()
            raise HopyardError(f"not over within {within:g} s: {names or 'the work'}") from None

    def _leave_behind(self) -> None:
        """Forget what runs; tasks that obey a cancel end."""
        for running in [*self._running.values()]:
            running.over = True
            if running.run is not None:
                running.run.cancel()
        self._running.clear()
        for task in [*self._background]:
            task.cancel()

    async def _work(self) -> None:
        if not self._number:
            self._number = await self._register()
        begun = 0
        while self._queued or self._running or self._background:
            self._changed.clear()
            queued, self._queued = self._queued, []
            begun += len(queued)
            if begun > MOST_JOBS:
                raise HopyardError(f"over {MOST_JOBS:,} jobs have run, and more are queued: is there an end?")
            await self._begin(queued)
            if not self._queued and (self._running or self._background):
                await self._changed.wait()

    def close(self) -> None:
        """Let the threads go."""
        self._runner.close()

    # --- from queued to running

    async def _begin(self, messages: Iterable[QueueMessage]) -> None:
        healthy = []
        for message in messages:
            delivery = Delivery(message.id, message.id, message.queue, message.task, None, nothing)
            if not self.faults.get(message.id):
                healthy.append(delivery)
                continue
            # What befalls a worker befalls all of its jobs: this one gets a worker of its own.
            usual, self._number = self._number, await self._register()
            await self._claim([delivery])
            self._number = usual
        if healthy:
            await self._claim(healthy)

    async def _claim(self, deliveries: Sequence[Delivery]) -> None:
        found = await self._claimer.claim(deliveries)
        if found.left:
            raise LedgerUnavailable("the ledger is away")
        by_id = {delivery.id: delivery for delivery in deliveries}
        begun = [
            self._jobs.begin(
                claim, by_id[claim.id], found.worker, Slots.of(_SLOTS), task=None, revoke=lambda id_: None
            )
            for claim in found.claims
        ]
        self._observers.begun(begun)

    async def _register(self) -> int:
        return await workers.register(
            self._database, name="testing", role="worker", queues=[], plugins={}, lease=_LEASE
        )

    # --- from running to recorded

    def _ended(self, running: Running, outcome: Outcome) -> None:
        self._observers.ended([EndedRun(running, outcome)])
        if outcome is not None:
            self._spawn(self._record(running, outcome))

    async def _record(self, running: Running, outcome: Done | Again) -> None:
        try:
            ours = await self._written(running, outcome)
        except Exception as error:
            log.exception("the outcome of job %s cannot be stored", outcome.id)
            outcome = failed_here(running.claim, error)
            ours = await self._written(running, outcome)
        self._observers.recorded([outcome], [] if ours else [outcome.id])
        if isinstance(outcome, Again):
            await self._due_now([outcome.id])

    async def _written(self, running: Running, outcome: Done | Again) -> bool:
        if isinstance(outcome, Again):
            return bool(await self._database.again([outcome], running.worker))
        return bool(await self._database.finish([outcome], running.worker))

    async def _due_now(self, ids: Sequence[str]) -> None:
        d = self._database.dialect
        await self._database.execute(
            f"UPDATE job_live SET eta = {d.now} WHERE id {d.ids('$1')} AND eta IS NOT NULL",
            self._database.list(ids),
        )
        await self._client.publish(await waiting.promote(self._database))

    async def _hand_back(self, running: Running) -> None:
        claim = running.claim
        await self._claimer.give_back([(claim.id, claim.claim)], running.worker, running.handed_back())
        self.enqueue(await waiting.queued_again(self._database, [claim.id]))

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = portal.spawn(work)
        self._background.add(task)
        task.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        self._changed.set()
        if not task.cancelled() and task.exception() is not None:
            log.error("the worker's own work failed", exc_info=task.exception())

    # --- faults

    def moment(self, id_: str, moment: Moment, name: str = "") -> None:
        """Let what a test has planned for this moment of a job happen. Raises what the task is to see."""
        running = self._running.get(id_)
        if running is None or not self.faults.get(id_):
            return
        key = (id_, running.claim.claim, moment)
        self._moments[key] += 1
        for fault in [*self.faults[id_]]:
            if fault.hits(moment, self._moments[key], name):
                self.faults[id_].remove(fault)
                self._strike(running, fault)
                return  # one at a time: the next one waits for its own moment

    def _strike(self, running: Running, fault: Fault) -> None:
        if isinstance(fault, DieAfter | LoseLease):
            running.over = True
            self._running.pop(running.claim.id, None)
            portal.call_soon(portal.loop(), self._lose, running)
        elif isinstance(fault, CancelAfter):
            portal.call_soon(portal.loop(), self._cancel, running.claim.id)
        if isinstance(fault, DieAfter):
            raise Died(f"job {running.claim.id} died, as the test wants")
        if isinstance(fault, TimeOutAfter):
            self._time_out(running)

    def _time_out(self, running: Running) -> None:
        task = self._hopyard.task(running.claim.task)
        if not task.is_async:  # in a thread the error is raised at the task's next step: which this is
            raise over(task.name, self._hopyard.options(task.name).time_limit)
        if running.run is not None:
            self._runner.time_is_up(running.run)

    def _cancel(self, id_: str) -> None:
        self._spawn(cancelling.cancel(self._database, [id_], "cancelled by the test"))
        self._jobs.cancel(id_, arriving=False)

    def _lose(self, running: Running) -> None:
        self._spawn(self._lost(running))

    async def _lost(self, running: Running) -> None:
        """Have the job's worker be given up; the job runs again once its lost attempt is over."""
        await self._database.execute("UPDATE worker SET lease = -1 WHERE id = $1", running.worker)
        rescued = await workers.rescue(self._database)
        if running.run is not None:
            await asyncio.wait([running.run])
        self._queued += rescued.again


class _Host:
    """The engine's host of jobs, which notes what they say and lets faults happen."""

    def __init__(self, worker: InProcessWorker, host: JobHost) -> None:
        self._worker = worker
        self._host = host
        self.held = host.held
        self.check = host.check
        self.release_slot = host.release_slot

    def note(self, progress: Progress) -> None:
        """Take progress, from any thread."""
        self._worker.progress[progress.id].append(progress)
        self._host.note(progress)
        self._worker.moment(progress.id, "progress")

    async def save(self, id_: str, claim: int, data: Mapping[str, Any]) -> None:
        """Store a checkpoint durably. Raises `StaleFence`."""
        await self._host.save(id_, claim, data)
        self._worker.saved[id_].append(dict(data))
        self._worker.moment(id_, "save")

    async def effect_happened(self, id_: str, name: str, end: Any, state: str, outcome: Any = None) -> None:
        """Record how an effect ended, unless the job dies before."""
        if state == "done":
            self._worker.moment(id_, "effect", name)
        await end(state, outcome)


class _Job(Job):
    """A job whose effects can be interrupted between the action and its record."""

    async def _begin_effect(self, name: str, data: Mapping[str, Any], repeat: bool) -> tuple[Any, Any]:
        begun, end = await super()._begin_effect(name, data, repeat)
        host: Any = self._host
        return begun, partial(host.effect_happened, self.id, name, end)


class _Retry(Retry):
    """Says nothing about attempts that died, as nobody would hear of it from a dead process."""

    def after(self, claim: Claim, error: BaseException, seconds: float, worker: int) -> Done | Again:
        if isinstance(error, Died):
            return failed_here(claim, error)  # which is ignored: the attempt is over already
        return super().after(claim, error, seconds, worker)
