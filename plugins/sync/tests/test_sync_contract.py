"""The plugin keeps the contract of plugins."""

from __future__ import annotations

from typing import Any, ClassVar

from hopyard.testing import PluginContract
from hopyard_sync import Sync
from paged_api import Scripted


def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], Any]:
    """A REST API, a Google calendar and a Notion workspace in one, with little in each."""
    if path.startswith("/token"):
        return 200, {}, {"access_token": "token"}
    if path.startswith("/calendars"):
        return 200, {}, {"items": [], "nextSyncToken": "s"}
    if path.startswith("/v1/search"):
        return 200, {}, {"results": [], "has_more": False}
    page = int(path.rpartition("=")[2])
    return 200, {}, [{"id": n, "page": page} for n in range(page * 2, page * 2 + 2)] if page < 4 else []


SERVER = Scripted(answer)
OAUTH = {"token_url": f"{SERVER.url}/token", "client_id": "c", "client_secret": "s-123456"}
PAGES = {"kind": "page", "size": 2, "size_parameter": None}
SETTINGS = {
    "plugins.sync.settings": {
        "calendars": {
            "own": {"url": f"{SERVER.url}/dav/", "person": "alice"},
            "shared": {"kind": "google", "url": SERVER.url, "oauth": OAUTH},
        },
        "notion": {"wiki": {"token": "ntn-123456", "url": SERVER.url, "requests_per_second": 50}},
        "apis": {
            "shop": {"url": SERVER.url, "streams": {"things": {"path": "/things", "pagination": PAGES}}}
        },
    },
    "egress.allow": ["127.0.0.1"],
    "people.alice": {"zone": "UTC"},
}


class TestSync(PluginContract):
    plugin = Sync
    settings: ClassVar = SETTINGS
    examples: ClassVar = {
        "sync.sync_third_party_api": [{"connection": "shop"}, {"connection": "shop", "dry_run": True}],
        "sync.sync_connection": [{"connection": "shop"}],
        "sync.sync_calendar_events": [{"connection": "shared"}],
        "sync.sync_notion_pages": [{"connection": "wiki"}],
        "sync.list_events": [{}, {"day": "tomorrow"}, {"start": "2026-12-24", "end": "2026-12-31"}],
    }
    left_out: ClassVar = {
        "examples": "a mailbox needs a server, and events need to be there: their own tests run those tasks"
    }
