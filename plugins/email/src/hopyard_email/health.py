"""Health: mails of which nobody knows, accounts that cannot send, mails that wait too long."""

from __future__ import annotations

import asyncio
from typing import Final

from hopyard import Health, people, storage
from hopyard.errors import ResourceError
from hopyard.storage import moment

from hopyard_email.outbox import trouble

#: Seconds by which a mail may be late before that is said.
_LATE: Final = 3600.0


async def outbox() -> Health:
    """Say whether mails are unknown, or wait too long."""
    words = storage.sql()
    rows = await storage.fetch(
        "SELECT count(*) AS n FROM email_letter WHERE state = 'unknown' AND look_at IS NULL"
    )
    unknown = rows[0]["n"]
    rows = await storage.fetch(
        "SELECT count(*) AS n, min(due) AS due FROM email_letter WHERE state = 'queued' AND attempts = 0 "
        f"AND due < {words.minus(words.now, '$1')}",
        _LATE,
    )
    late, since = rows[0]["n"], moment(rows[0]["due"])
    said = []
    if unknown:
        said.append(
            f"{unknown} mails may or may not have been sent: `hopyard email list --state unknown`, then "
            "`hopyard email resolve`"
        )
    if late:
        said.append(f"{late} mails wait since {since:%Y-%m-%d %H:%M} UTC")
    return Health(
        not said, "; ".join(said) or "nothing is late or unknown", {"unknown": unknown, "late": late}
    )


async def accounts() -> Health:
    """Say whether an account cannot send."""
    found = await trouble.troubled()
    said = [f"{name}: {one['problem']} ({one['failures']} times)" for name, one in sorted(found.items())]
    return Health(not said, "; ".join(said) or "no account has trouble")


async def configuration() -> Health:
    """Say what in the settings names nobody, cannot sign, or is no template."""
    from hopyard_email import Email
    from hopyard_email.composing import templates
    from hopyard_email.smtp.wire import check_signing

    settings = Email.current().settings
    named = {"summary.people": {*settings.summary.people} - {"*"}, "summary.quiet": {*settings.summary.quiet}}
    named["addresses"] = {*settings.addresses}
    known = {*people.known()}
    said = [
        f"{where}: there is no person {one}" for where, ids in named.items() for one in sorted(ids - known)
    ]
    for name, account in settings.accounts.items():
        if account.dkim is not None:
            try:
                await asyncio.to_thread(check_signing, account.dkim)
            except ResourceError as error:
                said.append(f"{name}: {error}")
    if settings.inline_templates or settings.templates:
        said += await asyncio.to_thread(templates.faults, settings)
    return Health(not said, "; ".join(said) or "people, templates and keys are there")
