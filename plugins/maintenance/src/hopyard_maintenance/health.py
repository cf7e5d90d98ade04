"""The health of the whole installation: every plugin's checks."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

from hopyard import Hopyard, Job
from hopyard.monitor.health import run_checks

from hopyard_maintenance.state import tell_changes
from hopyard_maintenance.tasks import Check, HealthReport, new_reference


async def check_all(job: Job) -> HealthReport:
    """Run all checks at once, and alert about each that changed."""
    checks = Hopyard.current().plugins.health_checks
    job.progress(0, len(checks), "checking")
    done = await run_checks(checks)
    job.progress(len(checks), len(checks), "checked")
    await tell_changes({f"{one.plugin}.{one.name}": (one.ok, one.detail) for one in done})
    return HealthReport(
        reference=new_reference(),
        ok=all(one.ok for one in done),
        checks=[Check(**asdict(one)) for one in done],
        checked_at=datetime.now(UTC),
    )
