"""What follows jobs that are over: Celery's own expansion of their signatures, collected and not sent."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hopyard.broker import envelope
from hopyard.errors import LedgerError, PayloadError
from hopyard.ledger import following
from hopyard.ledger.set_aside import SetAside
from hopyard.ledger.values import NewJob, job_id, new_id, renamed
from hopyard.specs import State
from hopyard.tasks import canvas, tagged

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.ledger.database import Connection
    from hopyard.ledger.following import Existing, FinishedJob

log = logging.getLogger("hopyard.engine")

#: Results of a chord's parts of so many characters are handed to its body by reference.
_MOST_IN_A_BODY: Final = 200_000


@dataclass
class _Made:
    """The jobs of one follow-up of one job."""

    of: FinishedJob
    signatures: Sequence[dict[str, Any]]
    """The follow-up and what comes behind it: given up together."""
    jobs: list[NewJob]
    sizes: dict[str, int]
    shapes: dict[str, canvas.Shape]


class Expansion:
    """What follows a batch of jobs."""

    def __init__(self, hopyard: Hopyard, tx: Connection) -> None:
        self._hopyard = hopyard
        self._tx = tx
        self._made: list[_Made] = []
        self.given_up: list[NewJob] = []
        self.set_aside: list[SetAside] = []

    @property
    def jobs(self) -> list[NewJob]:
        """The jobs to store."""
        return [job for made in self._made for job in made.jobs]

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes of the chords' headers among them."""
        return {group: size for made in self._made for group, size in made.sizes.items()}

    @property
    def shapes(self) -> dict[str, canvas.Shape]:
        """How the results of those headers are nested."""
        return {group: shape for made in self._made for group, shape in made.shapes.items()}

    def settle(self, existing: Mapping[str, Existing]) -> None:
        """Give up each follow-up that has the id of a job in the ledger, or of another follow-up.

        Where a replay brings a chain or chord back, its jobs get new ids instead.
        """
        made, self._made = self._made, []
        seen = set[str]()
        for one in made:
            one.jobs = [_renamed(job) if _is_back(one.of, existing.get(job.id)) else job for job in one.jobs]
            ids = [job.id for job in one.jobs]
            taken = [id_ for n, id_ in enumerate(ids) if id_ in existing or id_ in seen or id_ in ids[:n]]
            if taken:
                there = existing.get(taken[0])
                whose = f"a job of {there.task}" if there else "another one that follows"
                log.error("what follows job %s has the id %s of %s", one.of.id, taken[0], whose)
                self._refuse(one.of, one.signatures, f"its id {taken[0]} is that of {whose}")
            else:
                seen.update(ids)
                self._made.append(one)

    async def add(self, job: FinishedJob) -> None:
        """Add what follows a job, or the reason why that is given up. Raises `LedgerError`."""
        before = len(self._made)
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
            del self._made[before:]
            self.give_up_all(
                job, f"it cannot be made of what job {job.id} left: {type(error).__name__}: {error}"
            )

    def give_up_all(self, job: FinishedJob, reason: str) -> None:
        """Give up all that follows a job, as far as it can be read who would wait for it."""
        try:
            embed = json.loads(job.body)[2]
            self._give_up(job, [one for value in embed.values() for one in canvas.members(value)], reason)
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
            index = json.loads(job.headers or "{}").get("group_index") or 0
            if job.job_group is None or not isinstance(index, int):
                raise PayloadError(
                    f"chord: found group {job.job_group} and place {index!r}, expected the group of the "
                    "job, and its place in it"
                )
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
        waiting = [*embed.get("callbacks", ()), *chain, *(body for body in bodies if body)]
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

        whole = [signature, *options.get("chain", ())]
        try:
            with canvas.collecting(check=False, person=job.person) as found:
                made(signature, app=self._hopyard.celery).apply_async(
                    args, parent_id=job.id, root_id=job.root or job.id, **options
                )
        except Exception as error:
            if not self._is_told(job):
                log.exception("what follows job %s cannot be made", job.id)
            self._refuse(job, whole, f"it cannot be made of what job {job.id} left: {error}")
            return
        self._made.append(_Made(job, whole, found.jobs, found.sizes, found.shapes))

    def _is_told(self, job: FinishedJob) -> bool:
        return any(one.target == job.id for one in self.set_aside[-1:])

    def _refuse(self, job: FinishedJob, signatures: Sequence[dict[str, Any]], reason: str) -> None:
        """Give up a follow-up, with one word for all that follow a job: that may be thousands."""
        if not self._is_told(job):
            self.set_aside.append(SetAside("follow-up", job.id, reason))
        self._give_up(job, signatures, reason)

    def _give_up(self, job: FinishedJob, signatures: Sequence[Any], reason: str) -> None:
        for signature in canvas.promised(signatures):
            id_, task = job_id(signature["options"]["task_id"]), signature["task"]
            known = self._hopyard.plugins.options.get(task)
            self.given_up.append(
                NewJob(
                    id=id_,
                    task=task,
                    queue=known.queue if known else "hopyard",
                    priority=known.priority if known else 5,
                    body=envelope.body(_args(signature.get("args")), _kwargs(signature.get("kwargs"))),
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


def _args(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list) else ()


def _kwargs(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_back(job: FinishedJob, there: Existing | None) -> bool:
    """Say whether a follow-up was there before: given up once, or behind the job that is replayed."""
    return there is not None and (there.state is State.CANCELLED or job.replay_of is not None)


def _renamed(job: NewJob) -> NewJob:
    id_ = new_id()
    return job._replace(id=id_, headers=renamed(job.headers, id_), replay_of=job.id)
