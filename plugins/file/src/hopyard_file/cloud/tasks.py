"""The tasks of cloud connections. Their bodies are elsewhere: declaring them must stay cheap."""

from __future__ import annotations

from typing import Any, Final

from hopyard import Job, RetryPolicy, Task, Tool, task

from hopyard_file.cloud.models import CloudReport

_RETRY: Final = RetryPolicy(max_retries=5, backoff=30)
_LONG: Final = 12 * 3600.0


@task(
    "file.sync_cloud_storage",
    path="files/sync-cloud-storage",
    queue="file.cloud",
    retry=_RETRY,
    time_limit=_LONG,
    tool=Tool(approval=True, destructive=True, idempotent=True),
)
async def sync_cloud_storage(
    job: Job, connection: str = "", dry_run: bool = False, force: bool = False
) -> list[CloudReport]:
    """Keep a declared directory and a cloud in step, or all of them; only what changed travels.

    `force` agrees to more deletions than the settings allow.
    """
    from hopyard_file.cloud.running import sync_all

    return await sync_all(job, connection, dry_run=dry_run, force=force)


TASKS: tuple[Task[..., Any], ...] = (sync_cloud_storage,)
