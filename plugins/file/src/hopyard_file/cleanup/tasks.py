"""The task that cleans up."""

from __future__ import annotations

from typing import Annotated

from hopyard import Job, RetryPolicy, Tool, task
from pydantic import Field

from hopyard_file.cleanup.models import TempCleanupReport


@task(
    "file.cleanup_temp_files",
    path="files/cleanup-temp-files",
    queue="file.cleanup",
    retry=RetryPolicy(max_retries=5, backoff=60, max_backoff=600),
    time_limit=3600,
    tool=Tool(destructive=True, idempotent=True, approval=True),
)
async def cleanup_temp_files(
    job: Job,
    dry_run: bool = False,
    confirm: Annotated[
        int | None,
        Field(ge=0, description="The number of all that is due, as a dry run tells it: more may go then."),
    ] = None,
) -> TempCleanupReport:
    """Delete old temporary files in the places that the operator has declared, by age and size."""
    from hopyard_file.cleanup.running import clean

    return await clean(job, dry_run=dry_run, confirm=confirm)


TASKS = (cleanup_temp_files,)
