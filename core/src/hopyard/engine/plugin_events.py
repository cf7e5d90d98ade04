"""Tells the plugins' notify hooks what happens to jobs. Costs nothing where no plugin listens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from hopyard.engine.observers import EndedRun, Observer
from hopyard.events import TaskEvent, TaskEventKind
from hopyard.ledger.set_aside import SetAside
from hopyard.ledger.values import Again, Claim, Done, LostJob, Progress, utcnow
from hopyard.specs import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from hopyard.engine.running import Running
    from hopyard.loading import EventTeller, Plugins

_OUTCOMES: Final = frozenset({"succeeded", "failed", "retried", "dead", "cancelled"})


def tell_of_faults(plugins: Plugins, keep: Callable[[SetAside], None]) -> None:
    """Have hooks that are switched off, and events that were dropped, kept for `hopyard doctor`."""

    def switched_off(plugin: str, reason: str) -> None:
        keep(SetAside("hook", plugin, reason))

    def overflowed(plugin: str, dropped: int) -> None:
        reason = f"it is too slow for its events: {dropped:,} were not told in one process"
        keep(SetAside("events", plugin, reason))

    plugins.callers.switched_off = switched_off
    plugins.teller.overflowed = overflowed


class PluginEvents(Observer):
    """Makes events of what happens in one worker. `running` has its jobs by id."""

    def __init__(
        self, teller: EventTeller, running: Mapping[str, Running], worker: Callable[[], int]
    ) -> None:
        self._teller = teller
        self._running = running
        self._worker = worker
        #: Jobs that ended, until the ledger has taken their outcome; with the seconds that they ran.
        self._ended: dict[str, tuple[Running, float]] = {}

    def begun(self, jobs: Sequence[Running]) -> None:
        if "started" in self._teller.kinds:
            now = utcnow()
            self._tell([_event("started", now, job.claim, job.worker) for job in jobs])

    def ended(self, runs: Sequence[EndedRun]) -> None:
        if self._teller.kinds & _OUTCOMES:
            now = utcnow()
            self._ended |= {
                run.running.claim.id: (run.running, (now - run.running.began).total_seconds())
                for run in runs
                if run.outcome is not None
            }

    def recorded(self, outcomes: Sequence[Done | Again], refused: Sequence[str]) -> None:
        if not self._ended:
            return
        events, now = list[TaskEvent](), utcnow()
        for outcome in outcomes:
            found = self._ended.pop(outcome.id, None)
            if found is not None and outcome.id not in refused:
                events += _outcome(now, *found, outcome)
        self._tell(events)

    def progressed(self, progress: Sequence[Progress]) -> None:
        if "progress" not in self._teller.kinds:
            return
        now = utcnow()
        self._tell(
            [
                _event(
                    "progress",
                    now,
                    running.claim,
                    running.worker,
                    current=one.current,
                    total=one.total,
                    message=one.message,
                )
                for one in progress
                if (running := self._running.get(one.id)) is not None
            ]
        )

    def parked(self, claims: Sequence[Claim], reason: str) -> None:
        if "parked" in self._teller.kinds:
            now = utcnow()
            self._tell([_event("parked", now, claim, self._worker(), message=reason) for claim in claims])

    def lost(self, jobs: Sequence[LostJob]) -> None:
        self._tell([event for job in jobs for event in _lost(job)])

    def _tell(self, events: Sequence[TaskEvent]) -> None:
        self._teller.tell([event for event in events if event.kind in self._teller.kinds])


def _outcome(now: datetime, running: Running, seconds: float, outcome: Done | Again) -> list[TaskEvent]:
    claim, worker = running.claim, running.worker
    if isinstance(outcome, Done) and outcome.state == State.SUCCEEDED:
        return [_event("succeeded", now, claim, worker, seconds=seconds)]
    if isinstance(outcome, Done) and outcome.state == State.CANCELLED:
        return [_event("cancelled", now, claim, worker, seconds=seconds)]
    described = outcome.entry if isinstance(outcome, Again) else outcome.error
    error: dict[str, Any] = json.loads(described or "{}")
    told = {"category": error.get("category"), "error": error.get("kind"), "message": error.get("message")}
    failed = _event("failed", now, claim, worker, seconds=seconds, **told)
    if isinstance(outcome, Again):
        return [failed, _event("retried", now, claim, worker, eta=outcome.eta, **told)]
    return [failed, _event("dead", now, claim, worker, **told)]


def _lost(job: LostJob) -> list[TaskEvent]:
    now = utcnow()
    of = (job.id, job.task, job.queue, now, job.attempt, job.worker, job.person)
    why = ("resource", "WorkerLost", job.message)
    next_ = TaskEvent("dead", *of, *why) if job.dead else TaskEvent("retried", *of, *why, eta=now)
    return [TaskEvent("failed", *of, *why), next_]


def _event(kind: TaskEventKind, at: datetime, claim: Claim, worker: int, **more: Any) -> TaskEvent:
    return TaskEvent(kind, claim.id, claim.task, claim.queue, at, claim.attempt, worker, claim.person, **more)
