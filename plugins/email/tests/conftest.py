"""Mail servers for the tests, and installations with this plugin and no other that use them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hopyard.testing import Hop
from hopyard_email import Email
from mail_servers import MailServers, running_mail
from mail_settings import account, settings


@pytest.fixture(scope="session")
def mail() -> Iterator[MailServers]:
    """Exim and Dovecot, for the whole session: each test takes addresses of its own."""
    with running_mail() as servers:
        yield servers


@pytest.fixture
def hop_settings(mail: MailServers) -> Mapping[str, Any]:
    """An account at the servers."""
    return settings({"main": account(mail)})


@pytest.fixture
def hop(tmp_path: Path, hop_settings: Mapping[str, Any]) -> Iterator[Hop]:
    """An installation with `hop_settings`."""
    with Hop(Email, folder=tmp_path / "hopyard", settings=hop_settings) as made:
        yield made


@pytest.fixture
def offline(tmp_path: Path) -> Iterator[Hop]:
    """An installation whose mail goes into files; no server is needed."""
    given = settings(
        {"main": {"host": "mail.example.org", "sender": "alice@example.test"}},
        sandbox={"folder": str(tmp_path / "mail")},
    )
    with Hop(Email, folder=tmp_path / "hopyard", settings=given) as hop:
        yield hop
