"""The first screen: what goes on, what is late, what fails."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from hopyard.ledger import leader as leading
from hopyard.ledger.read import counting, failures, workers
from hopyard.ledger.values import utcnow
from hopyard.monitor.health import run_checks
from hopyard.specs import State
from hopyard.web.api import queues
from hopyard.web.api.deps import Here, Reader
from hopyard.web.pages import rendering
from hopyard.web.pages.chart import chart
from hopyard.web.state import Served
from hopyard.web.viewer import Viewer

router = APIRouter(include_in_schema=False)

#: The checks of the core that are shown here; `hopyard doctor` runs those of all plugins.
_CHECKED: Final = ("broker", "ledger")
#: Dead jobs that are looked at for the latest groups, and groups that are shown.
_LOOKED_AT: Final = 500
_GROUPS: Final = 5


@router.get("/")
async def show(request: Request, here: Here, viewer: Reader) -> Response:
    """Show the overview; who sees one person's jobs only begins with these."""
    if viewer.person is not None:
        return RedirectResponse(here.prefix + rendering.screens(here, viewer)[0].path, 303)
    ended, lanes, groups, alive, leader, checks = await asyncio.gather(
        counting.ended(here.database, minutes=60),
        queues.overview(here),
        failures.groups(here.database, viewer.narrowed(), _LOOKED_AT),
        workers.living(here.database),
        leading.holder(here.database, "schedule"),
        run_checks([one for one in here.hopyard.plugins.health_checks if _core(*one)]),
    )
    lanes = [one for one in lanes if viewer.concerns(one.queue)]
    return rendering.page(
        request,
        "overview.html",
        rendering.OVERVIEW,
        chart=chart((one for one in ended if viewer.concerns(one.task)), utcnow()),
        lanes=[one for one in lanes if _lively(one)],
        paused=[one for one in lanes if one.paused],
        states=await _states(here, viewer),
        groups=groups.groups[:_GROUPS],
        more_groups=max(0, len(groups.groups) - _GROUPS),
        alive=alive,
        mixed=workers.mixed(alive),
        leader=leader,
        checks=checks,
    )


async def _states(here: Served, viewer: Viewer) -> list[tuple[str, int]]:
    """Return how many live jobs there are in each state."""
    found: Counter[State] = Counter()
    for one in await here.hub.counts.get():
        if viewer.concerns(one.task):
            found[one.state] += one.jobs
    return [(state.label, found[state]) for state in State if not state.final]


def _core(plugin: str, check: object) -> bool:
    return plugin == "hopyard" and getattr(check, "name", None) in _CHECKED


def _lively(one: queues.QueueState) -> bool:
    """Say whether anything goes on in a queue."""
    live = one.scheduled + one.queued + one.running + one.retrying + one.parked
    return bool(live or one.ended_last_hour or one.paused)
