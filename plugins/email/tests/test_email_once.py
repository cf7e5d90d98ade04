"""Each mail is sent once, although senders are killed.

`HOPYARD_INTERNAL_MAILS=1000 HOPYARD_INTERNAL_KILLS=10` runs it at the size of the acceptance.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections import Counter
from typing import Any

import pytest
from mail_servers import MailServers
from mail_site import WORKER, fill, mail_site, settled, states, toml
from sites import Site

__all__ = ["mail_site"]  # a fixture

MAILS = int(os.environ.get("HOPYARD_INTERNAL_MAILS", "150"))
KILLS = int(os.environ.get("HOPYARD_INTERNAL_KILLS", "3"))
WITHIN = 60 + MAILS / 4


async def kill_again_and_again(site: Site, kills: int, spared: Any) -> None:
    """Kill the worker -9 in the midst of its sending, and start another, so many times."""
    draw = random.Random(20)
    for n in range(kills):
        goal = (n + 1) * MAILS // (kills + 2)

        async def sent_so_many(goal: int = goal) -> bool:
            found = await states(site)
            return found["sent"] + found["unknown"] >= goal

        await site.until(sent_so_many, f"{goal} mails are sent", WITHIN)
        await asyncio.sleep(draw.uniform(0, 0.3))  # not at a moment that is always the same
        site.stop([process for process in site.processes if process is not spared])
        await site.worker(*WORKER)


def tell(mail: MailServers, user: str, found: Counter[str], copies: Counter[str]) -> dict[str, Any]:
    """Return the figures of a run; they are written out, for the record."""
    figures = {
        "mails": MAILS,
        "kills": KILLS,
        "states": dict(found),
        "in the mailbox": sum(copies.values()),
        "more than once": sum(n > 1 for n in copies.values()),
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    return figures


@pytest.mark.slow
@pytest.mark.timeout(int(WITHIN * 4))
@pytest.mark.parametrize(
    ("postgres", "proof"),
    [
        (True, "copies are looked for"),
        (False, "copies are looked for"),
        (True, "no copies"),
        (False, "no copies"),
    ],
)
async def test_each_mail_is_sent_once_although_senders_are_killed(
    mail_site: Any, mail: MailServers, postgres: bool, proof: str
) -> None:
    user = f"once-{postgres:d}-{proof[0]}@example.test"
    extra = toml(mail, proof=user if proof == "copies are looked for" else None)
    site: Site = await mail_site(extra, postgres=postgres)
    await fill(site, [user] * MAILS)
    beat = site.start("hopyard", "beat")
    await site.worker(*WORKER)
    await kill_again_and_again(site, KILLS, beat)
    await site.until(lambda: settled(site), "nothing is on its way", WITHIN)
    rows = await site.rows("SELECT message_id, state FROM email_letter")
    sent = [row["message_id"] for row in rows if row["state"] == "sent"]
    unknown = {row["message_id"] for row in rows if row["state"] == "unknown"}
    assert len(sent) + len(unknown) == MAILS

    async def there() -> bool:
        return set(sent) <= set(mail.ids(user))

    await site.until(there, "what was sent has arrived", WITHIN)
    copies = Counter(mail.ids(user))
    figures = tell(mail, user, await states(site), copies)
    assert figures["more than once"] == 0
    # What is unknown was told, and is in the mailbox or is not.
    assert set(copies) - set(sent) <= unknown
    if proof == "copies are looked for":
        assert not unknown
    else:
        assert len(unknown) <= 3 * KILLS  # no more than there were connections
    told = [row["what"] for row in await site.rows("SELECT what FROM email_event WHERE what = 'unknown'")]
    assert len(told) >= len(unknown)
