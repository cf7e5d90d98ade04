"""Acting on a request: evaluate, execute, keep the result, tell the person."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hopyard import Job, storage
from hopyard.errors import JobCancelled, LedgerUnavailable, StaleFence
from hopyard.storage import derived_id, utcnow

from hopyard_ai import approving, budget, store
from hopyard_ai.agent.context import Context, Past
from hopyard_ai.agent.evaluator import Decision, evaluate
from hopyard_ai.agent.executor import Executor, Limits, Outcome
from hopyard_ai.agent.metering import metered
from hopyard_ai.agent.providers import OFFLINE, explained
from hopyard_ai.health import model, settings
from hopyard_ai.models import Request, Run, wall
from hopyard_ai.tasks import act
from hopyard_ai.telling import fail, tell
from hopyard_ai.tools import Toolbox

_ALONE: Final = "(The model used no tool for this: nothing was looked up or done.)"


async def act_on(
    job: Job, request_id: str, due: datetime | None, approvals: Mapping[str, bool] | None
) -> Run:
    """Act on a request for one due time: tried again, go on where it was; done before, do nothing."""
    request = await store.get_request(request_id, deleted=True)
    due = (due or job.due or utcnow()).astimezone(UTC)
    run = await store.begin_run(store.run_id(request.id, due), request.id, due, job.id)
    if run.state != "running" or run.job != job.id:
        return run
    resting = request.state in ("deleted", "unconfirmed") or (
        request.state != "active" and job.due is not None
    )
    if resting and "messages" not in job.checkpoint:
        return await store.update_run(run.id, state="skipped", finished=True)
    if request.kind == "reminder":
        return await _finish(request, run, Outcome(answer=request.instruction or request.title, model=None))
    if (used := await budget.used_up(request.person, request.zone)) is not None and run.tokens is None:
        return await _refuse(request, run, used)
    return await _Attempt(job, request, run).act(approvals)


class _Attempt:
    """One try of a run, by one job."""

    def __init__(self, job: Job, request: Request, run: Run) -> None:
        own = settings()
        self._job = job
        self._request = request
        self._run = run
        self._toolbox = Toolbox(job, run.id, own.tools, own.approval)
        limits = Limits(own.max_steps, own.max_tool_calls, own.max_tokens, own.max_cost, own.max_seconds)
        self._executor = Executor(
            model(), self._toolbox.specs(), self._toolbox.call, limits=limits, save=self._save
        )
        #: Of the run's tokens and cost, what the conversation does not count: deciding.
        self._deciding = (0, 0.0)

    async def act(self, approvals: Mapping[str, bool] | None) -> Run:
        """Act, and say how it ended. Raises what the job is to be tried again for, or ends with."""
        job, request, run = self._job, self._request, self._run
        try:
            return await self._act(approvals)
        except (StaleFence, LedgerUnavailable):  # another worker's job now, or nothing can be written
            raise
        except (JobCancelled, asyncio.CancelledError):
            if job.cancelled:
                await self._toolbox.cancel()
                await self._record()
                await fail(request, await store.get_run(run.id), "It was cancelled.")
            raise
        except Exception as error:
            await self._record()
            if not job.will_retry(error):
                await fail(request, await store.get_run(run.id), explained(error))
            raise

    async def _act(self, approvals: Mapping[str, bool] | None) -> Run:
        job, request, run = self._job, self._request, self._run
        context = await _context(request, run)
        history = job.checkpoint.get("messages") or await store.messages(run.id)
        if not history:
            job.progress(0, 3, "deciding")
            decision = await self._decide(context)
            if (
                decision.action == "postpone"
                and decision.until
                and run.postponed < settings().max_postponements
            ):
                return await _postpone(request, run, decision.until)
            if decision.action == "ask":
                return await _ask(request, run, decision, len(context.answers))
        job.progress(1, 3, "acting")
        outcome = await self._executor.run(context.prompt(), history=history, approvals=approvals)
        job.progress(2, 3, "telling")
        await self._record()
        if outcome.pending:
            return await _wait_for_approval(request, run, outcome)
        return await _finish(request, await store.get_run(run.id), outcome)

    async def _decide(self, context: Context) -> Decision:
        with metered() as taken:
            decision = await evaluate(model(evaluator=True), context)
        tokens = sum(one.told + one.answered for one in taken)
        self._deciding = (tokens, sum(one.cost or 0.0 for one in taken))
        await store.update_run(
            self._run.id,
            decision=decision.model_dump(mode="json"),
            tokens=(self._run.tokens or 0) + tokens,
        )
        return decision

    async def _save(self, messages: str) -> None:
        """Keep the conversation, for another try by this job and for another job that takes the run up."""
        await self._job.save(messages=messages)
        await self._record(messages=messages)

    async def _record(self, **values: Any) -> None:
        """Keep what was done until now: calls, steps, tokens, cost."""
        done = self._executor.so_far()
        if not done.steps:
            return
        calls = {call["id"]: call for call in self._run.calls} | {
            call.id: asdict(call) for call in done.calls
        }
        tokens, cost = self._deciding
        known = done.cost is not None or cost
        await store.update_run(
            self._run.id,
            calls=[*calls.values()],
            model=done.model,
            steps=done.steps,
            tokens=done.tokens + tokens,
            cost=float(done.cost or 0) + cost if known else None,
            **values,
        )


async def _context(request: Request, run: Run) -> Context:
    past = [one for one in await store.runs(request.id, 6) if one.id != run.id and one.answer]
    parent = await store.stored_request(request.after) if request.after else None
    before = await store.runs(parent.id, 1) if parent and parent.person == request.person else []
    return Context(
        person=request.person,
        zone=request.zone,
        now=utcnow(),
        due=run.due,
        title=request.title,
        instruction=request.instruction,
        when=request.when,
        quiet_hours=settings().quiet_hours.get(request.person),
        answers=await store.answers(request.id),
        history=[Past(one.due, one.state, one.answer or "") for one in past[:5]],
        before=[Past(one.due, one.state, one.answer or "") for one in before if one.answer],
    )


async def _refuse(request: Request, run: Run, used: str) -> Run:
    """Let a due time pass because its person's day is used up, and say so once a day."""
    reason = f"Today's share is used up: {used}. What is due until tomorrow is not done."
    id_ = derived_id("ai.budget", request.person, budget.today(request.zone))
    await tell(request, run, "No more today", reason, "refused", id_=id_)
    return await store.update_run(run.id, state="skipped", answer=reason, finished=True)


async def _postpone(request: Request, run: Run, until: datetime) -> Run:
    latest = utcnow() + timedelta(seconds=settings().longest_postponement)
    if until > latest:
        until = latest.replace(microsecond=0)
        at = wall(until, request.zone)
        said = f"It is looked at again at {at}, which is as long as it may wait."
        await tell(request, run, f"Postponed: “{request.title}”", said, "postponed")
    again = act.options(
        eta=until, person=request.person, id=derived_id(run.id, "postponed", str(run.postponed + 1))
    )
    async with storage.transaction() as tx:
        await tx.submit(again, request=request.id, due=run.due)
        await store.write_run(tx, run.id, state="postponed", postponed=run.postponed + 1)
    return await store.get_run(run.id)


async def _ask(request: Request, run: Run, decision: Decision, answered: int) -> Run:
    question = decision.question or ""
    body = f"{question}\nTo answer: hopyard ai answer {run.id} --user {request.person} YOUR ANSWER"
    id_ = derived_id(run.id, "asking", str(answered))
    title = f"A question about “{request.title}”"
    await tell(request, run, title, body, "asking", id_=id_)
    return await store.update_run(run.id, state="asking", answer=question)


async def _wait_for_approval(request: Request, run: Run, outcome: Outcome) -> Run:
    pending = approving.asked(run, outcome.pending, outcome.steps, settings().approval_expires)
    asked = approving.waiting(request, run.model_copy(update={"pending": pending}))
    data = {"approvals": [one.id for one in asked]}
    id_ = derived_id(run.id, "approval", *data["approvals"])
    title = f"May I? “{request.title}”"
    await tell(request, run, title, approving.question(asked, request.zone), "approval", id_=id_, data=data)
    return await store.update_run(run.id, state="approval", pending=pending)


async def _finish(request: Request, run: Run, outcome: Outcome) -> Run:
    title = "Reminder" if request.kind == "reminder" else request.title
    # Small models make up what they were to look up: a person must see that nothing was.
    alone = outcome.model not in (None, OFFLINE) and not run.calls
    body = f"{outcome.answer}\n{_ALONE}" if alone else outcome.answer
    await tell(request, run, title, body, "done")
    dependents = await store.dependents(request)
    # In one transaction: who waits for this result must not run before it is there.
    async with storage.transaction() as tx:
        await store.write_run(
            tx, run.id, state="done", answer=outcome.answer, pending=[], messages=None, finished=True
        )
        over = request.state == "active" and not request.after and not request.next_times
        if over:
            await store.update_request(tx, request.id, state="completed")
        for one in dependents:
            then = act.options(person=one.person, id=derived_id(run.id, "then", one.id))
            await tx.submit(then, request=one.id, due=run.due)
    return await store.get_run(run.id)


async def expire(request: Request, run: Run) -> None:
    """End a run whose approval nobody gave in time. Raises `InvalidInput` where somebody just did."""
    asked = approving.waiting(request, run)
    calls = ", ".join(approving.call_text(one.tool, one.args) for one in asked)
    async with storage.transaction() as tx:
        await store.change_pending(
            tx, run, [call | {"agreed": call.get("agreed") or False} for call in run.pending]
        )
        await store.write_run(tx, run.id, state="running")
    await fail(request, await store.get_run(run.id), f"Nobody agreed in time to {calls}.")
