"""Servers that live for the session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sync_servers


@pytest.fixture(scope="session")
def radicale() -> Iterator[sync_servers.Dav]:
    """A CalDAV server; make a calendar of your own below its home."""
    with sync_servers.running_radicale() as server:
        yield server


@pytest.fixture(scope="session")
def xandikos() -> Iterator[sync_servers.Dav]:
    """Another CalDAV server."""
    with sync_servers.running_xandikos() as server:
        yield server


@pytest.fixture(scope="session")
def dovecot() -> Iterator[sync_servers.Dovecot]:
    """An IMAP server; tests share its mailbox, so each has folders of its own."""
    with sync_servers.running_dovecot() as server:
        yield server
