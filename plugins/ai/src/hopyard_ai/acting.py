"""Acting on a request: evaluate, execute, keep the result, tell the person."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from hopyard import Job, notify, storage
from hopyard.errors import JobCancelled, StaleFence
from hopyard.storage import derived_id, utcnow

from hopyard_ai import store
from hopyard_ai.agent.context import Context, Past
from hopyard_ai.agent.evaluator import Decision, evaluate
from hopyard_ai.agent.executor import Executor, Limits, Outcome
from hopyard_ai.health import model, settings
from hopyard_ai.models import Request, Run
from hopyard_ai.tasks import act
from hopyard_ai.tools import Toolbox


async def act_on(
    job: Job, request_id: str, due: datetime | None, approvals: Mapping[str, bool] | None
) -> Run:
    """Act on a request for one due time: tried again, go on where it was; done before, do nothing."""
    request = await store.get_request(request_id, deleted=True)
    due = (due or job.due or utcnow()).astimezone(UTC)
    run = await store.begin_run(derived_id("ai.run", request.id, due.isoformat()), request.id, due, job.id)
    if run.state != "running" or run.job != job.id:
        return run
    resting = request.state == "deleted" or (request.state != "active" and job.due is not None)
    if resting and "messages" not in job.checkpoint:
        return await store.update_run(run.id, state="skipped", finished=True)
    try:
        return await _act(job, request, run, approvals)
    except (StaleFence, JobCancelled):  # another worker's job now, or nobody's
        raise
    except Exception as error:
        if not job.will_retry(error):
            await fail(request, run, str(error))
        raise


async def _act(job: Job, request: Request, run: Run, approvals: Mapping[str, bool] | None) -> Run:
    context = await _context(request, run)
    if not approvals and "messages" not in job.checkpoint:
        job.progress(0, 3, "deciding")
        decision = await evaluate(model(evaluator=True), context)
        run = await store.update_run(run.id, decision=decision.model_dump(mode="json"))
        if decision.action == "postpone" and decision.until and run.postponed < settings().max_postponements:
            return await _postpone(request, run, decision.until)
        if decision.action == "ask":
            return await _ask(request, run, decision)
    job.progress(1, 3, "acting")
    history = await store.messages(run.id) if approvals else None
    outcome = await _execute(job, context, job.checkpoint.get("messages") or history, approvals)
    job.progress(2, 3, "telling")
    if outcome.pending:
        return await _wait_for_approval(job, request, run, outcome)
    return await _finish(request, run, outcome)


async def _context(request: Request, run: Run) -> Context:
    past = [one for one in await store.runs(request.id, 6) if one.id != run.id and one.answer]
    before = await store.runs(request.after, 1) if request.after else []
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


async def _execute(
    job: Job, context: Context, history: str | None, approvals: Mapping[str, bool] | None
) -> Outcome:
    own = settings()
    toolbox = Toolbox(job, own.tools)

    async def save(messages: str) -> None:
        await job.save(messages=messages)

    limits = Limits(own.max_steps, own.max_tool_calls, own.max_tokens, own.max_cost, own.max_seconds)
    executor = Executor(model(), toolbox.specs(), toolbox.call, limits=limits, save=save)
    return await executor.run(context.prompt(), history=history, approvals=approvals)


async def _postpone(request: Request, run: Run, until: datetime) -> Run:
    again = act.options(
        eta=until, person=request.person, id=derived_id(run.id, "postponed", str(run.postponed + 1))
    )
    async with storage.transaction() as tx:
        await tx.submit(again, request=request.id, due=run.due)
        await store.write_run(tx, run.id, state="postponed", postponed=run.postponed + 1)
    return await store.get_run(run.id)


async def _ask(request: Request, run: Run, decision: Decision) -> Run:
    question = decision.question or ""
    await _tell(request, run, f"A question about “{request.title}”", question, "asking")
    return await store.update_run(run.id, state="asking", answer=question)


async def _wait_for_approval(job: Job, request: Request, run: Run, outcome: Outcome) -> Run:
    calls = ", ".join(f"{call.name}({json.dumps(call.args)})" for call in outcome.pending)
    await _tell(request, run, f"May I? “{request.title}”", f"This needs your approval: {calls}", "approval")
    return await store.update_run(
        run.id,
        state="approval",
        pending=[asdict(call) for call in outcome.pending],
        calls=[asdict(call) for call in outcome.calls],
        messages=job.checkpoint["messages"],
    )


async def _finish(request: Request, run: Run, outcome: Outcome) -> Run:
    await _tell(request, run, request.title, outcome.answer, "done")
    dependents = await store.dependents(request.id)
    earlier = {call["id"]: call for call in run.calls}
    calls = [*(earlier | {call.id: asdict(call) for call in outcome.calls}).values()]
    # In one transaction: who waits for this result must not run before it is there.
    async with storage.transaction() as tx:
        await store.write_run(
            tx,
            run.id,
            state="done",
            answer=outcome.answer,
            calls=calls,
            pending=[],
            messages=None,
            model=outcome.model,
            steps=outcome.steps,
            tokens=outcome.tokens,
            cost=float(outcome.cost) if outcome.cost is not None else None,
            finished=True,
        )
        if request.kind != "periodic" and not request.after and not request.next_times:
            await store.update_request(tx, request.id, state="completed")
        for one in dependents:
            then = act.options(person=one.person, id=derived_id(run.id, "then", one.id))
            await tx.submit(then, request=one.id, due=run.due)
    return await store.get_run(run.id)


async def fail(request: Request, run: Run, reason: str) -> Run:
    """Say that a due time will not be acted on any more, and why."""
    await _tell(request, run, f"Could not be done: “{request.title}”", reason, "failed")
    return await store.update_run(run.id, state="failed", answer=reason, finished=True)


async def _tell(request: Request, run: Run, title: str, body: str, what: str) -> None:
    """Notify the person, once for each outcome of a run."""
    data: dict[str, Any] = {"request": request.id, "run": run.id, "due": run.due.isoformat(), "state": what}
    id_ = derived_id(run.id, what, str(run.postponed), body if what in ("asking", "approval") else "")
    await notify(request.person, title, body, data=data, id=id_)
