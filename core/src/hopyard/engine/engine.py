"""The engine: from a broker message to a recorded outcome.

It lives in the worker's process beside Celery's consumer. The consumer's thread hands messages over; the
portal's event loop claims, runs and records; the consumer's thread acknowledges once the claim has committed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from celery.worker import state as worker_state

from hopyard import portal
from hopyard.engine import adoption, celeryview
from hopyard.engine.children import Children
from hopyard.engine.delivery import Delivery
from hopyard.engine.flow import Flow
from hopyard.engine.following import Follower
from hopyard.engine.heartbeat import Heartbeat
from hopyard.engine.hosting import JobHost
from hopyard.engine.lanes import Lane, Running
from hopyard.engine.mainthread import MainThread
from hopyard.engine.reconciler import Reconciler
from hopyard.engine.recorder import Recorder
from hopyard.engine.runner import Runner, failed_here
from hopyard.engine.telling import Telling
from hopyard.errors import JobCancelled, LedgerUnavailable, StaleFence
from hopyard.ledger import cancelling, notes, waiting, workers
from hopyard.ledger.values import Again, Claim, Done, job_id
from hopyard.specs import State

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.ledger.workers import Command

log = logging.getLogger("hopyard.engine")

_BATCH: Final = 64
#: Slots of a queue that no plugin declares.
_FOREIGN_SLOTS: Final = 4
#: What the reconciler is at may take so long, at the end of the worker.
_RECONCILER_SECONDS: Final = 5.0
#: Between two tries where the ledger is away.
_PAUSE: Final = 1.0


class Engine:
    """One per worker process."""

    def __init__(self, hopyard: Hopyard, worker: Any) -> None:
        self._hopyard = hopyard
        self._celery_worker = worker
        self._loop = portal.loop()
        self._main = MainThread()
        names = [str(name) for name in worker.app.amqp.queues.consume_from]
        queues = hopyard.plugins.queues
        self.lanes = {
            name: Lane.of(queues[name].slots if name in queues else _FOREIGN_SLOTS) for name in names
        }
        self._flow = Flow(self.lanes)
        self._running: dict[str, Running] = {}
        #: Jobs to cancel that were not running here when the order came, while claims were on their way.
        self._cancel_early: set[str] = set()
        self._own: set[asyncio.Task[None]] = set()
        self._claims = 0
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

    async def _start(self) -> None:
        await self._hopyard.check_migrations()
        self._client = self._hopyard.client()
        self._database = self._client.database
        # Before anything is claimed: no order about a job of ours may be older than what the heartbeat reads.
        self._commands_seen = await workers.last_command(self._database)
        await self._register()
        self._telling = Telling(self._database, self._loop)
        slots = sum(lane.slots for lane in self.lanes.values())
        self._host = JobHost(self._database, self._telling, self._running, self.lanes, self._kick)
        self._children = Children(
            self._host, self._hopyard.environment, self._hopyard.settings.worker.cancel_grace
        )
        self._runner = Runner(self._hopyard, self._host, slots, self._children)
        self._follower = Follower(self._hopyard, self._client)
        self._recorder = Recorder(self._database, lambda: self.number, self._kick_all, self._written)
        # One worker leads for all: it looks after the queues of the others as well.
        queues = sorted({*self.lanes, *self._hopyard.plugins.queues})
        self._reconciler = Reconciler(self._client, queues, self._hopyard.settings, self._follower)
        self._reconciling = asyncio.create_task(self._reconciler.run())
        self._reconciling.add_done_callback(self._background_ended)
        unparked = await waiting.unpark(self._database, self._hopyard.tasks)
        if unparked:
            log.info("%d parked jobs can run now", unparked)

    async def _register(self) -> None:
        plugins = {r.name: r.version or "" for r in self._hopyard.plugins.records if r.state == "enabled"}
        self.number = await workers.register(
            self._database,
            name=self._celery_worker.hostname,
            role="worker",
            queues=self.lanes,
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
        if (await asyncio.wait([self._reconciling], timeout=_RECONCILER_SECONDS))[1]:
            self._reconciling.cancel()
            await asyncio.wait([self._reconciling])
        for lane in self.lanes.values():
            lane.waiting.clear()  # not acknowledged: the broker gives them to others
        if self._own:
            await asyncio.wait([*self._own], timeout=10)  # claims on their way
        if self._running:
            log.info("waiting up to %g s for %d running jobs", grace, len(self._running))
            await asyncio.wait([r.task for r in self._running.values() if r.task], timeout=grace)
        left = [running for running in self._running.values() if running.task is not None]
        for running in left:
            self._interrupt(running, "release")
        if left:
            await asyncio.wait([running.task for running in left if running.task], timeout=10)
        await self._telling.flush()
        await self._recorder.drained()

    async def _leave(self) -> None:
        try:
            await workers.leave(self._database, self.number)
        except LedgerUnavailable as error:
            log.warning("this worker's lease ends by itself: %s", error)
        self._runner.close()
        await self._children.close()
        await self._hopyard.close()

    def connected(self, consumer: Any) -> None:
        """Take the consumer that now delivers messages."""
        if self._celery_worker.hub is not None:
            self._main.attach(self._celery_worker.hub)  # it forgets all readers when a connection is lost
        self._flow.connected(consumer)

    def disconnected(self) -> None:
        """Forget messages that cannot be acknowledged any more; the broker or the ledger brings them back."""
        self._flow.disconnected()
        self._soon(self._forget_waiting)

    def _forget_waiting(self) -> None:
        for lane in self.lanes.values():
            lane.waiting.clear()

    def _soon(self, call: Any, *args: Any) -> None:
        self._loop.call_soon_threadsafe(call, *args)

    def _background_ended(self, task: asyncio.Task[None]) -> None:
        """A worker whose reconciler died of a bug must not go on as if nothing were."""
        if not task.cancelled() and task.exception() is not None:
            log.critical("the reconciler died; the worker ends", exc_info=task.exception())
            worker_state.should_terminate = 1

    # --- intake

    def queue_of(self, message: Any) -> str:
        """Return the queue that a message came from."""
        return str((message.delivery_info or {}).get("routing_key") or "hopyard")

    def receive(self, delivery: Delivery) -> None:
        """Take a message, from the consumer's thread."""
        self._soon(self._receive, delivery)

    def _receive(self, delivery: Delivery) -> None:
        lane = self.lanes.get(delivery.queue)
        if lane is None:  # a stock producer's own exchange and routing key
            lane = self.lanes.setdefault(delivery.queue, Lane.of(_FOREIGN_SLOTS))
        lane.waiting.append(delivery)
        self._kick(lane)

    def _kick_all(self) -> None:
        for lane in self.lanes.values():
            self._kick(lane)

    def _kick(self, lane: Lane) -> None:
        if (
            lane.waiting
            and lane.free > 0
            and not lane.claiming
            and not self._draining
            and not self._recorder.full
        ):
            lane.claiming = True
            self._spawn(self._claim(lane))
        if self._flow.wants_update(lane):
            self._main.soon(self._flow.update)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a piece of the engine's own work; the loop itself would not keep it alive."""
        task = asyncio.create_task(work)
        self._own.add(task)
        task.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._own.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("the engine's own work failed; its messages come back", exc_info=task.exception())

    async def _claim(self, lane: Lane) -> None:
        batch: dict[str, Delivery] = {}
        doubles: list[Delivery] = []
        while lane.waiting and len(batch) < min(lane.free, 1 if lane.careful else _BATCH):
            delivery = lane.waiting.popleft()
            doubles.append(delivery) if delivery.id in batch else batch.update({delivery.id: delivery})
        self._claims += 1
        number, counter = self.number, self._claims
        try:
            claims, checkpoints = await self._take(batch, number, counter)
        except LedgerUnavailable as error:
            log.warning("%d messages wait for the ledger: %s", len(batch), error)
            # It may have committed all the same: what nobody here knows of must not stay claimed.
            await self._give_back([(id_, counter) for id_ in batch], number)
            lane.waiting.extendleft(reversed([*batch.values(), *doubles]))
            self._loop.call_later(_PAUSE, self._kick, lane)
            return
        except Exception:
            log.exception("%d messages cannot be claimed", len(batch))
            await self._give_back([(id_, counter) for id_ in batch], number)
            if len(batch) > 1:  # one of them it is: the others must not suffer
                lane.careful = len(batch)
                lane.waiting.extendleft(reversed([*batch.values(), *doubles]))
            self._loop.call_later(_PAUSE, self._kick, lane)
            return
        finally:
            lane.careful = max(0, lane.careful - 1)
            lane.claiming = False
        ours = {claim.id for claim in claims}
        gone = doubles + [delivery for id_, delivery in batch.items() if id_ not in ours]
        self._main.soon(lambda: celeryview.acknowledge([*batch.values(), *doubles], gone))
        for claim in claims:
            lane.free -= 1
            if claim.id in self._cancel_early:
                claim = claim._replace(cancel=True)
            running = Running(claim, batch[claim.id], number)
            self._running[claim.id] = running
            running.task = asyncio.create_task(self._run(running, lane, checkpoints.get(claim.id, {})))
        if not any(lane.claiming for lane in self.lanes.values()):
            self._cancel_early.clear()
        self._kick(lane)

    async def _take(
        self, batch: Mapping[str, Delivery], number: int, counter: int
    ) -> tuple[Sequence[Claim], dict[str, dict[str, Any]]]:
        """Claim what the messages stand for; return the claims with their checkpoints."""
        await adoption.adopt(self._hopyard, self._database, [d for d in batch.values() if d.foreign])
        revoked = [id_ for id_, d in batch.items() if d.request.id in worker_state.revoked]
        if revoked:
            await cancelling.cancel(self._database, revoked, "revoked through Celery")
        claims = await self._database.claim([*batch], number, counter)
        # Of first attempts too: one that was handed back does not count, but may have saved something.
        checkpoints = await notes.read_checkpoints(self._database, [claim.id for claim in claims])
        await waiting.rung(self._database, [c.id for c in claims if batch[c.id].foreign])
        return claims, checkpoints

    async def _give_back(
        self, jobs: Sequence[tuple[str, int]], number: int, entry: str | None = None
    ) -> None:
        """Undo claims, however long the ledger is away; those that are not ours stay as they are."""
        while True:
            try:
                await waiting.release(self._database, jobs, number, entry)
            except LedgerUnavailable as error:
                log.info("%d jobs cannot be handed back yet: %s", len(jobs), error)
                await asyncio.sleep(_PAUSE)
            else:
                return

    def park(self, message: Any, connection_errors: Any) -> None:
        """Set aside the job of a task that this worker does not know, from the consumer's thread."""

        async def set_aside() -> None:
            await adoption.park(self._celery_worker.app, self._database, message, self.queue_of(message))
            self._main.soon(lambda: message.ack_log_error(log, connection_errors))

        self._soon(self._spawn, set_aside())

    # --- running

    async def _run(self, running: Running, lane: Lane, checkpoint: Mapping[str, Any]) -> None:
        claim, request = running.claim, running.delivery.request
        self._main.soon(lambda: celeryview.started(request))
        outcome: Done | Again | None = None
        try:
            if claim.cancel:  # told to its last worker, which did not live to do it
                raise JobCancelled(f"job {claim.id} was cancelled")
            outcome = await self._runner.run(claim, checkpoint, running.worker)
        except asyncio.CancelledError as error:
            outcome = await self._interrupted(running, str(error))
        except JobCancelled:
            outcome = Done(claim.id, claim.claim, State.CANCELLED, None, None, None)
        except StaleFence as error:
            log.warning("job %s was taken from this worker: %s", claim.id, error)
        except Exception as error:
            log.exception("job %s: the engine failed", claim.id)
            outcome = failed_here(claim, error)
        finally:
            self._running.pop(claim.id, None)
            lane.free += 1
            self._main.soon(lambda: celeryview.ended(request, outcome))
            if outcome is not None:
                self._follower.ended(claim)
                self._recorder.add(outcome)
            self._kick(lane)

    def _written(self, ids: Sequence[str]) -> None:
        if due := self._follower.due(ids):
            self._spawn(self._follower.follow(due))

    async def _interrupted(self, running: Running, how: str) -> Done | None:
        """Return what is recorded of a job that was stopped; `how` says what was special about it."""
        claim = running.claim
        if running.why == "cancel":
            return running.cancelled(how)
        # Also where the lease was lost: it may have been claimed just after its worker was given up.
        await self._give_back([(claim.id, claim.claim)], running.worker, running.handed_back())
        log.info("job %s is handed back", claim.id)
        return None

    def _interrupt(self, running: Running, why: str) -> None:
        running.why = running.why or why
        if running.task is not None:
            running.task.cancel()

    def revoke(self, id_: str, reason: str) -> None:
        """Cancel a job for Celery's remote control, from the consumer's thread."""
        asyncio.run_coroutine_threadsafe(
            cancelling.cancel(self._database, [job_id(id_)], reason), self._loop
        ).result(timeout=30)
        self._soon(self._cancel_here, id_)

    def _cancel_here(self, id_: str) -> None:
        running = self._running.get(id_)
        if running is not None:
            self._interrupt(running, "cancel")
        elif any(lane.claiming for lane in self.lanes.values()):
            self._cancel_early.add(id_)

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
            self._spawn(self._rejoin())

    async def _rejoin(self) -> None:
        try:
            await self._register()
            log.warning("this worker goes on as number %d", self.number)
        except LedgerUnavailable as error:
            log.warning("this worker cannot register again yet: %s", error)
        finally:
            self._rejoining = False
