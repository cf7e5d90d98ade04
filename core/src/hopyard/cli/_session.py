"""One event loop for a command that talks to the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from hopyard.cli._context import load_core, load_hopyard
from hopyard.cli._streams import noise_to_stderr

if TYPE_CHECKING:
    from hopyard.app import Hopyard

T = TypeVar("T")


def with_hopyard(work: Callable[[Hopyard], Awaitable[T]], *, diagnosis: bool = False) -> T:
    """Load everything, run `work` on an event loop, and close what it opened.

    A `diagnosis` runs also where the settings refuse to start with a failed plugin. Raises what the settings,
    the ledger and `work` raise.
    """
    return running(load_hopyard(diagnosis=diagnosis), work)


def with_core(work: Callable[[Hopyard], Awaitable[T]]) -> T:
    """Like `with_hopyard`, but import no plugin unless `work` asks for them, whatever is wrong with them."""
    return running(load_core(), work, plugins=False)


def running(hopyard: Hopyard, work: Callable[[Hopyard], Awaitable[T]], *, plugins: bool = True) -> T:
    """Run `work` on an event loop once the tables are found to be up to date, those of plugins too."""

    async def run() -> T:
        try:
            await (hopyard.check_migrations() if plugins else hopyard.check_core())
            return await work(hopyard)
        finally:
            await hopyard.close()

    with noise_to_stderr():
        return asyncio.run(run())
