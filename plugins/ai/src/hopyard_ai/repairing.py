"""The tick that repairs: what a crash or an operator left half done is found and taken up again."""

from __future__ import annotations

import json

from hopyard import rules
from hopyard.ledger.values import derived_id, utcnow
from hopyard.schedule import store as schedules
from hopyard.specs import State

from hopyard_ai import store
from hopyard_ai.acting import fail
from hopyard_ai.manager import schedule
from hopyard_ai.models import Due
from hopyard_ai.tasks import act


async def repair(limit: int) -> Due:
    """Look at up to `limit` requests without a schedule, and as many runs without an end."""
    missing = await _missing_schedules(limit)
    submitted = 0
    database = store.database()
    for id_, person, text in missing:
        rule = rules.from_json(json.loads(text))
        ran = await database.fetch("SELECT 1 AS yes FROM ai_run WHERE request_id = $1 LIMIT 1", id_)
        if rule.at is not None and rules.next_after(rule, utcnow()) is None:
            if not ran:  # a one-off whose time passed while it had no schedule
                once = act.options(person=person, id=derived_id("ai.repair", id_))
                await once.submit(request=id_, due=rule.at)
                submitted += 1
            continue
        async with database.transaction() as tx:
            await schedules.put(tx, database.dialect, schedule(id_, rule), person=person)
    return Due(
        checked=len(missing),
        schedules_repaired=len(missing) - submitted,
        submitted=submitted,
        failed=await _end_dead_runs(limit),
    )


async def _missing_schedules(limit: int) -> list[tuple[str, str, str]]:
    rows = await store.database().fetch(
        "SELECT r.id, r.person, r.rule FROM ai_request r "
        "LEFT JOIN schedule s ON s.name = 'ai.request.' || CAST(r.id AS text) "
        f"WHERE r.state = 'active' AND r.rule IS NOT NULL AND s.name IS NULL LIMIT {int(limit)}"
    )
    return [(str(row["id"]), row["person"], row["rule"]) for row in rows]


async def _end_dead_runs(limit: int) -> int:
    """Tell people of runs whose job ended without saying so: cancelled, or its worker died too often."""
    rows = await store.database().fetch(
        "SELECT r.id, r.request_id, h.error FROM ai_run r JOIN job_history h ON h.id = r.job_id "
        f"WHERE r.state = 'running' AND h.state IN ({State.DEAD:d}, {State.CANCELLED:d}) LIMIT {int(limit)}"
    )
    for row in rows:
        error = json.loads(row["error"] or "{}")
        request = await store.get_request(str(row["request_id"]), deleted=True)
        reason = str(error.get("message", "its job was cancelled"))
        await fail(request, await store.get_run(str(row["id"])), reason)
    return len(rows)
