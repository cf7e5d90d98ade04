"""Settings of the email plugin for the servers of `mail_servers`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mail_servers import PASSWORD, MailServers


def account(mail: MailServers, **more: Any) -> dict[str, Any]:
    """An account at the servers: STARTTLS, a password, their own authority."""
    return {
        "host": "localhost",
        "port": mail.smtp,
        "security": "starttls",
        "ca_file": str(mail.certificate),
        "user": "alice@example.test",
        "password": PASSWORD,
        "sender": "Alice <alice@example.test>",
        **more,
    }


def mailbox(mail: MailServers, user: str, **more: Any) -> dict[str, Any]:
    """A mailbox at the servers."""
    return {
        "host": "localhost",
        "port": mail.imaps,
        "security": "tls",
        "ca_file": str(mail.certificate),
        "user": user,
        "password": PASSWORD,
        **more,
    }


def settings(accounts: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Settings with these accounts, which may reach this machine."""
    return {
        "plugins.email.settings": {"accounts": accounts, **more},
        "egress.allow": ["localhost", "127.0.0.1"],
    }
