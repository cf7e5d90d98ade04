"""Waiting for several things at once, so that the first error is the error."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def together(*work: Coroutine[Any, Any, None]) -> None:
    """Run coroutines at the same time. Where one raises, the others are cancelled and its error is raised.

    A group of errors, as `asyncio.TaskGroup` raises, would hide from whoever retries what kind it is.
    """
    tasks = [asyncio.create_task(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
