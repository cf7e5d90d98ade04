"""The demo's own plugin: a hopfile beside the settings, with a tool that fails at first and one that asks."""

import os
import secrets
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from hopyard import Hopyard, Plugin, PluginSettings, RetryPolicy, Task, Tool, hookimpl, task

READS = Tool(read_only=True)
ASKS = Tool(approval=True, idempotent=True)


class Rate(BaseModel):
    """What one unit of the currency costs, in US dollars."""

    currency: str
    dollars: float
    reference: str
    summary: str


@task("site.exchange_rate", queue="maintenance", retry=RetryPolicy(max_retries=4, backoff=1), tool=READS)
async def exchange_rate(currency: str) -> Rate:
    """Look up the exchange rate of a currency, for example EUR, GBP or NOK."""
    address = os.environ["HOPYARD_INTERNAL_DEMO"]
    answer = await Hopyard.current().egress.request("GET", f"{address}/rates/{currency}")
    dollars = answer.json()["dollars"]
    summary = f"1 {currency} costs {dollars} US dollars."
    reference = "X-" + secrets.token_hex(3).upper()
    return Rate(currency=currency, dollars=dollars, reference=reference, summary=summary)


@task("site.open_gate", queue="maintenance", tool=ASKS)
async def open_gate(who: str) -> str:
    """Open the gate for somebody."""
    return f"The gate is open for {who}."


class Site(Plugin[PluginSettings]):
    """Hooks without packaging."""

    @hookimpl
    def register_tasks(self) -> Iterable[Task[..., Any]]:
        return [exchange_rate, open_gate]
