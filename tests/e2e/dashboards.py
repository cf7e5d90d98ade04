"""A dashboard that is served, and what its tests say often."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect
from sites import DEADLINE, Site

PREFIX = "/ops"


class Dashboard:
    """Where it is served, and how one comes in."""

    def __init__(self, site: Site, address: str) -> None:
        self.site = site
        self.address = address

    def wait_until_ready(self) -> None:
        """Return when it answers. Fails with the logs when the deadline has passed."""
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                with urllib.request.urlopen(f"{self.address}/readyz", timeout=5):
                    return
            except (urllib.error.URLError, ConnectionError):
                assert time.monotonic() < deadline, self.site.logs()
                time.sleep(0.05)

    def run(self, *arguments: str) -> str:
        """Run `hopyard`; return what it printed."""
        done = subprocess.run(
            [Path(sys.executable).parent / "hopyard", *arguments],
            cwd=self.site.folder,
            env=self.site.environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def link(self, *options: str) -> str:
        """Return an address that lets one browser in, once."""
        return self.run("web", "login", *options)

    def go(self, page: Page, path: str) -> None:
        """Open one of its pages."""
        page.goto(f"{self.address}{path}")

    def until(self, seen: Callable[[], None]) -> None:
        """Look again until what is expected is seen."""
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                return seen()
            except AssertionError:
                if time.monotonic() > deadline:
                    raise

    def submit(self, page: Page, task: str, **arguments: Any) -> str:
        """Submit a job as one of its pages would; return the job's id."""
        id_ = page.evaluate(
            """async ([url, body]) => (await (await fetch(url, {
                method: "POST", headers: {"content-type": "application/json"}, body: JSON.stringify(body),
            })).json()).task_id""",
            [f"{self.address}/api/background/site/{task}", arguments],
        )
        assert id_
        return str(id_)


class Entering:
    """Opens pages of browsers that have come in, and keeps what their consoles complain of."""

    def __init__(self, dashboard: Dashboard, browser: Browser) -> None:
        self.contexts: list[BrowserContext] = []
        self.complaints: list[str] = []
        self._dashboard, self._browser = dashboard, browser

    def __call__(self, *options: str) -> Page:
        """Open a page by a one-time link for these options of `hopyard web login`."""
        context = self._browser.new_context(
            viewport={"width": 1280, "height": 900}, locale="en-GB", timezone_id="Asia/Tokyo"
        )
        self.contexts.append(context)
        page = context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(self._dashboard.link(*options))
        page.wait_for_url(lambda url: "/login" not in url)
        return page

    def expect(self, text: str) -> None:
        """Take out the complaints with a text in them: browsers tell each answer that refuses something."""
        assert [one for one in self.complaints if text in one], self.complaints
        self.complaints = [one for one in self.complaints if text not in one]

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} ({message.location})")


def agree(page: Page, text: str) -> None:
    """Say yes to the question that has this text in it."""
    dialog = page.locator("#sure")
    expect(dialog).to_contain_text(text)
    dialog.get_by_role("button", name="Do it").click()
