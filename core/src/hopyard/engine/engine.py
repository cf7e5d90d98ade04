"""The engine of one worker process: put together, started, drained.

It lives beside Celery's consumer. The portal's event loop takes messages, claims, runs and records; Celery's
thread hands over messages of brokers other than Redis, and acknowledges them once their claim has committed.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from hopyard import portal
from hopyard.broker.popper import put_back
from hopyard.engine.background import Background, end_process
from hopyard.engine.blocked import BlockedLoop
from hopyard.engine.celery_node.main_thread import MainThread
from hopyard.engine.celery_node.view import CeleryEvents
from hopyard.engine.claim.claimer import Claimed, Claimer
from hopyard.engine.consume.batch_consumer import BatchConsumer
from hopyard.engine.consume.delivery import Delivery, Refused
from hopyard.engine.consume.message_consumer import FOREIGN_SLOTS, MessageConsumer
from hopyard.engine.consume.receiver import Receiver
from hopyard.engine.heartbeat import Heartbeat
from hopyard.engine.observers import EndedRun, Observers
from hopyard.engine.plugin_events import PluginEvents, tell_of_faults
from hopyard.engine.processes.pool import ProcessPool
from hopyard.engine.readmission import Readmission, enabled
from hopyard.engine.reconciler import Reconciler
from hopyard.engine.record.followups import FollowUps, FollowUpsObserver
from hopyard.engine.record.lines import LineWriter
from hopyard.engine.record.progress import ProgressWriter
from hopyard.engine.record.recorder import Recorder
from hopyard.engine.resources import Resources
from hopyard.engine.retry import failed_here
from hopyard.engine.run.job_host import JobHost
from hopyard.engine.run.jobs import Jobs, Outcome
from hopyard.engine.run.runner import Runner
from hopyard.engine.slots import Slots
from hopyard.errors import LedgerUnavailable
from hopyard.ledger import cancelling, set_aside, waiting, workers

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.engine.running import Running
    from hopyard.ledger.set_aside import SetAside
    from hopyard.ledger.values import Again, Done
    from hopyard.ledger.workers import Command

log = logging.getLogger("hopyard.engine")

#: The reconciler and the consumers may take so long to end what they are at, when the worker ends.
_ENDING_SECONDS: Final = 5.0
_SETTLING_SECONDS: Final = 10.0


class Engine:
    """One per worker process."""

    def __init__(self, hopyard: Hopyard, worker: Any, *, batches: bool = False) -> None:
        self._hopyard = hopyard
        self._celery_worker = worker
        self._loop = portal.loop()
        self._main = MainThread()
        names = [str(name) for name in worker.app.amqp.queues.consume_from]
        queues = hopyard.plugins.queues
        self.slots = {
            name: Slots.of(queues[name].slots if name in queues else FOREIGN_SLOTS) for name in names
        }
        self._wants_batches = batches
        self._batches: BatchConsumer | None = None
        self._events = CeleryEvents(self._main)
        self._consumer: Any = None
        self._running: dict[str, Running] = {}
        self._background = Background()
        self.number = 0
        self._draining = False
        self._rejoining = False

    # --- life, from the main thread

    def start(self) -> None:
        """Register, and begin to beat and reconcile. Called by Celery's worker, before the consumer."""
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(timeout=60)
        if self._celery_worker.hub is not None:
            self._main.attach(self._celery_worker.hub)
        self._hopyard.plugins.start_process("worker")
        worker = self._hopyard.settings.worker
        blocked = BlockedLoop(self._hopyard.plugins, self._jobs, self._loop, lambda: self.number)
        self._heartbeat = Heartbeat(
            self._hopyard.open_database,
            worker=lambda: self.number,
            lease=worker.lease,
            interval=worker.heartbeat,
            loop=self._loop,
            on_commands=lambda commands: self._soon(self._obey, commands),
            on_lost=lambda: self._soon(self._lost),
            on_blocked=blocked.look,
            on_end=end_process,
            seen=self._commands_seen,
        )
        self._heartbeat.start()
        # What a worker has loaded lasts as long as it does: the collector need not look at it again, nor
        # after each 700 objects of the jobs'.
        gc.freeze()
        gc.set_threshold(10_000, 20, 20)

    async def _start(self) -> None:
        await self._hopyard.check_migrations()
        self._client = self._hopyard.client()
        self._database = self._client.database
        # Before anything is claimed: no order about a job of ours may be older than what the heartbeat reads.
        self._commands_seen = await workers.last_command(self._database)
        await self._register()
        self._put_together()
        self._background.vital(self._reconciler.run())
        self._background.vital(self._reconciler.run_retention())
        if unparked := await waiting.unpark(self._database, self._hopyard.tasks):
            log.info("%d parked jobs can run now", unparked)

    def _put_together(self) -> None:
        hopyard, database = self._hopyard, self._database
        self._progress = ProgressWriter(database, self._loop)
        self._lines = LineWriter(database, self._loop)
        self._resources = Resources(
            self._client,
            lambda: hopyard.plugins.options,
            hopyard.settings.resources,
            self._background.spawn,
        )
        self._observers = Observers(
            self._events,
            self._resources,
            FollowUpsObserver(FollowUps(hopyard, self._client), self._background.spawn),
            self._progress,
            PluginEvents(hopyard.plugins.teller, self._running, lambda: self.number),
        )
        tell_of_faults(hopyard.plugins, partial(self._soon, self._keep))
        host = JobHost(database, self._observers, self._running, self._wake)
        grace = hopyard.settings.worker.cancel_grace
        self._processes = ProcessPool(host, hopyard.environment, grace, self._lines.logged)
        self._runner = Runner(
            hopyard, host, self._processes, lambda job, limit: self._jobs.ignored_its_limit(job, limit)
        )
        self._claimer = Claimer(
            hopyard.plugins, database, lambda: self.number, self._observers.parked, self._resources.admitted
        )
        self._jobs = Jobs(
            self._runner,
            self._running,
            holds=lambda number: self._heartbeat.holds(number),
            ended=self._ended,
            hand_back=self._hand_back,
            look_again=lambda id_: self._background.spawn(self._notify_queued([id_])),
            spawn=self._background.spawn,
        )
        self._recorder = Recorder(
            database, lambda: self.number, self._wake_all, self._observers.tell_ends, self._written
        )
        # One worker leads for all: it looks after the queues of the others as well. Over connections of its
        # own: on a slow way jobs wait seconds for their turn at theirs.
        self._leading = hopyard.open_client()
        self._reconciler = Reconciler(
            self._leading,
            sorted({*self.slots, *hopyard.plugins.queues}),
            hopyard.settings,
            FollowUps(hopyard, self._leading),
            self._put_back_batches,
            Readmission(hopyard, database, lambda: self.number).look,
            self._observers.lost,
        )
        self._receiver = Receiver(
            self._celery_worker.app,
            database,
            self._main,
            ending=lambda: self._draining,
            spawn=self._background.spawn,
        )
        self._messages = MessageConsumer(
            self.slots,
            self._main,
            take=self._take,
            closed=lambda: self._closed,
            set_aside=self._receiver.set_aside,
            spawn=self._background.spawn,
        )
        if self._wants_batches:
            self._batches = BatchConsumer(
                hopyard.broker_url,
                self.slots,
                worker=lambda: self.number,
                closed=lambda: self._closed,
                take=self._take,
                divert=self._receiver.divert,
                set_aside=self._receiver.set_aside,
                put_back=lambda own: self._put_back_batches(except_for=own),
            )

    async def _register(self) -> None:
        self.number = await workers.register(
            self._database,
            name=self._celery_worker.hostname,
            role="worker",
            queues=self.slots,
            plugins=enabled(self._hopyard),
            lease=self._hopyard.settings.worker.lease,
        )

    def stop(self, grace: float | None = None) -> None:
        """Drain: take nothing more, let jobs finish within `grace` seconds, hand the rest back."""
        grace = self._hopyard.settings.worker.grace if grace is None else grace
        asyncio.run_coroutine_threadsafe(self._drain(grace), self._loop).result(timeout=grace + 60)
        self._main.run_waiting()
        self._heartbeat.stop()
        asyncio.run_coroutine_threadsafe(self._leave(), self._loop).result(timeout=30)
        self._hopyard.plugins.stop_process("worker")
        self._hopyard.plugins.teller.close()

    async def _drain(self, grace: float) -> None:
        self._draining = True
        self._reconciler.end()
        if self._batches is not None:
            self._batches.end()
        await self._background.ended(_ENDING_SECONDS)
        self._messages.forget()  # not acknowledged: the broker gives them to others
        await self._background.settled(_SETTLING_SECONDS)  # claims on their way
        if self._running:
            log.info("waiting up to %g s for %d running jobs", grace, len(self._running))
            await self._jobs.idle(grace)
        if self._jobs.interrupt_all("release"):
            await self._jobs.idle(_SETTLING_SECONDS)
        await self._progress.drained()
        await self._lines.drained()
        await self._recorder.drained()
        await self._background.settled(_SETTLING_SECONDS)  # what follows the last jobs

    async def _leave(self) -> None:
        try:
            await workers.leave(self._database, self.number)
        except LedgerUnavailable as error:
            log.warning("this worker's lease ends by itself: %s", error)
        self._lines.close()
        self._runner.close()
        await self._processes.close()
        await self._leading.close()
        await self._hopyard.close()

    def connected(self, consumer: Any) -> None:
        """Take the consumer that now delivers messages."""
        if self._celery_worker.hub is not None:
            self._main.attach(self._celery_worker.hub)  # it forgets all readers when a connection is lost
        self._events.connected(consumer)
        self._receiver.connected(consumer)
        if self._wants_batches:
            # Remote control sees the queues; their messages come in batches.
            consumer.task_consumer.consume = lambda *_, **__: None
            if self._consumer is None:
                self._soon(self._take_batches)
        else:
            self._messages.flow.connected(consumer)
        self._consumer = consumer

    def _take_batches(self) -> None:
        if self._batches is not None and not self._draining:
            self._background.vital(self._batches.run())

    def disconnected(self) -> None:
        """Forget messages that cannot be acknowledged any more; the broker or the ledger brings them back."""
        self._messages.flow.disconnected()
        self._soon(self._messages.forget)

    def _soon(self, call: Any, *args: Any) -> None:
        portal.call_soon(self._loop, call, *args)

    # --- messages

    def receive(self, message: Any) -> None:
        """Take a message, from the consumer's thread. Never raises."""
        self._soon(self._receive, self._receiver.read(message))

    def _receive(self, found: Delivery | Refused) -> None:
        if isinstance(found, Refused):
            self._background.spawn(self._receiver.set_aside([found]))
        else:
            self._messages.receive(found)

    def celery_runs(self, task: str) -> bool:
        """Say whether Celery's pool runs a task, outside of the ledger."""
        return self._receiver.celery_runs(task)

    def takes_from_celery(self, message: Any) -> bool:
        """Have a message of one of Celery's own tasks set aside if its pool cannot run it; say whether so."""
        found = self._receiver.refused_by_celery(message)
        if found is not None:
            self._soon(self._receiver.keep, found)
        return found is not None

    async def _put_back_batches(self, except_for: int | None = None) -> int:
        """Put messages back that dead workers had taken. Raises `BrokerError`."""
        if not self._wants_batches:
            return 0
        living = await workers.living(self._leading.database)
        return await put_back(self._hopyard.broker_url, living - {except_for})

    @property
    def _closed(self) -> bool:
        return self._draining or self._recorder.full

    def _wake_all(self) -> None:
        for slots in self.slots.values():
            self._wake(slots)

    def _wake(self, slots: Slots) -> None:
        if self._batches is not None:
            self._batches.wake(slots)
        self._messages.wake(slots)

    # --- jobs

    async def _take(self, batch: Sequence[Delivery]) -> Claimed:
        """Claim what messages stand for, and begin it."""
        found = await self._claimer.claim(batch)
        deliveries = {delivery.id: delivery for delivery in batch}
        begun, tasks = [], self._celery_worker.app.tasks
        for claim in found.claims:
            delivery = deliveries[claim.id]
            try:
                slots, task = self.slots[delivery.queue], tasks.get(claim.task)
                begun.append(self._jobs.begin(claim, delivery, found.worker, slots, task, self._cancel_soon))
            except Exception as error:
                log.exception("job %s cannot be begun", claim.id)
                self._recorder.add(failed_here(claim, error))
        self._observers.begun(begun)
        if not self._claimer.busy:
            self._jobs.cancel_on_arrival.clear()
        return found

    def _ended(self, running: Running, outcome: Outcome) -> None:
        self._observers.ends(EndedRun(running, outcome))
        if outcome is not None:
            self._recorder.add(outcome)
        else:
            self._observers.tell_ends()
        self._wake(running.slots)

    def _written(self, outcomes: Sequence[Done | Again], refused: Sequence[str]) -> None:
        self._observers.recorded(outcomes, refused)
        if refused:
            self._background.spawn(self._notify_queued(refused))

    async def _notify_queued(self, ids: Sequence[str]) -> None:
        """Send messages for those jobs that are queued again: others may have given them back."""
        try:
            await self._client.publish(await waiting.queued_again(self._database, ids))
        except LedgerUnavailable as error:
            log.info("whether %d jobs are queued is left to the reconciler: %s", len(ids), error)

    def _keep(self, found: SetAside) -> None:
        self._background.spawn(set_aside.keep(self._database, [found]))

    async def _hand_back(self, running: Running) -> None:
        claim = running.claim
        await self._claimer.give_back([(claim.id, claim.claim)], running.worker, running.handed_back())
        log.info("job %s is handed back", claim.id)

    # --- orders

    def _cancel_soon(self, id_: str) -> None:
        """Cancel a job for Celery's remote control, from the consumer's thread."""
        cancel = cancelling.cancel(self._database, [id_], "revoked through Celery")
        asyncio.run_coroutine_threadsafe(cancel, self._loop).result(timeout=30)
        self._soon(self._cancel_here, id_)

    def _cancel_here(self, id_: str) -> None:
        self._jobs.cancel(id_, arriving=bool(self._claimer.busy))

    def _obey(self, commands: Sequence[Command]) -> None:
        for command in commands:
            if command.kind == "cancel":
                self._cancel_here(command.target)

    def _lost(self) -> None:
        """Others have our jobs: stop them here, and go on under a new number."""
        self._jobs.interrupt_all("lost")
        if not self._rejoining and not self._draining:
            self._rejoining = True
            self._background.spawn(self._rejoin())

    async def _rejoin(self) -> None:
        try:
            await self._register()
            log.warning("this worker goes on as number %d", self.number)
        except LedgerUnavailable as error:
            log.warning("this worker cannot register again yet: %s", error)
        finally:
            self._rejoining = False
