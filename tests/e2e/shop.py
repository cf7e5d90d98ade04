"""What the pictures of the dashboard show: the jobs of a small shop."""

import asyncio
import random
from collections.abc import Iterable
from typing import Any, Literal

from hopyard import (
    Job,
    Plugin,
    PluginSettings,
    Queue,
    RetryPolicy,
    Rule,
    Schedule,
    Task,
    Tool,
    hookimpl,
    task,
)

ONCE = RetryPolicy(max_retries=0)


@task("site.import_catalogue", queue="site.imports", time_limit=3600)
async def import_catalogue(
    job: Job,
    supplier: str,
    articles: int = 1200,
    prices: Literal["net", "gross"] = "net",
    only: list[str] | None = None,
) -> dict[str, Any]:
    """Import a supplier's catalogue.

    Articles that are there already get the new prices; those that are gone are marked, never deleted.
    """
    for done in range(0, articles, 25):
        job.progress(done, articles, f"article {done} of {supplier}")
        job.log.info("read 25 articles of %s, %d are new", supplier, done % 7)
        await asyncio.sleep(0.8)
    return {"supplier": supplier, "articles": articles, "prices": prices, "only": only}


@task("site.charge_card", retry=ONCE)
async def charge_card(job: Job, order: int, amount: float, currency: str = "EUR") -> str:
    """Charge the card of an order."""
    job.log.info("asking the bank about order %d", order)
    await asyncio.sleep(0.1)
    raise RuntimeError(f"the bank declined order {order} with code 05")


@task("site.sync_stock", retry=RetryPolicy(max_retries=2))
async def sync_stock(warehouse: str) -> int:
    """Fetch what a warehouse has."""
    await asyncio.sleep(random.random())
    raise TimeoutError(f"warehouse {warehouse!r} did not answer within 30 s")


@task("site.pack", queue="site.imports")
async def pack(order: int) -> int:
    """Print the labels of an order."""
    return order


@task("site.refund", tool=Tool(approval=True, idempotent=True))
async def refund(order: int) -> str:
    """Pay an order back."""
    return f"Order {order} was paid back."


class Site(Plugin[PluginSettings]):
    """A small shop."""

    @hookimpl
    def register_queues(self) -> Iterable[Queue]:
        return [Queue("site"), Queue("site.imports", group="site", slots=1)]

    @hookimpl
    def register_tasks(self) -> Iterable[Task[..., Any]]:
        return [import_catalogue, charge_card, sync_stock, pack, refund]

    @hookimpl
    def register_schedules(self) -> Iterable[Schedule]:
        weekdays, quarters = Rule(cron="30 2 * * 1-5", zone="Europe/Oslo"), Rule(every=900)
        supplier, warehouse = {"supplier": "Nordic Tools"}, {"warehouse": "Oslo"}
        return [
            Schedule("site.nightly_import", "site.import_catalogue", weekdays, kwargs=supplier),
            Schedule("site.stock", "site.sync_stock", quarters, kwargs=warehouse),
        ]
