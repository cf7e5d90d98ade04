"""The demo's own plugin: a hopfile beside the settings, with one tool that asks an unreliable service."""

import os
import secrets
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from hopyard import Hopyard, Plugin, PluginSettings, RetryPolicy, Task, hookimpl, task


class Rate(BaseModel):
    """What one unit of the currency costs, in US dollars."""

    currency: str
    dollars: float
    reference: str


@task("site.exchange_rate", queue="maintenance", retry=RetryPolicy(max_retries=4, backoff=1), tool=True)
async def exchange_rate(currency: str) -> Rate:
    """Look up the exchange rate of a currency, for example EUR, GBP or NOK."""
    address = os.environ["HOPYARD_INTERNAL_DEMO"]
    answer = await Hopyard.current().egress.request("GET", f"{address}/rates/{currency}")
    return Rate(
        currency=currency, dollars=answer.json()["dollars"], reference="X-" + secrets.token_hex(3).upper()
    )


class Site(Plugin[PluginSettings]):
    """Hooks without packaging."""

    @hookimpl
    def register_tasks(self) -> Iterable[Task[..., Any]]:
        return [exchange_rate]
