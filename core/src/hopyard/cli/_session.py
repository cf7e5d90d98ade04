"""One event loop for a command that talks to the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from hopyard.cli import load_hopyard

if TYPE_CHECKING:
    from hopyard.app import Hopyard

T = TypeVar("T")


def with_hopyard(work: Callable[[Hopyard], Awaitable[T]]) -> T:
    """Load everything, run `work` on an event loop, and close what it opened.

    Raises what the settings, the ledger and `work` raise.
    """
    hopyard = load_hopyard()

    async def run() -> T:
        try:
            await hopyard.check_migrations()
            return await work(hopyard)
        finally:
            await hopyard.close()

    return asyncio.run(run())
