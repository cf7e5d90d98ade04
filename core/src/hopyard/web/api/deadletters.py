"""Failures: jobs that ended dead, in groups of what went wrong."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from hopyard.ledger.read import failures
from hopyard.web.api.deps import Here, Watcher

router = APIRouter(tags=["failures"])


class Failures(BaseModel):
    """Groups of dead jobs, the latest first; `looked_at` jobs were looked at."""

    groups: list[failures.FailureGroup]
    looked_at: int
    more: bool


@router.get("/failures")
async def list_failures(
    here: Here, viewer: Watcher, limit: Annotated[int, Query(ge=1, le=failures.MOST)] = 1_000
) -> Failures:
    """Return the latest dead jobs in groups: of one task, with errors that are alike."""
    found = await failures.groups(here.database, viewer.narrowed(), limit)
    return Failures(groups=found.groups, looked_at=found.looked_at, more=found.more)
