"""What operators ask: where connections stand, and a run now."""

from __future__ import annotations

from hopyard import Unique
from hopyard.errors import ResultTimeout

from hopyard_sync.engine import runner, state
from hopyard_sync.models import ConnectionStatus, Report
from hopyard_sync.tasks import sync_connection

__all__ = ["run_now", "statuses"]


async def statuses(name: str | None = None) -> list[ConnectionStatus]:
    """Return where all configured connections stand, or one. Raises `InvalidInput` for an unknown name."""
    if name is not None:
        runner.find(name)
    standings = await state.standings()
    rows, aside = await state.row_counts(), await state.set_aside_counts()
    unknown = state.Standing("never", None, None, None, None, False)
    found = []
    for one, connection in runner.settings().connections().items():
        if name not in (None, one):
            continue
        stands = standings.get(one, unknown)
        found.append(
            ConnectionStatus(
                connection=one,
                kind=runner.kind_of(one),
                person=connection.person,
                state=stands.state,
                error=stands.error,
                started=stands.started,
                succeeded=stands.succeeded,
                rows=rows.get(one, 0),
                set_aside=aside.get(one, 0),
                running=stands.running,
                last=stands.report,
            )
        )
    return found


async def run_now(
    name: str, *, dry_run: bool, force: bool, full: bool, wait: float
) -> tuple[Report | None, str]:
    """Submit a job that syncs a connection; return its report, None if it is not over yet, and its id.

    One job waits or runs for a connection at a time: another call with the same options is the same job.
    Raises `InvalidInput` for an unknown name, `JobFailed` where it fails.
    """
    runner.find(name)
    unique = Unique(f"{name} {dry_run} {force} {full}")
    handle = await sync_connection.options(unique=unique).submit(
        name, dry_run=dry_run, force=force, full=full
    )
    try:
        return await handle.result(timeout=wait), handle.id
    except ResultTimeout:
        return None, handle.id
