"""One job's questions to the model: equal ones are asked once, and what they cost is kept.

The answers that are kept are the job's checkpoint as well: an attempt that goes on after a crash finds those
of the attempt before it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hopyard import storage
from hopyard.errors import InvalidInput, TransientError
from pydantic import BaseModel, ValidationError

from hopyard_ai.agent.answers import CUT, UnusableAnswer
from hopyard_ai.agent.metering import Taken, metered
from hopyard_ai.content import spending
from hopyard_ai.content.values import Spent
from hopyard_ai.health import model, settings

if TYPE_CHECKING:
    from hopyard import Job

Form = TypeVar("Form", bound=BaseModel)
A = TypeVar("A")
B = TypeVar("B")

#: A model that gives no answer of use in so many attempts of a job will not give one.
_ATTEMPTS: Final = 3
_LONGEST_ANSWER: Final = 100_000
HOW_TO: Final = (
    "a model is needed for this, and none is set up: give `model` in [plugins.ai.settings], "
    "such as openai:gpt-5-mini, with its key"
)


def models() -> str:
    """Return the names of the configured model and its fallbacks: equal questions to others are others."""
    own = settings()
    return ", ".join([own.model, *(one.model for one in own.fallbacks)])


class _Text(BaseModel):
    text: str


class Asker:
    """Asks for one job. `fresh`: answers of other jobs are not used, and this job's are not for others."""

    def __init__(self, job: Job, *, fresh: bool = False) -> None:
        self._job = job
        self._own = job.id if fresh else ""
        self._cached = 0

    async def ask(
        self,
        form: type[Form],
        prompt: str,
        *,
        instructions: str,
        check: Callable[[Form], str | None] | None = None,
    ) -> Form:
        """Return the model's answer as a `form` (see `structured`), or an earlier one to the same question.

        Raises `UnusableAnswer`, at the third attempt with one `InvalidInput`, where the model gives no answer
        that has the form; `InvalidInput` where the person's day is used up; and as `structured`.
        """

        async def answered() -> Form:
            found = await structured(model(), form, prompt, instructions=instructions, check=check)
            if found is not None:
                return found
            raise UnusableAnswer("the model's answer cannot be used: it does not have the form asked for")

        from hopyard_ai.agent.structured import structured

        key = self._key(form.model_json_schema(), prompt, instructions)
        return await self._once(form, key, answered, check)

    async def write(self, prompt: str, *, instructions: str) -> str:
        """Return the model's answer as text, or an earlier one to the same question. Raises as `written`."""

        async def answered() -> _Text:
            return _Text(text=await written(model(), prompt, instructions=instructions))

        from hopyard_ai.agent.structured import written

        return (await self._once(_Text, self._key("text", prompt, instructions), answered)).text

    async def _once(
        self,
        form: type[Form],
        key: str,
        answered: Callable[[], Awaitable[Form]],
        check: Callable[[Form], str | None] | None = None,
    ) -> Form:
        known = await _kept(form, key)
        if known is not None and (check is None or check(known) is None):
            self._cached += 1
            return known
        await within_budget(self._job)
        with metered() as taken:
            try:
                answer = _short(await answered())
            except UnusableAnswer as error:
                if not await given_up(self._job, error):
                    raise
                raise InvalidInput(f"{error}, in {_ATTEMPTS} attempts; a larger model may do it") from error
            finally:
                await self._spent(taken)
        if CUT not in answer.model_dump_json():  # the next one who asks may get all of it
            await _keep(key, answer)
        return answer

    def _key(self, form: Any, prompt: str, instructions: str) -> str:
        parts = [models(), form, instructions, prompt, self._own]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    async def _spent(self, taken: Sequence[Taken]) -> None:
        if not taken:
            return
        own = settings()
        async with storage.transaction() as tx:
            for one in taken:
                name = one.model or own.model
                cost = spending.cost_of(own.prices, name, one.told, one.answered, one.cost)
                tokens = one.told + one.answered
                await spending.add(tx, self._job, name, requests=1, tokens=tokens, cost=cost)

    async def spent(self) -> Spent:
        """Return what the job has spent until now, over all its attempts."""
        requests, tokens, cost = await spending.of_job(self._job.id)
        return Spent(model=models(), requests=requests, cached=self._cached, tokens=tokens, cost=cost)


def _short(answer: Form) -> Form:
    """Return an answer that is short enough to be kept, and to be the result of a job."""
    if (size := len(answer.model_dump_json())) > _LONGEST_ANSWER:
        raise UnusableAnswer(
            f"the model's answer cannot be used: found {size:,} characters, "
            f"expected at most {_LONGEST_ANSWER:,}"
        )
    return answer


async def given_up(job: Job, error: TransientError) -> bool:
    """Whether a model has given a job answers that cannot be used, which are paid for, often enough.

    Attempts that ended otherwise, by an outage or with their worker, do not count: the checkpoint has those
    with such an answer. Several of one attempt, which asks for many things at once, count once.
    """
    if not isinstance(error, UnusableAnswer):
        return False
    attempts = sorted({*job.checkpoint.get("unusable", ()), job.attempt})
    if len(attempts) > len(job.checkpoint.get("unusable", ())):
        await job.save(unusable=attempts)
    return len(attempts) >= _ATTEMPTS


def offline_spent() -> Spent:
    """Return what an answer without a model takes."""
    return Spent(model=settings().model, offline=True, cost=0.0)


async def each(work: Callable[[A], Awaitable[B]], inputs: Iterable[A], job: Job, what: str) -> list[B]:
    """Return what `work` makes of each input, some at a time; what is done is the job's progress.

    The first error ends the others and is raised.
    """
    todo = [*inputs]
    room, done = asyncio.Semaphore(settings().content.concurrency), 0

    async def one(value: A) -> B:
        nonlocal done
        async with room:
            result = await work(value)
        done += 1
        job.progress(done, len(todo), f"{what} {done} of {len(todo)}")
        return result

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(value)) for value in todo]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


@asynccontextmanager
async def standing_in_line(job: Job) -> AsyncIterator[None]:
    """Inside, requests of a job wait for their turn without a slot, and keep it for a next attempt."""
    from hopyard_ai.agent.gate import Visitor, visitor

    async def keep(moment: datetime) -> None:
        await job.save(turn=moment.isoformat())

    kept = job.checkpoint.get("turn")
    token = visitor.set(Visitor(job.release_slot, keep, datetime.fromisoformat(kept) if kept else None))
    try:
        yield
    finally:
        visitor.reset(token)


async def within_budget(job: Job) -> None:
    """Raise `InvalidInput` where the day of the person whom a job is for is used up."""
    own = settings()
    if job.person is None or (own.daily_tokens is None and own.daily_cost is None):
        return
    from hopyard import people

    from hopyard_ai.budget import spending_used_up

    used = await spending_used_up(job.person, people.person(job.person).zone)
    if used is not None:
        raise InvalidInput(f"{job.person} has used up {used}: it goes on tomorrow, in their zone")


async def _kept(form: type[Form], key: str) -> Form | None:
    rows = await storage.fetch("SELECT answer FROM ai_answer WHERE key = $1", key)
    try:
        return form.model_validate_json(rows[0]["answer"]) if rows else None
    except ValidationError:  # the form has changed with a release: asked anew
        return None


async def _keep(key: str, answer: BaseModel) -> None:
    await storage.execute(
        f"INSERT INTO ai_answer (key, model, answer, created) VALUES ($1, $2, $3, {storage.sql().now}) "
        "ON CONFLICT (key) DO UPDATE SET answer = excluded.answer, created = excluded.created",
        key,
        models(),
        answer.model_dump_json(),
    )


async def forget(days: float, most: int = 1000) -> int:
    """Remove answers that are older than so many days, at most so many; return how many went."""
    words = storage.sql()
    old = words.minus(words.now, str(days * 86_400))
    return await storage.execute(
        "DELETE FROM ai_answer WHERE key IN "
        f"(SELECT key FROM ai_answer WHERE created < {old} LIMIT {int(most)})"
    )
