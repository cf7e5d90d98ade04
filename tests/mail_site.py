"""Installations with the email plugin and workers, that send through the servers of `mail_servers`."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hopyard_email import Mail
from hopyard_email.sending import put
from mail_servers import PASSWORD, MailServers
from servers import fresh_database
from sites import Site, site_in

_TOML = """
[egress]
allow = ["localhost"]
[plugins]
allow = ["email"]
[plugins.email.settings]
sender_lease = 3
domain_limits = {limits}
[plugins.email.settings.accounts.main]
host = "localhost"
port = {mail.smtp}
ca_file = "{mail.certificate}"
user = "alice@example.test"
password = "{password}"
sender = "alice@example.test"
connections = 3
"""
# A job whose worker died three times is given up: the schedule brings the next one.
_TOML += """
[schedules."email.process_email_queue"]
every = "2s"
"""
_PROOF = """
[plugins.email.settings.accounts.main.proof]
host = "localhost"
port = {mail.imaps}
ca_file = "{mail.certificate}"
user = "{user}"
password = "{password}"
"""


@pytest.fixture
async def mail_site(request: pytest.FixtureRequest, tmp_path: Path, valkey_url: str) -> AsyncIterator[Any]:
    """Makes an installation without workers, on SQLite unless told otherwise."""
    with ExitStack() as stack:
        made: list[Site] = []

        async def make(extra: str, *, postgres: bool) -> Site:
            import redis

            with redis.Redis.from_url(valkey_url) as client:
                client.flushall()
            database = f"sqlite:///{tmp_path / 'hopyard.db'}"
            if postgres:
                database = fresh_database(request.getfixturevalue("postgres_url"))
            site = stack.enter_context(site_in(tmp_path, broker=valkey_url, database=database, extra=extra))
            made.append(site)
            await site.hopyard.upgrade()
            return site

        yield make
        for site in made:
            await site.hopyard.close()


def toml(mail: MailServers, limits: str = "{}", proof: str | None = None) -> str:
    """Return settings; with `proof` copies of mail are found in that user's inbox, after 4 s for certain."""
    text = _TOML.format(mail=mail, password=PASSWORD, limits=limits)
    if proof is not None:
        text += _PROOF.format(mail=mail, user=proof, password=PASSWORD) + "conclusive_after = 4\n"
    return text


async def fill(site: Site, addresses: list[str]) -> None:
    """Put a mail for each address into the outbox."""
    given = site.hopyard.plugins.get("email").settings
    for n, address in enumerate(addresses):
        await put(Mail(to=[address], subject=f"mail {n}", text=f"This is mail {n}."), given)


async def states(site: Site) -> Counter[str]:
    """Return how many letters are in which state."""
    rows = await site.rows("SELECT state, count(*) AS n FROM email_letter GROUP BY state")
    return Counter({row["state"]: row["n"] for row in rows})


async def settled(site: Site) -> bool:
    """Whether nothing more will happen by itself."""
    rows = await site.rows(
        "SELECT count(*) AS n FROM email_letter WHERE state IN ('queued', 'claimed', 'sending') "
        "OR (state = 'unknown' AND look_at IS NOT NULL)"
    )
    return bool(rows[0]["n"] == 0)


WORKER = ("-Q", "email,email.outbox,hopyard")
