"""The jobs that run in this worker: begun, told to stop, ended, each once."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from hopyard import portal
from hopyard.engine.retry import failed_here
from hopyard.engine.run.deadlines import over
from hopyard.engine.run.runner import GRACE_SECONDS, nobody_cancelled
from hopyard.engine.running import Running
from hopyard.errors import StaleFence
from hopyard.ledger.values import Again, Claim, Done

if TYPE_CHECKING:
    from hopyard.engine.consume.delivery import Delivery
    from hopyard.engine.run.runner import Runner
    from hopyard.engine.slots import Slots
    from hopyard.tasks.job import Job

log = logging.getLogger("hopyard.engine")

#: Threads and processes are given up by their runner after its grace; only then are they given up here.
_GIVE_UP_SECONDS: Final = GRACE_SECONDS + 2.0

Outcome = Done | Again | None


class Jobs:
    """All that this worker runs, by job id.

    `ended(running, outcome)` is told of each job once; without an outcome others run the job.
    `hand_back(running)` and `look_again(id)` are work for the background.
    """

    def __init__(
        self,
        runner: Runner,
        running: dict[str, Running],
        *,
        holds: Callable[[int], bool],
        ended: Callable[[Running, Outcome], None],
        hand_back: Callable[[Running], Coroutine[Any, Any, None]],
        look_again: Callable[[str], None],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._runner = runner
        self._holds = holds
        self._ended = ended
        self._hand_back = hand_back
        self._look_again = look_again
        self._spawn = spawn
        self.running = running
        #: Jobs to cancel that were not running here when the order came, while claims were on their way.
        self.cancel_on_arrival: set[str] = set()

    def begin(
        self,
        claim: Claim,
        delivery: Delivery,
        worker: int,
        slots: Slots,
        task: Any,
        revoke: Callable[[str], None],
    ) -> Running:
        """Take a slot and start a claimed job; `task` and `revoke` are for Celery's remote control."""
        if claim.id in self.cancel_on_arrival:
            claim = claim._replace(cancel=True)
        before = self.running.get(claim.id)
        if before is not None:  # it was taken from this very worker, and is not stopped yet
            self.interrupt(before, "lost")
        running = Running(claim, delivery.original, worker, slots, task, revoke)
        slots.free -= 1
        self.running[claim.id] = running
        running.run = portal.spawn(self._run(running))
        return running

    async def _run(self, running: Running) -> None:
        outcome: Outcome = None
        claim = running.claim
        try:
            if not self._holds(running.worker):  # frozen since the claim: others have it, or will
                running.why = running.why or "lost"
                raise asyncio.CancelledError
            if claim.cancel:  # told to its last worker, which did not live to do it
                outcome = running.cancelled("")
            else:
                checkpoint: Mapping[str, Any] = json.loads(claim.checkpoint) if claim.checkpoint else {}
                outcome = await self._runner.run(claim, checkpoint, running.worker)
        except asyncio.CancelledError as error:
            outcome = await self._stopped(running, error)
        except StaleFence as error:
            log.warning("job %s was taken from this worker: %s", claim.id, error)
            self._look_again(claim.id)
        except BaseException as error:
            # First: a task may have left a log handler that raises.
            outcome = failed_here(claim, error)
            log.exception("job %s: the engine failed", claim.id)
        finally:
            self._end(running, outcome)

    async def _stopped(self, running: Running, error: asyncio.CancelledError) -> Outcome:
        """Return what is recorded of a job that let a cancellation out."""
        if running.why is None:  # it cancelled itself
            return self.failed(running, nobody_cancelled(running.claim.task, error))
        if running.why == "cancel":
            return running.cancelled(str(error))
        # Also where the lease was lost: it may have been claimed just after its worker was given up.
        await self._hand_back(running)
        return None

    def _end(self, running: Running, outcome: Outcome) -> None:
        if running.over:
            return  # it was given up: whatever it still did counts no more
        running.over = True
        if self.running.get(running.claim.id) is running:
            del self.running[running.claim.id]
        if not running.waits:
            running.slots.free += 1
        self._ended(running, outcome)

    def interrupt(self, running: Running, why: str) -> None:
        """Tell a job to stop: `cancel`, `release` or `lost`. One that does not is given up after a while."""
        running.why = running.why or why
        if running.run is not None:
            running.run.cancel()
            loop = asyncio.get_running_loop()
            loop.call_later(_GIVE_UP_SECONDS, self._give_up, running, context=portal.NOBODY.copy())

    def _give_up(self, running: Running) -> None:
        """End a job without its task, which swallows cancellations."""
        if running.over:
            return
        note = "it did not stop after it was told to: it goes on, its outcome is ignored"
        log.error("job %s (%s): %s", running.claim.id, running.claim.task, note)
        if running.why == "cancel":
            self._end(running, running.cancelled(note))
            return
        self._spawn(self._hand_back(running))
        self._end(running, None)

    def ignored_its_limit(self, job: Job, limit: float) -> None:
        """End an `async def` job that swallows the cancellation of its time limit."""
        running = self.running.get(job.id)
        if running is None or running.over:
            return
        log.error("job %s (%s) goes on after its time limit; its outcome is ignored", job.id, job.task)
        self._end(running, self.failed(running, over(job.task, limit)))

    def failed(self, running: Running, error: BaseException) -> Done | Again:
        """Return what is recorded of a job that failed."""
        return self._runner.retry.after(running.claim, error, running.seconds, running.worker)

    def cancel(self, id_: str, *, arriving: bool) -> None:
        """Cancel a job. If it does not run here and claims are `arriving`, it is cancelled as it begins."""
        running = self.running.get(id_)
        if running is not None:
            self.interrupt(running, "cancel")
        elif arriving:
            self.cancel_on_arrival.add(id_)

    def interrupt_all(self, why: str) -> list[Running]:
        """Tell all jobs to stop; return them."""
        told = [*self.running.values()]
        for running in told:
            self.interrupt(running, why)
        return told

    async def idle(self, seconds: float) -> None:
        """Wait until the jobs that run now are over, at most so many seconds."""
        runs: Sequence[asyncio.Task[None]] = [r.run for r in self.running.values() if r.run is not None]
        if runs:
            await asyncio.wait(runs, timeout=seconds)
