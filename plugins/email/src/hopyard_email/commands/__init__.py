"""`hopyard email …`: mail from a shell."""

from __future__ import annotations

from hopyard_email.commands.addresses import suppress, suppressed, unsuppress
from hopyard_email.commands.looking import accounts, incoming, list_, show
from hopyard_email.commands.sending import cancel, preview, resolve, send

COMMANDS = (
    send,
    list_,
    show,
    cancel,
    resolve,
    preview,
    suppress,
    unsuppress,
    suppressed,
    accounts,
    incoming,
)
