"""Storing what follows jobs that are over: Celery's own expansion of their signatures, kept in the ledger."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

from hopyard.broker import envelope
from hopyard.engine.observers import EndedRun, Observer
from hopyard.errors import LedgerError, LedgerUnavailable
from hopyard.ledger import following, set_aside
from hopyard.ledger.set_aside import SetAside
from hopyard.ledger.values import NewJob, job_id, new_id, renamed
from hopyard.specs import State
from hopyard.tasks import canvas, signals, tagged

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.ledger.database import Connection
    from hopyard.ledger.following import FinishedJob
    from hopyard.ledger.values import Again, Done
    from hopyard.tasks.client import Client

log = logging.getLogger("hopyard.engine")

#: Jobs whose followers one transaction stores.
_BATCH: Final = 50
#: A mark this old was left by a worker that died, or by an end that no worker recorded.
_LEFT_AFTER: Final = 2.0
#: Results of a chord's parts of so many characters are handed to its body by reference.
_MOST_IN_A_BODY: Final = 200_000


class FollowUps:
    """Stores followers for one worker; what it does not live to do, the leading reconciler's does."""

    def __init__(self, hopyard: Hopyard, client: Client) -> None:
        self._hopyard = hopyard
        self._client = client
        self._database = client.database

    async def rest(self) -> None:
        """Store what nobody has stored in time."""
        while ids := await following.marked(self._database, _LEFT_AFTER, _BATCH):
            await self._follow(ids)
            if len(ids) < _BATCH:
                return

    async def follow(self, ids: Sequence[str]) -> None:
        """Store the followers of jobs that are over. Where the ledger is away, `rest` does it later."""
        for start in range(0, len(ids), _BATCH):
            try:
                await self._follow(ids[start : start + _BATCH])
            except LedgerUnavailable as error:
                log.info("what follows %d jobs is stored later: %s", len(ids) - start, error)
                return

    async def _follow(self, ids: Sequence[str]) -> None:
        """Store what follows a page of jobs; one whose follow-ups cannot be stored is set aside."""
        try:
            await self._store(ids)
        except LedgerUnavailable:
            raise
        except Exception as error:
            if len(ids) > 1:
                for id_ in ids:
                    await self._follow([id_])
                return
            log.exception("what follows job %s is given up", ids[0])
            await self._set_aside(ids[0], error)

    async def _set_aside(self, id_: str, error: Exception) -> None:
        reason = f"what follows the job is given up: {type(error).__name__}: {error}"
        async with self._database.transaction() as tx:
            await following.take(tx, self._database, [id_])
            await set_aside.add(tx, self._database.dialect.now, [SetAside("follow-up", id_, reason)])

    async def _store(self, ids: Sequence[str]) -> None:
        async with self._database.transaction() as tx:
            expansion = _Expansion(self._hopyard, tx)
            for job in await following.take(tx, self._database, ids):
                await expansion.add(job)
            await following.open_groups(tx, self._database.dialect, expansion.sizes, expansion.shapes)
            given_up = await following.without_live(tx, self._database, expansion.given_up)
            await following.give_up(tx, self._database.dialect, given_up)
            await set_aside.add(tx, self._database.dialect.now, expansion.set_aside)
            jobs = signals.before_publish(await self._with_free_ids(tx, expansion.jobs))
            new = await tx.insert_jobs(jobs) if jobs else set()
        await self._client.announce([job for job in jobs if job.id in new])
        signals.after_publish(jobs, new)

    async def _with_free_ids(self, tx: Connection, jobs: Sequence[NewJob]) -> list[NewJob]:
        """Give new ids to jobs that were given up once: a replay has brought their chain or chord back."""
        if not jobs:
            return []
        taken = await following.given_up(tx, self._database, [job.id for job in jobs])
        return [_renamed(job) if job.id in taken else job for job in jobs]


class FollowUpsObserver(Observer):
    """Has the followers of jobs stored as soon as their outcome is written."""

    def __init__(self, followups: FollowUps, spawn: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._followups = followups
        self._spawn = spawn
        #: Jobs that ended here, that something follows, and whose outcome is not written yet.
        self._ended: set[str] = set()

    def ended(self, runs: Sequence[EndedRun]) -> None:
        self._ended |= {
            run.running.claim.id for run in runs if run.outcome is not None and run.running.claim.linked
        }

    def recorded(self, outcomes: Sequence[Done | Again], refused: Sequence[str]) -> None:
        if due := self._ended.intersection(outcome.id for outcome in outcomes):
            self._ended -= due
            self._spawn(self._followups.follow([*due]))


def _renamed(job: NewJob) -> NewJob:
    id_ = new_id()
    return job._replace(id=id_, headers=renamed(job.headers, id_), replay_of=job.id)


class _Expansion:
    """What follows a batch of jobs."""

    def __init__(self, hopyard: Hopyard, tx: Connection) -> None:
        self._hopyard = hopyard
        self._tx = tx
        self.jobs: list[NewJob] = []
        self.sizes: dict[str, int] = {}
        self.shapes: dict[str, canvas.Shape] = {}
        self.given_up: list[NewJob] = []
        self.set_aside: list[SetAside] = []

    async def add(self, job: FinishedJob) -> None:
        """Add what follows a job, or the reason why that is given up. Raises `LedgerError`."""
        before = len(self.jobs)
        try:
            embed = canvas.links(job.body)
            if job.state is State.SUCCEEDED:
                await self._succeeded(job, embed)
            else:
                await self._failed(job, embed)
        except LedgerError:
            raise  # of the whole transaction
        except Exception as error:
            log.exception("what follows job %s is given up", job.id)
            del self.jobs[before:]
            self._give_up_all(job, f"{type(error).__name__}: {error}")

    def _give_up_all(self, job: FinishedJob, why: str) -> None:
        reason = f"it cannot be made of what job {job.id} left: {why}"
        try:
            embed = canvas.links(job.body)
            signatures = [
                one for value in embed.values() for one in (value if isinstance(value, list) else [value])
            ]
            self._give_up(job, signatures, reason)
        except Exception as error:  # noqa: BLE001 - nobody can say who would wait: the reason is kept
            reason = f"{reason}; nor can its follow-ups be named: {error}"
        self.set_aside.append(SetAside("follow-up", job.id, reason))

    async def _succeeded(self, job: FinishedJob, embed: dict[str, Any]) -> None:
        result = json.loads(job.result or "null")
        for callback in embed.get("callbacks", ()):
            self._apply(job, callback, (result,))
        if chain := embed.get("chain"):
            *rest, following_one = chain  # as Celery's: the next one is the last
            self._apply(job, following_one, (result,), chain=rest)
        if body := embed.get("chord"):
            index = json.loads(job.headers).get("group_index") or 0
            if await following.add_part(self._tx, job, index, job.result or "null"):
                self._apply(job, body, (await self._parts(str(job.job_group)),))

    async def _parts(self, group: str) -> Any:
        """Return the results of a chord's parts, or if they are many a reference to where they stand."""
        found = await following.parts(self._tx, group)
        if sum(map(len, found.values())) > _MOST_IN_A_BODY:
            return tagged.tagged(canvas.PARTS, group)
        results = await canvas.results(self._tx, group, found)
        await following.forget_parts(self._tx, group)
        return results

    async def _failed(self, job: FinishedJob, embed: dict[str, Any]) -> None:
        if job.state is State.DEAD:
            for errback in embed.get("errbacks", ()):
                self._tell(job, errback, job.id)
        chain = embed.get("chain", [])
        bodies = [embed.get("chord"), *(_option(one, "chord") for one in chain)]
        groups = [job.job_group, *(_option(one, "group_id") for one in chain)]
        for body, group in zip(bodies, groups, strict=True):
            errbacks = _option(body, "link_error") or ()
            if errbacks and (not group or await following.fails_first(self._tx, job_id(group))):
                for errback in errbacks:
                    self._tell(job, errback, job_id(_option(body, "task_id") or job.id))
        state = State(job.state).label
        waiting = [*chain, *(body for body in bodies if body)]
        self._give_up(job, waiting, f"job {job.id}, which it follows, is {state}")

    def _tell(self, job: FinishedJob, errback: dict[str, Any], id_: str) -> None:
        """Apply an error link: with the failed job's id, or as Celery's newer ones with three arguments."""
        self._apply(job, errback, _about_failure(job, id_) if self._takes_request(errback) else (id_,))

    def _takes_request(self, errback: dict[str, Any]) -> bool:
        """Say whether an error link takes more than one argument beyond those that it has already."""
        task = self._hopyard.tasks.get(errback.get("task", ""))
        if task is None:
            return False
        given = 0 if errback.get("immutable") else len(errback["args"]) + len(errback["kwargs"])
        return task.payload.size - given > 1

    def _apply(
        self, job: FinishedJob, signature: dict[str, Any], args: tuple[Any, ...], **options: Any
    ) -> None:
        """Collect the jobs of a signature. One that cannot be expanded is given up, with the reason."""
        from celery import signature as made

        try:
            with canvas.collecting(check=False, person=job.person) as found:
                made(signature, app=self._hopyard.celery).apply_async(
                    args, parent_id=job.id, root_id=job.root or job.id, **options
                )
        except Exception as error:
            first = not any(one.target == job.id for one in self.set_aside[-1:])
            if first:  # one word for all that follows a job: that may be thousands
                log.exception("what follows job %s cannot be made", job.id)
            rest = [signature, *options.get("chain", ())]
            reason = f"it cannot be made of what job {job.id} left: {error}"
            if first:
                self.set_aside.append(SetAside("follow-up", job.id, reason))
            self._give_up(job, rest, reason)
            return
        self.jobs += found.jobs
        self.sizes |= found.sizes
        self.shapes |= found.shapes

    def _give_up(self, job: FinishedJob, signatures: Sequence[dict[str, Any]], reason: str) -> None:
        for signature in canvas.promised(signatures):
            id_, task = job_id(signature["options"]["task_id"]), signature["task"]
            known = self._hopyard.plugins.options.get(task)
            self.given_up.append(
                NewJob(
                    id=id_,
                    task=task,
                    queue=known.queue if known else "hopyard",
                    priority=known.priority if known else 5,
                    body=envelope.body(tuple(signature["args"]), signature["kwargs"]),
                    headers=envelope.headers(id_, task, root=job.root, parent=job.id),
                    state=State.CANCELLED,
                    parent=job.id,
                    root=job.root,
                    person=job.person,
                    reason=reason[:500],
                )
            )


def _about_failure(job: FinishedJob, id_: str) -> tuple[Any, ...]:
    """Return what Celery tells an error link: the request, the error, and its traceback as text."""
    args, kwargs, _ = json.loads(job.body)
    headers = json.loads(job.headers)
    request = headers | {
        "id": id_,
        "args": args,
        "kwargs": kwargs,
        "root_id": job.root,
        "called_directly": False,
    }
    error = json.loads(job.error or "{}")
    trace = error.pop("traceback", None)
    return tagged.tagged(tagged.REQUEST, request), tagged.tagged(tagged.ERROR, error), trace


def _option(signature: dict[str, Any] | None, name: str) -> Any:
    return (signature.get("options") or {}).get(name) if signature else None
