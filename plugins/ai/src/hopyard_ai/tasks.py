"""The tasks. Their bodies are elsewhere: declaring them must stay cheap."""

from __future__ import annotations

from datetime import datetime

from hopyard import Job, RetryPolicy, Tool, task

from hopyard_ai.content.values import Analysis, Embedded, Hits, Item, Operation, Processed, Sorting
from hopyard_ai.models import Connection, Due, Reminder, Run

_RETRY = RetryPolicy(max_retries=3, backoff=60)
#: What was answered is kept, so that another try costs only what is missing.
_TEXTS = RetryPolicy(max_retries=10, backoff=30, max_backoff=1800)


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


@task("ai.analyze_content", retry=_TEXTS, time_limit=3600)
async def analyze_content(
    job: Job, content: str, categories: list[str] | None = None, fresh: bool = False
) -> Analysis:
    """Say what is in a text: summary, entities, categories (of the given ones, if any), key points.

    `fresh`: the model is asked although an equal question was answered before.
    """
    from hopyard_ai.content.analyzing import analysis_of

    return await analysis_of(job, content, categories or [], fresh)


@task("ai.process_with_llm", retry=_TEXTS, time_limit=3600)
async def process_with_llm(
    job: Job,
    content: str,
    operation: Operation = "summarize",
    template: str | None = None,
    variables: dict[str, str] | None = None,
    categories: list[str] | None = None,
    fresh: bool = False,
) -> Processed:
    """Answer about a text: summarize, analyze, categorize, extract insights, or as a template says."""
    from hopyard_ai.content.processing import answer_about

    return await answer_about(job, content, operation, template, variables or {}, categories or [], fresh)


@task("ai.smart_categorization", retry=_TEXTS, time_limit=3600)
async def smart_categorization(
    job: Job,
    items: list[str | Item],
    categories: list[str] | None = None,
    taxonomy: str = "default",
    suggestions: int = 3,
    fresh: bool = False,
) -> Sorting:
    """Suggest categories for many items at once, and keep them; without categories they are learned once."""
    from hopyard_ai.content.sorting import sorting_of

    return await sorting_of(job, items, categories or [], taxonomy, suggestions, fresh)


@task("ai.generate_embeddings_batch", retry=_TEXTS, time_limit=3600)
async def generate_embeddings_batch(
    job: Job, items: list[str | Item], collection: str = "default"
) -> Embedded:
    """Give texts vectors, each once, and keep them in a collection that can be searched."""
    from hopyard_ai.content.embedding import embed_all

    return await embed_all(job, items, collection)


@task("ai.search", retry=_RETRY, time_limit=120, tool=Tool(read_only=True, idempotent=True))
async def search(job: Job, query: str, collection: str = "default", limit: int = 5) -> Hits:
    """Find the stored texts that are nearest to a query."""
    from hopyard_ai.content.searching import search as nearest

    return await nearest(job, query, collection, limit)
