"""Why a job is not running: what the ledger knows about it, in sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from hopyard.errors import UnknownJob
from hopyard.ledger import keys, leader, resources, set_aside, stored, switches
from hopyard.ledger.database import Database, Row
from hopyard.ledger.read.workers import LivingWorker, living
from hopyard.ledger.values import job_id, moment, utcnow
from hopyard.specs import State

#: What becomes of a running job that is told to stop, by how its task runs.
STOPS: Final = {
    "loop": "its coroutine is cancelled",
    "thread": "its thread is asked only: a thread that waits outside of Python cannot be stopped",
    "process": "its process is asked, and killed if it goes on",
}


#: Says of a task's name whether its jobs concern who asks.
Concerns: TypeAlias = Callable[[str], bool]


def _all(task: str) -> bool:
    return True


async def explain(
    database: Database,
    id_: str,
    pools: Mapping[str, str] | None = None,
    concerns: Concerns = _all,
) -> list[str]:
    """Return why a job is where it is, the most telling reason first. Raises `UnknownJob`.

    `pools` says how tasks run, by their names: the keys of `STOPS`. Of jobs in its way whose tasks do not
    concern who asks it is said only that they are.
    """
    id_ = job_id(id_)
    aside = [f"{one['kind']}: {one['reason']}" for one in await set_aside.of(database, id_)]
    return [*await _reasons(database, id_, pools, concerns), *aside]


async def _reasons(
    database: Database, id_: str, pools: Mapping[str, str] | None, concerns: Concerns
) -> list[str]:
    rows = await database.fetch("SELECT * FROM job_live WHERE id = $1", id_)
    if not rows:
        return [await _over(database, id_)]
    job = rows[0]
    state = State(job["state"])
    if state is State.RUNNING:
        return await _running(database, job, (pools or {}).get(job["task"]))
    if state is State.PARKED:
        again = f"it is queued again by the first worker that starts and knows the task {job['task']}"
        return [f"it is parked: {job['reason']}", *(await _disabled(database, job["task"]) or [again])]
    disabled = await _disabled(database, job["task"])
    if state in (State.SCHEDULED, State.RETRYING):
        return [_waits(job), *disabled, *await _paused(database, job["queue"]), *await _leader(database)]
    return [*disabled, *await _queued(database, job, concerns)]


async def unserved(database: Database, id_: str) -> list[str]:
    """Return why no live worker can run a job that waits in its queue; empty if one can."""
    rows = await database.fetch(
        f"SELECT queue, task FROM job_live WHERE id = $1 AND state = {State.QUEUED:d}", id_
    )
    return _unserved(rows[0], await living(database)) if rows else []


async def explain_key(database: Database, key: str, pools: Mapping[str, str] | None = None) -> list[str]:
    """Return which jobs hold a unique key, one of each task, and why they are where they are."""
    found = await keys.holders(database, key)
    if not found:
        return [f"nobody holds the key {key}: the next job with it is accepted"]
    lines: list[str] = []
    for held, id_ in found:
        (row,) = await database.fetch("SELECT until FROM job_key WHERE key = $1", held)
        until = f"until {_at(row['until'])}" if row["until"] is not None else "until it is over"
        try:
            why = await explain(database, id_, pools)
        except UnknownJob:  # a key may be held for longer than results are kept
            why = ["the ledger no longer has that job"]
        lines += [f"the key {key} is held by job {id_} {until}", *why]
    return lines


def _waits(job: Row) -> str:
    eta = moment(job["eta"])
    seconds = (eta - utcnow()).total_seconds() if eta else 0.0
    when = f"in {seconds:.0f} s" if seconds >= 1 else "which is due"
    why = f": {job['reason']}" if job["reason"] else ""
    kind = "for its next attempt " if job["state"] == State.RETRYING else ""
    return f"it waits {kind}until {_at(job['eta'])}, {when}{why}"


async def _over(database: Database, id_: str) -> str:
    rows = await database.fetch("SELECT state, finished, error, reason FROM job_history WHERE id = $1", id_)
    if not rows:
        raise UnknownJob(f"the ledger has no job {id_}")
    row = rows[0]
    error = stored.record(row["error"])
    why = f": {error['kind']}: {error.get('message')}" if error.get("kind") else ""
    if row["state"] == State.CANCELLED and row["reason"]:
        why = f": {row['reason']}"
    return f"it is over: {State(row['state']).label} at {_at(row['finished'])}{why}"


async def _running(database: Database, job: Row, pool: str | None) -> list[str]:
    found = await database.fetch(
        f"SELECT name, host, pid, stopped, beat, lease, {database.dialect.clock} AS clock "
        "FROM worker WHERE id = $1",
        job["worker"],
    )
    since = f"it runs since {_at(job['started'])}"
    if not found:
        reasons = [f"{since} on worker {job['worker']}, which nobody knows any more"]
    else:
        worker = found[0]
        reasons = [f"{since} on {worker['name']} (pid {worker['pid']} on {worker['host']})", _lease(worker)]
    if job["cancel"]:
        how = f": {STOPS[pool]}" if pool in STOPS else ""
        reasons.append(f"it was told to stop ({job['reason']}){how}")
    if len(found) != 1 or found[0]["stopped"] is not None or _left(found[0]) < 0:
        reasons += await _leader(database)
    return reasons


def _left(worker: Row) -> float:
    """Return how many seconds a worker's lease lasts yet."""
    beat, clock = moment(worker["beat"]), moment(worker["clock"])
    return float(worker["lease"]) - ((clock - beat).total_seconds() if clock and beat else 0.0)


def _lease(worker: Row) -> str:
    left = _left(worker)
    if worker["stopped"] is not None or left < 0:
        return "that worker's lease has run out: the job will be given to another one"
    return f"that worker's lease lasts {left:.0f} s yet; it is renewed while the worker lives"


async def _queued(database: Database, job: Row, concerns: Concerns) -> list[str]:
    queue = job["queue"]
    paused = await _paused(database, queue)
    workers = await living(database)
    unserved = _unserved(job, workers)
    reasons = [*paused, *unserved, *await _resources(database, str(job["id"]), concerns)]
    running, before, oldest = await _counts(database, job)
    behind = f"{running} jobs of queue {queue} run now and {before} wait before it"
    if before and oldest:
        behind += f", the oldest for {(utcnow() - oldest).total_seconds():.0f} s"
    if not reasons or before:
        reasons.append(behind)
    contains = database.dialect.contains("CAST(jobs AS text)", "$2")
    unsent = await database.fetch(
        f"SELECT created FROM job_outbox WHERE id = $1 OR {contains}",
        job["id"],
        str(job["id"]),
    )
    if unsent:
        reasons.append(f"its message was not sent yet (accepted at {_at(unsent[0]['created'])})")
        reasons += await _leader(database)
    return reasons


async def _resources(database: Database, id_: str, concerns: Concerns) -> list[str]:
    """Say for which resources a job waits, and who holds them."""
    wanted = await resources.waits(database, id_)
    if not wanted:
        return []
    found = {row["resource"]: row for row in await resources.overview(database, {})}
    lines = []
    for name, amount in wanted.items():
        holders = [
            f"{one['amount']} by "
            + (f"job {one['job']} ({one['task']})" if concerns(one["task"]) else "a job of another plugin")
            for one in found[name]["holders"]
        ]
        lines.append(f"it waits for {amount} of {name}; held: {', '.join(holders) or 'nothing'}")
    return lines


def _unserved(job: Row, workers: Sequence[LivingWorker]) -> list[str]:
    """Say that no live worker can run the job, and what those do that live."""
    queue, plugin = job["queue"], job["task"].split(".", 1)[0]
    if not workers:
        return [f"no live worker works on queue {queue}: none is alive at all"]
    serving = [worker for worker in workers if queue in worker.queues]
    if not serving:
        told = "; ".join(f"{w.name} works on {', '.join(w.queues)}" for w in workers)
        return [f"no live worker works on queue {queue} ({len(workers)} are alive: {told})"]
    if not any(plugin in worker.plugins for worker in serving):
        told = "; ".join(f"{w.name} has {', '.join(w.plugins) or 'none'}" for w in serving)
        return [f"no live worker of queue {queue} has plugin {plugin} ({told})"]
    return []


async def _disabled(database: Database, task: str) -> list[str]:
    """Say that somebody has disabled the task's plugin, if so."""
    plugin = task.partition(".")[0]
    found = (await switches.disabled(database)).get(plugin)
    if found is None:
        return []
    return [f"plugin {plugin} was {found.reason}; its jobs go on after `hopyard plugins enable {plugin}`"]


async def _paused(database: Database, queue: str) -> list[str]:
    rows = await database.fetch(
        "SELECT paused, paused_by FROM queue_state WHERE queue = $1 AND paused IS NOT NULL", queue
    )
    return [f"queue {queue} was paused by {row['paused_by']} at {_at(row['paused'])}" for row in rows]


async def _counts(database: Database, job: Row) -> tuple[int, int, datetime | None]:
    """Return how many jobs of the queue run, how many wait before this one, and since when the oldest."""
    ahead = f"state = {State.QUEUED:d} AND (priority > $2 OR (priority = $2 AND id < $3))"
    rows = await database.fetch(
        f"SELECT sum(CASE WHEN state = {State.RUNNING:d} THEN 1 ELSE 0 END) AS running, "
        f"sum(CASE WHEN {ahead} THEN 1 ELSE 0 END) AS before, "
        f"min(CASE WHEN {ahead} THEN created END) AS oldest FROM job_live WHERE queue = $1",
        job["queue"],
        job["priority"],
        str(job["id"]),
    )
    return int(rows[0]["running"] or 0), int(rows[0]["before"] or 0), moment(rows[0]["oldest"])


async def _leader(database: Database) -> list[str]:
    leads = await leader.holder(database, "reconcile")
    return [] if leads is not None else ["no worker leads the reconciling: is any worker running?"]


def _at(value: Any) -> str:
    found: datetime | None = moment(value)
    return found.isoformat(timespec="seconds") if found else "an unknown time"
