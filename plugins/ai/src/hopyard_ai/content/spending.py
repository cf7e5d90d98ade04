"""What jobs spent on models, by job and model, in the ledger's database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hopyard import storage
from hopyard.storage import Transaction

if TYPE_CHECKING:
    from hopyard import Job

    from hopyard_ai.content.settings import Price

_MILLION = 1_000_000


def cost_of(prices: dict[str, Price], model: str, told: int, answered: int, known: Any) -> float | None:
    """Return US dollars: by the settings' prices, else as the library knows them; None where nobody does."""
    price = prices.get(model)
    if price is not None:
        return (told * price.input + answered * price.output) / _MILLION
    return None if known is None else float(known)


async def add(
    tx: Transaction, job: Job, model: str, *, requests: int, tokens: int, cost: float | None
) -> None:
    """Add to what a job has spent on a model."""
    await tx.execute(
        "INSERT INTO ai_usage (job_id, model, task, person, requests, tokens, cost, at) "
        f"VALUES ($1, $2, $3, $4, $5, $6, $7, {tx.sql.now}) ON CONFLICT (job_id, model) DO UPDATE SET "
        "requests = ai_usage.requests + excluded.requests, tokens = ai_usage.tokens + excluded.tokens, "
        "cost = CASE WHEN ai_usage.cost IS NULL AND excluded.cost IS NULL THEN NULL "
        "ELSE coalesce(ai_usage.cost, 0) + coalesce(excluded.cost, 0) END, at = excluded.at",
        job.id,
        model,
        job.task,
        job.person,
        requests,
        tokens,
        cost,
    )


async def of_job(id_: str) -> tuple[int, int, float | None]:
    """Return how many requests, tokens and US dollars a job has spent, over all its attempts."""
    [row] = await storage.fetch(
        "SELECT coalesce(sum(requests), 0) AS requests, coalesce(sum(tokens), 0) AS tokens, "
        "sum(cost) AS cost FROM ai_usage WHERE job_id = $1",
        id_,
    )
    return int(row["requests"]), int(row["tokens"]), None if row["cost"] is None else float(row["cost"])


async def overview(days: float) -> Sequence[dict[str, Any]]:
    """Return by task and model the `jobs`, `requests`, `tokens` and `cost` of the last days."""
    words = storage.sql()
    rows = await storage.fetch(
        "SELECT task, model, count(*) AS jobs, sum(requests) AS requests, sum(tokens) AS tokens, "
        f"sum(cost) AS cost FROM ai_usage WHERE at >= {words.minus(words.now, str(days * 86_400))} "
        "GROUP BY task, model ORDER BY task, model"
    )
    return [
        {
            "task": row["task"],
            "model": row["model"],
            "jobs": int(row["jobs"]),
            "requests": int(row["requests"]),
            "tokens": int(row["tokens"]),
            "cost": None if row["cost"] is None else float(row["cost"]),
        }
        for row in rows
    ]
