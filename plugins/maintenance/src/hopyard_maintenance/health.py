"""The health of the whole installation: every plugin's checks, their results kept, and alerts on changes."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from hopyard import Job, health, storage

from hopyard_maintenance import state
from hopyard_maintenance.models import Check, HealthReport
from hopyard_maintenance.references import new_reference
from hopyard_maintenance.state import Finding, Patience


async def check_all(job: Job) -> HealthReport:
    """Run all checks at once, keep the result, and alert about each that changed."""
    from hopyard_maintenance import Maintenance

    settings = Maintenance.current().settings
    total = health.count()
    job.progress(0, total, "checking")
    done = await health.check_all()
    job.progress(total, total, "checked")
    found = {f"{one.plugin}.{one.name}": Finding(one.ok, one.detail) for one in done}
    patience = Patience(1, settings.flapping_changes, settings.flapping_seconds)
    report = HealthReport(
        reference=new_reference(),
        ok=all(one.ok for one in done),
        checks=[Check(**asdict(one)) for one in done],
        checked_at=datetime.now(UTC),
        changed=await state.observe(found, patience),
        flapping=await state.flapping(),
    )
    await _keep(report, settings.keep_health_days)
    return report


async def history(limit: int) -> list[dict[str, Any]]:
    """Return the latest results, the newest first."""
    rows = await storage.fetch("SELECT data FROM maintenance_health ORDER BY at DESC LIMIT $1", limit)
    return [json.loads(row["data"]) for row in rows]


async def changes(limit: int) -> list[dict[str, Any]]:
    """Return the latest changes of all that is watched, the newest first: name, at, ok, detail."""
    rows = await storage.fetch(
        "SELECT name, at, ok, detail FROM maintenance_change ORDER BY at DESC, n DESC LIMIT $1", limit
    )
    return [
        {
            "name": row["name"],
            "at": storage.moment(row["at"]),
            "ok": bool(row["ok"]),
            "detail": row["detail"],
        }
        for row in rows
    ]


async def _keep(report: HealthReport, days: float) -> None:
    d = storage.sql()
    await storage.execute(
        f"INSERT INTO maintenance_health (at, ok, data) VALUES ({d.now}, $1, $2) ON CONFLICT DO NOTHING",
        report.ok,
        report.model_dump_json(),
    )
    await storage.execute(
        f"DELETE FROM maintenance_health WHERE at < {d.minus(d.now, 'CAST($1 AS double precision) * 86400')}",
        days,
    )
    await state.forget(days)
