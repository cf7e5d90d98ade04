"""What the ledger's statements are to do, as plain Python: the other side of `test_ledger_model.py`.

`Model` has one method per statement, with the same arguments and answers, on dictionaries instead of tables.
`seen` reads from a ledger what the model says of it, so that the two can be compared for equality.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from hopyard.ledger.crashes import MAX_CRASHES
from hopyard.ledger.database import Database
from hopyard.ledger.values import derived_id
from hopyard.specs import State

WAITING = (State.SCHEDULED, State.QUEUED, State.RETRYING, State.PARKED)
Fence = tuple[int, int]


@dataclass
class Job:
    """A job's row, live or over. `timed`: it has an eta; `due` is known to the model alone."""

    task: str
    queue: str
    body: str
    state: State = State.QUEUED
    timed: bool = False
    due: bool = False
    attempt: int = 0
    crashes: int = 0
    worker: int | None = None
    claim: int | None = None
    cancel: bool = False
    reason: str | None = None
    entries: int = 0
    replay_of: str | None = None

    @property
    def fence(self) -> tuple[int | None, int | None]:
        return self.worker, self.claim

    def shown(self) -> dict[str, Any]:
        """What `seen` reads of it."""
        return {key: value for key, value in asdict(self).items() if key != "due"}


@dataclass
class Worker:
    """A process: `late`, its lease ran out; `stopped`, it left or was given up."""

    late: bool = False
    stopped: bool = False


@dataclass
class Key:
    """Who was given a unique key last, and how long it is held: `None` until the job is over."""

    job: str
    held: bool | None


@dataclass
class Model:
    """The ledger as it ought to be."""

    live: dict[str, Job] = field(default_factory=dict)
    past: dict[str, Job] = field(default_factory=dict)
    outbox: set[str] = field(default_factory=set)
    renewed: set[str] = field(default_factory=set)
    """Those of the outbox whose entry is not the one that `submit` wrote."""
    batches: dict[str, set[str]] = field(default_factory=dict)
    """Entries of the outbox that stand for jobs which were stored together."""
    workers: dict[int, Worker] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    checkpoints: dict[str, int] = field(default_factory=dict)
    effects: dict[tuple[str, str], str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    discarded: set[str] = field(default_factory=set)

    def accepted(self) -> set[str]:
        return {*self.live, *self.past}

    def _queue(self, id_: str) -> None:
        self.live[id_].state = State.QUEUED
        self._enter(id_)

    def _enter(self, id_: str) -> None:
        self.outbox.add(id_)
        self.renewed.add(id_)

    def _bury(self, id_: str, state: State) -> None:
        job = self.past[id_] = self.live.pop(id_)
        job.state = state

    def ours(self, id_: str, fence: Fence) -> bool:
        """Whether (worker, claim) is what runs a job."""
        job = self.live.get(id_)
        return job is not None and job.state == State.RUNNING and job.fence == fence

    # --- submitting

    def submit(self, jobs: Mapping[str, Job], entry: str | None = None) -> set[str]:
        new = set()
        if entry:
            self.batches[entry] = {*jobs}
        for id_, job in jobs.items():
            if id_ not in self.live and id_ not in self.past:
                self.live[id_] = job
                new.add(id_)
                if job.state == State.QUEUED and not entry:
                    self.outbox.add(id_)
        return new

    def holder(self, key: str) -> str | None:
        held = self.keys.get(key)
        if held is None or held.held is False:
            return None
        return held.job if held.held or held.job in self.live else None

    def submit_unique(self, id_: str, job: Job, key: str, mode: str, timed: bool) -> tuple[str, bool]:
        earlier = self.holder(key)
        if earlier is not None and (mode == "reject" or self._changed(earlier, job, mode)):
            return earlier, False
        self.keys[key] = Key(id_, True if timed else None)
        return id_, bool(self.submit({id_: job}))

    def _changed(self, earlier: str, job: Job, mode: str) -> bool:
        old = self.live.get(earlier)
        if old is None or old.state not in WAITING:
            return False
        old.body = job.body
        if mode == "debounce":
            old.state, old.timed, old.due = job.state, job.timed, job.due
            if job.state == State.QUEUED:
                self._enter(earlier)
        return True

    # --- running

    def claim(self, ids: Iterable[str], worker: int, claim: int) -> set[str]:
        taken = set[str]()
        if self.workers[worker].stopped:
            return taken
        for id_ in {*ids}:
            job = self.live.get(id_)
            if job is not None and job.state == State.QUEUED and job.queue not in self.paused:
                job.state, job.worker, job.claim = State.RUNNING, worker, claim
                job.reason = job.reason if job.cancel else None
                job.attempt += 1
                taken.add(id_)
        return taken

    def finish(self, id_: str, fence: Fence, state: State, entry: bool) -> bool:
        if not self.ours(id_, fence):
            return False
        self.live[id_].entries += entry
        self._bury(id_, state)
        return True

    def again(self, id_: str, fence: Fence, reason: str, due: bool) -> bool:
        if not self.ours(id_, fence):
            return False
        job = self.live[id_]
        job.state, job.worker, job.timed, job.due, job.reason = State.RETRYING, None, True, due, reason
        job.entries += 1
        return True

    def release(self, fences: Iterable[tuple[str, Fence]]) -> None:
        for id_, fence in fences:
            if self.ours(id_, fence):
                self._give_back(id_)

    def _give_back(self, id_: str, entry: bool = False) -> None:
        self.live[id_].entries += entry
        self.live[id_].worker = None
        self.live[id_].attempt -= 1
        self._queue(id_)

    # --- workers

    def held(self, which: Callable[[Job], bool]) -> list[str]:
        return [id_ for id_, job in self.live.items() if job.state == State.RUNNING and which(job)]

    def beat(self, worker: int) -> bool:
        if self.workers[worker].stopped:
            return False
        self.workers[worker].late = False
        return True

    def leave(self, worker: int) -> None:
        self.workers[worker].stopped = True
        for id_ in self.held(lambda job: job.worker == worker):
            self._give_back(id_, entry=True)

    def rescue(self) -> tuple[set[int], int, int]:
        lost = {n for n, worker in self.workers.items() if worker.late and not worker.stopped}
        requeued = dead = 0
        for number in lost:
            self.workers[number].stopped = True
        for id_ in self.held(lambda job: job.worker in lost):
            job = self.live[id_]
            job.crashes += 1
            job.entries += 1
            if job.crashes >= MAX_CRASHES:
                self._bury(id_, State.DEAD)
                dead += 1
            else:
                job.worker = None
                self._queue(id_)
                requeued += 1
        return lost, requeued, dead

    # --- waiting

    def promote(self) -> set[str]:
        ripe = {id_ for id_, job in self.live.items() if job.timed and job.due}
        for id_ in ripe:
            self.live[id_].timed = self.live[id_].due = False
            self._queue(id_)
        return ripe

    def park(self, ids: Iterable[str], reason: str) -> None:
        for id_ in ids:
            job = self.live.get(id_)
            if job is not None and job.state == State.QUEUED:
                job.state, job.reason = State.PARKED, reason

    def unpark(self, task: str) -> int:
        found = [id_ for id_, job in self.live.items() if (job.state, job.task) == (State.PARKED, task)]
        for id_ in found:
            self.live[id_].reason = None
            self._queue(id_)
        return len(found)

    def unrung(self) -> set[str]:
        queued = {id_ for id_, job in self.live.items() if job.state == State.QUEUED}
        self.outbox = self.outbox.union(*self.batches.values()) & queued
        self.batches.clear()
        return {*self.outbox}

    def resume(self, queue: str) -> int:
        if queue not in self.paused:
            return 0
        self.paused.discard(queue)
        queued = {id_ for id_, job in self.live.items() if (job.queue, job.state) == (queue, State.QUEUED)}
        for id_ in queued:
            self._enter(id_)
        return len(queued)

    def heard(self, ids: Sequence[str]) -> None:
        self.outbox -= {*ids} - self.renewed
        for id_ in ids:
            self.batches.pop(id_, None)

    # --- ending

    def cancel(self, ids: Iterable[str], reason: str) -> dict[str, State]:
        answer = {}
        for id_ in {*ids} & {*self.live}:
            job = self.live[id_]
            job.reason = reason
            if job.state == State.RUNNING:
                job.cancel = True
                self.told.append(id_)
                answer[id_] = State.RUNNING
            else:
                self._bury(id_, State.CANCELLED)
                answer[id_] = State.CANCELLED
        return answer

    def replay(self, id_: str) -> str | None:
        """The id of the new job; None: the old one is not dead."""
        dead = self.past.get(id_)
        if dead is None or dead.state != State.DEAD:
            return None
        new = derived_id(id_, "replay")
        self.submit({new: Job(dead.task, dead.queue, dead.body, replay_of=id_)})
        return new

    def discard(self, id_: str) -> bool:
        dead = self.past.get(id_)
        if dead is None or dead.state != State.DEAD:
            return False
        del self.past[id_]
        self.discarded.add(id_)
        self.checkpoints.pop(id_, None)
        self.effects = {key: value for key, value in self.effects.items() if key[0] != id_}
        return True


_COLUMNS = (
    "id, task, queue, body, state, eta, attempt, crashes, worker, claim, cancel, reason, attempts, replay_of"
)


def _listed(ids: Any) -> set[str]:
    return {str(id_) for id_ in (json.loads(ids) if isinstance(ids, str) else ids)}


async def seen(database: Database) -> dict[str, Any]:
    """Return what a ledger holds, in the model's words."""

    async def rows(sql: str) -> Sequence[Any]:
        return await database.fetch(sql)

    return {
        "live": {str(row["id"]): _shown(row) for row in await rows(f"SELECT {_COLUMNS} FROM job_live")},
        "past": {str(row["id"]): _shown(row) for row in await rows(f"SELECT {_COLUMNS} FROM job_history")},
        "outbox": {str(row["id"]) for row in await rows("SELECT id FROM job_outbox WHERE jobs IS NULL")},
        "batches": {
            str(row["id"]): _listed(row["jobs"])
            for row in await rows("SELECT id, jobs FROM job_outbox WHERE jobs IS NOT NULL")
        },
        "stopped": {row["id"] for row in await rows("SELECT id FROM worker WHERE stopped IS NOT NULL")},
        "keys": {row["key"]: str(row["job_id"]) for row in await rows("SELECT key, job_id FROM job_key")},
        "paused": {
            row["queue"] for row in await rows("SELECT queue FROM queue_state WHERE paused IS NOT NULL")
        },
        "checkpoints": {
            str(row["job_id"]): json.loads(row["data"])["n"]
            for row in await rows("SELECT job_id, data FROM job_checkpoint")
        },
        "effects": {
            (str(row["job_id"]), row["name"]): row["state"]
            for row in await rows("SELECT job_id, name, state FROM job_effect")
        },
        "told": [row["target"] for row in await rows("SELECT target FROM command ORDER BY n")],
    }


def expected(model: Model) -> dict[str, Any]:
    """Return what `seen` is to read."""
    return {
        "live": {id_: job.shown() for id_, job in model.live.items()},
        "past": {id_: job.shown() for id_, job in model.past.items()},
        "outbox": model.outbox,
        "batches": model.batches,
        "stopped": {number for number, worker in model.workers.items() if worker.stopped},
        "keys": {key: held.job for key, held in model.keys.items()},
        "paused": model.paused,
        "checkpoints": model.checkpoints,
        "effects": model.effects,
        "told": model.told,
    }


def _shown(row: Any) -> dict[str, Any]:
    return {
        "task": row["task"],
        "queue": row["queue"],
        "body": row["body"],
        "state": State(row["state"]),
        "timed": row["eta"] is not None,
        "attempt": row["attempt"],
        "crashes": row["crashes"],
        "worker": row["worker"],
        "claim": row["claim"],
        "cancel": bool(row["cancel"]),
        "reason": row["reason"],
        "entries": len(json.loads(row["attempts"] or "[]")),
        "replay_of": str(row["replay_of"]) if row["replay_of"] else None,
    }


async def emptied(database: Database) -> None:
    """Delete everything, much faster than a new database is made."""
    tables = (
        *(
            "job_live",
            "job_history",
            "job_outbox",
            "job_follow",
            "job_key",
            "job_checkpoint",
            "job_effect",
            "job_progress",
        ),
        *("worker", "command", "queue_state"),
    )
    async with database.transaction() as tx:
        for table in tables:
            await tx.execute(f"DELETE FROM {table}")
