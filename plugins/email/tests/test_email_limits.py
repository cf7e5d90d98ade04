"""The limit of each domain holds at every instant, by the server's own log, for all workers together.

`HOPYARD_INTERNAL_LIMITED=500` runs it at the size of the acceptance.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import datetime, timedelta
from typing import Any

import pytest
from mail_servers import MailServers
from mail_site import WORKER, fill, mail_site, settled, states, toml
from sites import Site

__all__ = ["mail_site"]  # a fixture

LIMITED = int(os.environ.get("HOPYARD_INTERNAL_LIMITED", "60"))


def most_in_a_window(moments: list[datetime], seconds: float) -> int:
    """Return the most moments in any window of so many seconds."""
    most, begin = 0, 0
    for end, moment in enumerate(moments):
        while moment - moments[begin] >= timedelta(seconds=seconds):
            begin += 1
        most = max(most, end - begin + 1)
    return most


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("postgres", [False, True], ids=["sqlite", "postgresql"])
async def test_the_limit_of_each_domain_holds_at_every_instant(
    mail_site: Any, mail: MailServers, postgres: bool
) -> None:
    limits = '{ "example.test" = "10/2s", "other.test" = "5/1s" }'
    site: Site = await mail_site(toml(mail, limits), postgres=postgres)
    users = [f"limit-{postgres:d}-{n}@{('example', 'other')[n % 2]}.test" for n in range(LIMITED)]
    await fill(site, users)
    await asyncio.gather(*(site.worker(*WORKER) for _ in range(3)))
    for _ in range(2):  # beside the one that came with the mails: a sender in each worker
        await site.submit("email.process_email_queue")
    await site.until(lambda: settled(site), "all mails are sent", 60 + LIMITED)
    assert (await states(site)) == {"sent": LIMITED}
    arrivals = sorted((at, who) for at, who in mail.arrivals() if who.startswith(f"limit-{postgres:d}-"))
    assert len(arrivals) == LIMITED

    async def shares() -> list[int]:
        rows = await site.rows("SELECT result FROM job_history WHERE task = 'email.process_email_queue'")
        found = [json.loads(row["result"])["sent"] for row in rows]
        return sorted(found) if sum(found) == LIMITED else []

    by_sender = await site.until(shares, "all senders have ended")
    assert len([share for share in by_sender if share]) >= 3
    for domain, count, seconds in (("example.test", 10, 2.0), ("other.test", 5, 1.0)):
        moments = [at for at, who in arrivals if who.endswith(domain)]
        most = most_in_a_window(moments, seconds)
        figures: dict[str, Any] = {
            "domain": domain,
            "limit": f"{count}/{seconds:g}s",
            "most": most,
            "mails": len(moments),
        }
        figures["by sender"] = by_sender
        sys.stdout.write(json.dumps(figures) + "\n")
        assert most <= count
        assert most > count / 2  # the limit is made use of
