"""Whether accounts can send: what is known of them, and a login that sends nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hopyard.errors import EgressRefused, TaskError

from hopyard_email.outbox import trouble
from hopyard_email.smtp.connection import opened
from hopyard_email.smtp.wire import check_signing

if TYPE_CHECKING:
    from hopyard_email.settings import Account


async def check_accounts(*, test: bool) -> list[dict[str, Any]]:
    """Return each account with `name`, `server`, `sender`, `limit`, `ok`, `state` and `detail`.

    With `test` each is connected to and logged in; without, the state is what the sender met last.
    """
    from hopyard_email import Email

    settings = Email.current().settings
    troubles = await trouble.troubled()
    found = []
    for name, account in settings.accounts.items():
        problem = await _try(account) if test else troubles.get(name, {}).get("problem")
        host, port = account.place
        state = "trouble" if problem else ("the login works" if test else "no trouble known")
        found.append(
            {
                "name": name,
                "server": f"{host}:{port} ({account.security})",
                "sender": account.sender,
                "limit": str(account.limit) if account.limit else None,
                "default": name == (settings.default_account or next(iter(settings.accounts))),
                "ok": not problem,
                "state": state,
                "detail": problem or "",
            }
        )
    return found


async def _try(account: Account) -> str | None:
    """Log in and out; return what is wrong."""
    try:
        if account.dkim is not None:
            await asyncio.to_thread(check_signing, account.dkim)
        connection = await opened(account)
    except (TaskError, EgressRefused) as error:
        return str(error)
    await connection.close()
    return None
