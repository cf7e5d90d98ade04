"""Whether each source has a good backup, and each repository is whole."""

from __future__ import annotations

from datetime import timedelta

from hopyard import Health, storage

from hopyard_file.backup import state


async def backups_well() -> Health:
    """Say which sources have had no good backup for too long, and which repositories are damaged."""
    from hopyard_file.backup.running import settings

    sources = await state.standings("source")
    checks = await state.standings("repository")
    now = storage.utcnow()
    wrong: dict[str, str] = {}
    for name, own in settings().sources.items():
        found = sources.get(name)
        if found is None or found.succeeded is None:
            wrong[name] = f"has no backup yet: hopyard file backup {name}"
        elif now - found.succeeded > timedelta(days=own.overdue_days):
            wrong[name] = f"has had no good backup for {(now - found.succeeded).days} days"
    for name in settings().repositories:
        check = checks.get(name)
        if check is not None and check.state == "damaged":
            wrong[name] = f"is damaged: hopyard file verify {name}"
    if wrong:
        return Health(False, "; ".join(f"{name} {what}" for name, what in wrong.items()), data=wrong)
    return Health(True, f"{len(settings().sources)} sources, each with a good backup")
