"""The tasks of backups. Their bodies are elsewhere: declaring them must stay cheap."""

from __future__ import annotations

from typing import Any, Final

from hopyard import Job, RetryPolicy, Task, Tool, task

from hopyard_file.backup.models import BackupReport, PruneReport, SnapshotLine, VerifyReport

_RETRY: Final = RetryPolicy(max_retries=6, backoff=60, max_backoff=1800)
_LONG: Final = 24 * 3600.0


@task(
    "file.backup_user_data",
    path="files/backup-user-data",
    queue="file.backup",
    retry=_RETRY,
    time_limit=_LONG,
    tool=Tool(approval=True, idempotent=True),
)
async def backup_user_data(job: Job, source: str = "", dry_run: bool = False) -> list[BackupReport]:
    """Back up a declared source, or all of them where none is named; only what changed is stored."""
    from hopyard_file.backup.running import back_up_all

    return await back_up_all(job, source, dry_run=dry_run)


@task(
    "file.list_backups",
    path="files/list-backups",
    queue="file.backup",
    retry=_RETRY,
    time_limit=600,
    tool=Tool(read_only=True, idempotent=True),
)
async def list_backups(job: Job, source: str = "") -> list[SnapshotLine]:
    """List the latest two hundred snapshots of a source, or all, the oldest first."""
    from hopyard_file.backup.listing import snapshots

    job.progress(0, None, "reading snapshots")
    return await snapshots(source)


@task(
    "file.verify_backups",
    path="files/verify-backups",
    queue="file.backup",
    retry=_RETRY,
    time_limit=_LONG,
    tool=Tool(approval=True, idempotent=True),
)
async def verify_backups(job: Job, repository: str = "", share: float = 1.0) -> list[VerifyReport]:
    """Read a backup repository back, or a share (0 to 1) of it, and name the files that are damaged."""
    from hopyard.errors import InvalidInput

    from hopyard_file.backup.running import verify_all

    if not 0 < share <= 1:
        raise InvalidInput(f"share: found {share}, expected a number above 0, at most 1")
    return await verify_all(job, repository, share)


@task(
    "file.prune_backups",
    path="files/prune-backups",
    queue="file.backup",
    retry=_RETRY,
    time_limit=_LONG,
    tool=Tool(approval=True, destructive=True, idempotent=True),
)
async def prune_backups(job: Job, repository: str = "", dry_run: bool = False) -> list[PruneReport]:
    """Remove snapshots that are past their retention, and what only they needed."""
    from hopyard_file.backup.running import prune_all

    return await prune_all(job, repository, dry_run=dry_run)


TASKS: tuple[Task[..., Any], ...] = (backup_user_data, list_backups, prune_backups, verify_backups)
