"""An installation as `hopyard up` makes it, and a browser that looks at it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.dashboards import PREFIX, Dashboard, Entering
from playwright.sync_api import Browser, expect, sync_playwright
from servers import free_port
from sites import site_in

CHROMIUM = "/usr/bin/chromium"
QUIET = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; where there is none tests are skipped, in CI they fail.

    Not for the session: Playwright's loop would run on in this thread, and no test with one of its own could.
    """
    if not os.access(CHROMIUM, os.X_OK):
        if os.environ.get("CI") == "true":
            pytest.fail("chromium: not found, and CI needs it (`make setup-test-servers`)", pytrace=False)
        pytest.skip("chromium: not found (`make setup-test-servers`)")
    expect.set_options(timeout=15_000)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def dashboard(
    browser: Browser, valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dashboard]:
    """The dashboard below a prefix, with workers, a scheduler, and the plugin for people's requests."""
    folder, port = tmp_path_factory.mktemp("e2e"), free_port()
    extra = (
        f'[web]\nport = {port}\nprefix = "{PREFIX}"\n[plugins]\nallow = ["site", "ai"]\n'
        '[people.ada]\nzone = "Europe/Oslo"\n'
    )
    hopfile = (Path(__file__).parent / "hopfile.py").read_text()
    database = f"sqlite:///{folder / 'ledger.db'}"
    with site_in(folder, broker=valkey_url, database=database, hopfile=hopfile, extra=extra) as site:
        site.start("hopyard", "up", "--quiet", log="up")
        made = Dashboard(site, f"http://127.0.0.1:{port}{PREFIX}")
        made.wait_until_ready()
        yield made


@pytest.fixture
def enter(dashboard: Dashboard, browser: Browser) -> Iterator[Entering]:
    """Open a page of a browser that has come in. At the end no page may have complained of anything."""
    entering = Entering(dashboard, browser)
    yield entering
    for context in entering.contexts:
        context.close()
    assert entering.complaints == []
