"""Which account a mail goes out by, and as whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hopyard.errors import InvalidInput

from hopyard_email.addresses import Address, fits, parse_address

if TYPE_CHECKING:
    from hopyard_email.settings import Account, EmailSettings


def choose(
    settings: EmailSettings, account: str | None = None, sender: str | None = None
) -> tuple[str, Address]:
    """Return the account for a mail, by name, and the address in its From.

    A given account is taken; else one that may send as `sender`; else the default one. Raises `InvalidInput`
    where there is none, or it may not send as `sender`.
    """
    if not settings.accounts:
        raise InvalidInput(
            "there is no account to send from: expected one in [plugins.email.settings.accounts]"
        )
    if account is not None and account not in settings.accounts:
        raise InvalidInput(f"account: found {account!r}, expected one of: {', '.join(settings.accounts)}")
    default = settings.default_account or next(iter(settings.accounts))
    if sender is None:
        name = account or default
        return name, parse_address(settings.accounts[name].sender, "sender")
    wanted = parse_address(sender, "sender")
    tried = [account] if account else [default, *settings.accounts]
    for name in tried:
        if may_send_as(settings.accounts[name], wanted):
            return name, wanted
    whose = f"the account {account}" if account else "any account"
    raise InvalidInput(f"sender: {wanted.plain} is not among the senders of {whose}")


def may_send_as(account: Account, sender: Address) -> bool:
    """Say whether an account may send mail with this address in From."""
    own = parse_address(account.sender, "sender")
    return own.key == sender.key or any(fits(pattern, sender.key) for pattern in account.senders)
