"""The tasks. Their bodies are elsewhere: declaring them must stay cheap."""

from __future__ import annotations

from datetime import datetime

from hopyard import Job, RetryPolicy, task

from hopyard_ai.models import Connection, Due, Reminder, Run

_RETRY = RetryPolicy(max_retries=3, backoff=60)


@task("ai.act", retry=_RETRY, time_limit=600)
async def act(
    job: Job, request: str, due: datetime | None = None, approvals: dict[str, bool] | None = None
) -> Run:
    """Act on a request that has fallen due: evaluate, use tools, keep the result, tell the person."""
    from hopyard_ai.acting import act_on

    return await act_on(job, request, due, approvals)


@task("ai.process_due_ai_tasks", retry=RetryPolicy(max_retries=1, backoff=30), time_limit=120)
async def process_due_ai_tasks(limit: int = 100) -> Due:
    """Repair what was interrupted: requests without a schedule, due times that nobody fired, dead runs."""
    from hopyard_ai.repairing import repair

    return await repair(limit)


@task("ai.create_ai_reminder", retry=_RETRY, time_limit=120)
async def create_ai_reminder(
    job: Job,
    text: str,
    person: str | None = None,
    title: str | None = None,
    zone: str | None = None,
    after: str | None = None,
) -> Reminder:
    """Store a request in plain English, such as "every weekday at 8 tell me the disk usage"."""
    from hopyard.storage import derived_id

    from hopyard_ai.manager import create

    # A second attempt, whose first one stored the request and did not live to say so, finds it.
    id_ = derived_id("ai.request", job.id)
    return await create(text, person=person or job.person or "", title=title, zone=zone, after=after, id_=id_)


@task("ai.check_ai_connection", retry=RetryPolicy(max_retries=0), time_limit=120)
async def check_ai_connection(timeout: float = 20.0) -> list[Connection]:
    """Say which of the configured models answer, and how fast."""
    from hopyard_ai.health import connections

    return await connections(timeout)


@task("ai.classify", retry=_RETRY, time_limit=300)
async def classify(text: str, labels: list[str]) -> str | None:
    """Choose the one of some labels that fits a text; none if none fits."""
    from hopyard_ai.classifying import label_of

    return await label_of(text, labels)
