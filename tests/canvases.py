"""A lab whose worker runs Celery's canvas."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from engines import Lab
from hopyard.specs import State


class Canvas:
    """A lab whose worker consumes, and signatures of its tasks."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.told: list[Any] = []
        lab.calls["told"] = self.tell
        tasks = lab.hopyard.celery.tasks
        self.add, self.total = tasks["site.add"].s, tasks["site.total"].s
        self.tell_ = tasks["site.told"].s

    def tell(self, about: Any) -> Any:
        self.told.append(about)
        if isinstance(about, dict) and about.get("fail"):
            raise ValueError("as told")
        return about

    async def apply(self, signature: Any) -> Any:
        """Apply as plain code does, in a thread."""
        return await asyncio.to_thread(signature.apply_async)

    async def result(self, result: Any, state: State = State.SUCCEEDED) -> Any:
        row = await self.lab.ends(result.id, state)
        return json.loads(row["result"]) if row["result"] else None

    async def quiet(self) -> None:
        """Wait until nothing is live and nothing waits to be followed."""
        await self.lab.until(self._nothing, "all is quiet")

    async def _nothing(self) -> bool:
        live = await self.lab.ledger.database.fetch(
            "SELECT id FROM job_live UNION ALL SELECT id FROM job_follow"
        )
        return not live

    async def runs(self, task: str) -> int:
        rows = await self.lab.ledger.database.fetch(
            f"SELECT id FROM job_history WHERE task = $1 AND state = {State.SUCCEEDED:d}", task
        )
        return len(rows)
