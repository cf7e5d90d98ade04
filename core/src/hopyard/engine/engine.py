"""The engine: from a broker message to a recorded outcome.

It lives in the worker's process beside Celery's consumer. The consumer's thread hands messages over; the
portal's event loop claims, runs and records; the consumer's thread acknowledges once the claim has committed.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from hopyard import portal
from hopyard.broker.popper import put_back
from hopyard.engine.background import Background
from hopyard.engine.celery_node.main_thread import MainThread
from hopyard.engine.celery_node.view import CeleryEvents
from hopyard.engine.claim import foreign
from hopyard.engine.claim.claimer import Claimed, Claimer
from hopyard.engine.consume.batch_consumer import BatchConsumer
from hopyard.engine.consume.delivery import Delivery, from_message, message_of, nothing
from hopyard.engine.consume.message_consumer import FOREIGN_SLOTS, MessageConsumer
from hopyard.engine.heartbeat import Heartbeat
from hopyard.engine.processes.pool import ProcessPool
from hopyard.engine.reconciler import Reconciler
from hopyard.engine.record.followups import FollowUps
from hopyard.engine.record.progress import ProgressWriter
from hopyard.engine.record.recorder import Recorder
from hopyard.engine.run.job_host import JobHost
from hopyard.engine.run.runner import Runner, failed_here
from hopyard.engine.running import Running
from hopyard.engine.slots import Slots
from hopyard.errors import JobCancelled, LedgerUnavailable, StaleFence
from hopyard.ledger import cancelling, waiting, workers
from hopyard.ledger.values import Again, Done
from hopyard.specs import State

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.ledger.workers import Command

log = logging.getLogger("hopyard.engine")

#: What the reconciler or the intake is at may take so long, at the end of the worker.
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
        #: Jobs to cancel that were not running here when the order came, while claims were on their way.
        self._cancel_on_arrival: set[str] = set()
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
        lease = self._hopyard.settings.worker.lease
        self._heartbeat = Heartbeat(
            self._hopyard.open_database,
            worker=lambda: self.number,
            lease=lease,
            interval=self._hopyard.settings.worker.heartbeat or lease / 5,
            loop=self._loop,
            on_commands=lambda commands: self._soon(self._obey, commands),
            on_lost=lambda: self._soon(self._lost),
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
        self._progress = ProgressWriter(self._database, self._loop)
        slots = sum(slots.size for slots in self.slots.values())
        self._host = JobHost(self._database, self._progress, self._running, self._wake)
        self._processes = ProcessPool(
            self._host, self._hopyard.environment, self._hopyard.settings.worker.cancel_grace
        )
        self._runner = Runner(self._hopyard, self._host, slots, self._processes)
        self._followups = FollowUps(self._hopyard, self._client)
        self._recorder = Recorder(self._database, lambda: self.number, self._wake_all, self._written)
        # One worker leads for all: it looks after the queues of the others as well. Over connections of its
        # own: on a slow way jobs wait seconds for their turn at theirs.
        queues = sorted({*self.slots, *self._hopyard.plugins.queues})
        self._leading = self._hopyard.open_client()
        self._reconciler = Reconciler(
            self._leading,
            queues,
            self._hopyard.settings,
            FollowUps(self._hopyard, self._leading),
            self._put_back_batches,
        )
        self._claimer = Claimer(self._hopyard, self._database, lambda: self.number)
        self._messages = MessageConsumer(
            self.slots, self._main, take=self._take, closed=lambda: self._closed, spawn=self._background.spawn
        )
        self._background.vital(self._reconciler.run())
        if self._wants_batches:
            self._batches = BatchConsumer(
                self._celery_worker.app,
                self._hopyard.broker_url,
                self.slots,
                worker=lambda: self.number,
                closed=lambda: self._closed,
                take=self._take,
                divert=self._divert,
                put_back=lambda own: self._put_back_batches(except_for=own),
            )
        unparked = await waiting.unpark(self._database, self._hopyard.tasks)
        if unparked:
            log.info("%d parked jobs can run now", unparked)

    async def _register(self) -> None:
        plugins = {r.name: r.version or "" for r in self._hopyard.plugins.records if r.state == "enabled"}
        self.number = await workers.register(
            self._database,
            name=self._celery_worker.hostname,
            role="worker",
            queues=self.slots,
            plugins=plugins,
            lease=self._hopyard.settings.worker.lease,
        )

    def stop(self, grace: float | None = None) -> None:
        """Drain: take nothing more, let jobs finish within `grace` seconds, hand the rest back."""
        grace = self._hopyard.settings.worker.grace if grace is None else grace
        draining = asyncio.run_coroutine_threadsafe(self._drain(grace), self._loop)
        draining.result(timeout=grace + 60)
        self._main.run_waiting()
        self._heartbeat.stop()
        asyncio.run_coroutine_threadsafe(self._leave(), self._loop).result(timeout=30)
        self._hopyard.plugins.stop_process("worker")

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
            await asyncio.wait([r.run for r in self._running.values() if r.run], timeout=grace)
        left = [running for running in self._running.values() if running.run is not None]
        for running in left:
            self._interrupt(running, "release")
        if left:
            await asyncio.wait([running.run for running in left if running.run], timeout=10)
        await self._progress.flush()
        await self._recorder.drained()
        await self._background.settled(_SETTLING_SECONDS)  # what follows the last jobs

    async def _leave(self) -> None:
        try:
            await workers.leave(self._database, self.number)
        except LedgerUnavailable as error:
            log.warning("this worker's lease ends by itself: %s", error)
        self._runner.close()
        await self._processes.close()
        await self._leading.close()
        await self._hopyard.close()

    def connected(self, consumer: Any) -> None:
        """Take the consumer that now delivers messages."""
        if self._celery_worker.hub is not None:
            self._main.attach(self._celery_worker.hub)  # it forgets all readers when a connection is lost
        self._events.connected(consumer)
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
        self._loop.call_soon_threadsafe(call, *args)

    # --- intake

    def receive(self, message: Any) -> None:
        """Take a message, from the consumer's thread. Raises `ValueError` if it is no job's."""
        self._soon(self._messages.receive, self._delivery(message))

    def park(self, message: Any) -> None:
        """Set aside the job of a task that this worker does not know, from the consumer's thread."""
        delivery = self._delivery(message)

        async def set_aside() -> None:
            await foreign.park(self._database, delivery)
            self._main.soon(delivery.acknowledge)

        self._soon(self._background.spawn, set_aside())

    def _delivery(self, message: Any) -> Delivery:
        queue = str((message.delivery_info or {}).get("routing_key") or "hopyard")
        errors = self._consumer.connection_errors
        app = self._celery_worker.app
        return from_message(app, message, queue, lambda: message.ack_log_error(log, errors))

    async def _divert(self, delivery: Delivery) -> bool:
        """Deal with a message whose task is none of Hopyard's; say whether that was so."""
        if delivery.task in self._hopyard.tasks:
            return False
        strategy = self._consumer.strategies.get(delivery.task)
        if strategy is None:
            await foreign.park(self._database, delivery)
            return True
        # A task of Celery's own, for its own pool: as good as acknowledged early.
        message = message_of(json.loads(delivery.raw), delivery.queue)
        self._main.soon(lambda: strategy(message, message.payload, nothing, nothing, []))
        return True

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

    async def _take(self, batch: Sequence[Delivery]) -> Claimed:
        """Claim what messages stand for, and begin it."""
        found = await self._claimer.claim(batch)
        deliveries = {delivery.id: delivery for delivery in batch}
        begun = []
        for claim in found.claims:
            delivery = deliveries[claim.id]
            slots = self.slots[delivery.queue]
            slots.free -= 1
            if claim.id in self._cancel_on_arrival:
                claim = claim._replace(cancel=True)
            task = self._celery_worker.app.tasks[claim.task]
            running = Running(claim, delivery.original, found.worker, slots, task, self._cancel_soon)
            before = self._running.get(claim.id)
            if before is not None:  # it was taken from this very worker, and is not stopped yet
                self._interrupt(before, "lost")
            self._running[claim.id] = running
            running.run = asyncio.create_task(self._run(running))
            begun.append(running)
        self._events.begun(begun)
        if not self._claimer.busy:
            self._cancel_on_arrival.clear()
        return found

    # --- running

    async def _run(self, running: Running) -> None:
        claim = running.claim
        outcome: Done | Again | None = None
        try:
            if not self._heartbeat.holds(running.worker):  # frozen since the claim: others have it, or will
                running.why = running.why or "lost"
                raise asyncio.CancelledError
            if claim.cancel:  # told to its last worker, which did not live to do it
                raise JobCancelled(f"job {claim.id} was cancelled")
            checkpoint = json.loads(claim.checkpoint) if claim.checkpoint else {}
            outcome = await self._runner.run(claim, checkpoint, running.worker)
        except asyncio.CancelledError as error:
            outcome = await self._interrupted(running, str(error))
        except JobCancelled:
            outcome = Done(claim.id, claim.claim, State.CANCELLED, None, None, None)
        except StaleFence as error:
            log.warning("job %s was taken from this worker: %s", claim.id, error)
            self._background.spawn(self._ring_unheld([claim.id]))
        except Exception as error:
            log.exception("job %s: the engine failed", claim.id)
            outcome = failed_here(claim, error)
        finally:
            if self._running.get(claim.id) is running:
                del self._running[claim.id]
            running.slots.free += 1
            self._events.ended(running, outcome)
            if outcome is not None:
                self._followups.ended(claim)
                self._recorder.add(outcome)
            self._wake(running.slots)

    def _written(self, ids: Sequence[str], refused: Sequence[str]) -> None:
        if due := self._followups.due(ids):
            self._background.spawn(self._followups.follow(due))
        if refused:
            self._background.spawn(self._ring_unheld(refused))

    async def _ring_unheld(self, ids: Sequence[str]) -> None:
        try:
            await self._client.ring(await waiting.unheld(self._database, ids))
        except LedgerUnavailable as error:
            log.info("whether %d jobs are queued is left to the reconciler: %s", len(ids), error)

    async def _interrupted(self, running: Running, how: str) -> Done | None:
        """Return what is recorded of a job that was stopped; `how` says what was special about it."""
        claim = running.claim
        if running.why == "cancel":
            return running.cancelled(how)
        # Also where the lease was lost: it may have been claimed just after its worker was given up.
        await self._claimer.give_back([(claim.id, claim.claim)], running.worker, running.handed_back())
        log.info("job %s is handed back", claim.id)
        return None

    def _interrupt(self, running: Running, why: str) -> None:
        running.why = running.why or why
        if running.run is not None:
            running.run.cancel()

    def _cancel_soon(self, id_: str) -> None:
        """Cancel a job for Celery's remote control, from the consumer's thread."""
        asyncio.run_coroutine_threadsafe(
            cancelling.cancel(self._database, [id_], "revoked through Celery"), self._loop
        ).result(timeout=30)
        self._soon(self._cancel_here, id_)

    def _cancel_here(self, id_: str) -> None:
        running = self._running.get(id_)
        if running is not None:
            self._interrupt(running, "cancel")
        elif self._claimer.busy:
            self._cancel_on_arrival.add(id_)

    def _obey(self, commands: Sequence[Command]) -> None:
        for command in commands:
            if command.kind == "cancel":
                self._cancel_here(command.target)

    def _lost(self) -> None:
        """Others have our jobs: stop them here, and go on under a new number."""
        for running in self._running.values():
            self._interrupt(running, "lost")
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
