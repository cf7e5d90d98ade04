"""Whether it lives, whether it is ready, and everything that can be checked."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from hopyard.errors import HopyardError
from hopyard.monitor.health import run_checks
from hopyard.web.api.deps import Here, Watcher

router = APIRouter(tags=["health"])
#: For probes, which have no key: they say whether, and nothing of what.
probes = APIRouter(tags=["health"])


class Lives(BaseModel):
    """Whether it does."""

    ok: bool


class Check(BaseModel):
    """What one check found."""

    check: str
    ok: bool
    detail: str
    seconds: float


class Checks(BaseModel):
    """What all checks found."""

    ok: bool
    checks: list[Check]


_NOT_READY: dict[int | str, dict[str, Any]] = {503: {"model": Lives, "description": "Not ready"}}


@probes.get("/livez")
async def live() -> Lives:
    """Say that the process answers."""
    return Lives(ok=True)


@probes.get("/readyz", response_model=Lives, responses=_NOT_READY)
async def ready(here: Here) -> Any:
    """Say whether ledger and broker answer; status 503 if not."""
    try:
        client = here.hopyard.client()
        await client.database.fetch("SELECT 1 AS one")
        await client.publisher.ping()
    except HopyardError:
        return JSONResponse({"ok": False}, 503)
    return Lives(ok=True)


@router.get("/healthz/deep")
async def deep(here: Here, viewer: Watcher) -> Checks:
    """Run the checks of the core and of all plugins."""
    found = await run_checks(here.hopyard.plugins.health_checks)
    told = [
        Check(check=f"{one.plugin}.{one.name}", ok=one.ok, detail=one.detail, seconds=round(one.seconds, 3))
        for one in found
    ]
    return Checks(ok=all(one.ok for one in told), checks=told)
