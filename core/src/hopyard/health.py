"""The health checks of all plugins."""

from __future__ import annotations

from hopyard import current
from hopyard.monitor.health import CheckResult, run_checks

__all__ = ["CheckResult", "check_all", "count"]


def count() -> int:
    """Return how many checks there are."""
    return len(current.get().plugins.health_checks)


async def check_all() -> list[CheckResult]:
    """Run all checks at once, each under its time limit; an error or a hang is its answer: not well."""
    return await run_checks(current.get().plugins.health_checks)
