"""The tick that repairs: what a crash or an operator left half done is found and taken up again."""

from __future__ import annotations

import json
from typing import Final

from hopyard import State, jobs, schedules, storage
from hopyard.storage import Row, derived_id, utcnow

from hopyard_ai import approving, confirming, store
from hopyard_ai.acting import expire
from hopyard_ai.content import asking
from hopyard_ai.health import settings
from hopyard_ai.manager import schedule
from hopyard_ai.models import Due
from hopyard_ai.tasks import act
from hopyard_ai.telling import fail

#: Rows that one query looks at.
_PAGE: Final = 500
_FIRST: Final = "00000000-0000-0000-0000-000000000000"


async def repair(limit: int) -> Due:
    """Look at up to `limit` requests without a schedule, as many runs without an end, and at what expires."""
    await asking.forget(settings().content.keep_days)
    missing = await _missing_schedules(limit)
    submitted = 0
    for row in missing:
        id_, person, rule = str(row["id"]), row["person"], schedules.rule_from_json(json.loads(row["rule"]))
        ran = await storage.fetch("SELECT 1 AS yes FROM ai_run WHERE request_id = $1 LIMIT 1", id_)
        if rule.at is not None and schedules.next_after(rule, utcnow()) is None:
            if not ran:  # a one-off whose time passed while it had no schedule
                once = act.options(person=person, id=derived_id("ai.repair", id_))
                await once.submit(request=id_, due=rule.at)
                submitted += 1
            continue
        await schedules.put(schedule(id_, rule), person=person)
    return Due(
        checked=len(missing),
        schedules_repaired=len(missing) - submitted,
        submitted=submitted,
        failed=await _end_dead_runs(limit) + await _end_expired() + await confirming.end_expired(),
    )


async def _missing_schedules(limit: int) -> list[Row]:
    """Return up to `limit` active requests with a rule that have no schedule."""
    found: list[Row] = []
    last = _FIRST
    while len(found) < limit:
        rows = await storage.fetch(
            "SELECT id, person, rule FROM ai_request "
            f"WHERE state = 'active' AND rule IS NOT NULL AND id > $1 ORDER BY id LIMIT {_PAGE}",
            last,
        )
        there = await schedules.existing(store.schedule_name(str(row["id"])) for row in rows)
        found += [row for row in rows if store.schedule_name(str(row["id"])) not in there]
        if len(rows) < _PAGE:
            break
        last = str(rows[-1]["id"])
    return found[:limit]


async def _end_dead_runs(limit: int) -> int:
    """Tell people of runs whose job ended without saying so: cancelled, or its worker died too often."""
    failed, last = 0, _FIRST
    while failed < limit:
        rows = await storage.fetch(
            "SELECT id, request_id, job_id FROM ai_run "
            f"WHERE state = 'running' AND id > $1 ORDER BY id LIMIT {_PAGE}",
            last,
        )
        ended = await jobs.ended(str(row["job_id"]) for row in rows)
        for row in rows:
            job = ended.get(str(row["job_id"]))
            if job is None or job.state not in (State.DEAD, State.CANCELLED) or failed >= limit:
                continue
            error = json.loads(job.error or "{}")
            request = await store.get_request(str(row["request_id"]), deleted=True)
            reason = str(error.get("message", "its job was cancelled"))
            await fail(request, await store.get_run(str(row["id"])), reason)
            failed += 1
        if len(rows) < _PAGE:
            break
        last = str(rows[-1]["id"])
    return failed


async def _end_expired() -> int:
    """End the runs whose approvals nobody gave in time, and tell their people."""
    ended = 0
    for request, run in await store.waiting_runs(None, "approval"):
        if not approving.agreed_in_time(run, utcnow()):
            await expire(request, run)
            ended += 1
    return ended
