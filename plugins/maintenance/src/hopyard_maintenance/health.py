"""The health of the whole installation: every plugin's checks."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

from hopyard import Job, health

from hopyard_maintenance.state import tell_changes
from hopyard_maintenance.tasks import Check, HealthReport, new_reference


async def check_all(job: Job) -> HealthReport:
    """Run all checks at once, and alert about each that changed."""
    total = health.count()
    job.progress(0, total, "checking")
    done = await health.check_all()
    job.progress(total, total, "checked")
    await tell_changes({f"{one.plugin}.{one.name}": (one.ok, one.detail) for one in done})
    return HealthReport(
        reference=new_reference(),
        ok=all(one.ok for one in done),
        checks=[Check(**asdict(one)) for one in done],
        checked_at=datetime.now(UTC),
    )
