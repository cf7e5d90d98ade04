"""Plugins that come back into a running worker once their tables are brought up to date."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from hopyard.ledger import waiting, workers

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.ledger.database import Database

log = logging.getLogger("hopyard.engine")


async def readmit(hopyard: Hopyard, database: Database, worker: int) -> None:
    """Take back plugins whose tables were brought up to date meanwhile, and their parked jobs."""
    back = await hopyard.readmit()
    if not back:
        return
    await asyncio.to_thread(hopyard.plugins.start_process, "worker", back)
    await workers.set_plugins(database, worker, enabled(hopyard))
    unparked = await waiting.unpark(database, hopyard.tasks)
    log.info("plugins %s are back; %d parked jobs can run now", ", ".join(back), unparked)


def enabled(hopyard: Hopyard) -> dict[str, str]:
    """Return the enabled plugins' versions, by name."""
    return {one.name: one.version or "" for one in hopyard.plugins.records if one.state == "enabled"}
