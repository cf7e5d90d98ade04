"""Makes the pictures of `docs/images`: each screen, light and dark, on a desk and on a phone.

`make pictures`; Chromium and the tests' servers must be there.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from e2e.conftest import CHROMIUM, QUIET
from e2e.dashboards import Dashboard, Entering
from hopyard.ledger.values import new_id, utcnow
from hopyard.local import broker
from hopyard.specs import State
from playwright.sync_api import Browser, Page, sync_playwright
from servers import free_port, running_redis
from sites import Site, site_in

SIZES = {"": (1280, 900), "-phone": (390, 844)}
SETTINGS = """
[web]
port = {port}
[people.alice]
zone = "Europe/Oslo"
"""
#: Task, jobs at the busiest minute, seconds that one runs, and of a hundred how many end dead.
LIVELY = (
    ("site.pack", 30, 0.4, 0),
    ("site.sync_stock", 6, 9.0, 6),
    ("email.send_email", 16, 0.6, 0),
    ("media.transcribe_audio", 9, 5.1, 0),
)
SENTENCES = (
    "Remind me every weekday at 8:30 to water the hops",
    "Every Monday at 9 check the stock report and tell me what is low",
    "Remind me in three days to call Ada",
)


def main(images: Path) -> None:
    """Make all pictures anew."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, running_redis(str(broker.binary())) as url:
        values = {
            "broker": url,
            "database": f"sqlite:///{folder}/ledger.db",
            "hopfile": (Path(__file__).parent / "shop.py").read_text(),
            "extra": SETTINGS.format(port=port),
        }
        with site_in(Path(folder), **values) as site:
            site.start("hopyard", "up", "--quiet", log="up")
            dashboard = Dashboard(site, f"http://127.0.0.1:{port}")
            dashboard.wait_until_ready()
            asyncio.run(_live_through_an_hour(site))
            with sync_playwright() as playwright:
                _look(dashboard, playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET), images)


def _look(dashboard: Dashboard, browser: Browser, images: Path) -> None:
    page = Entering(dashboard, browser)("--name", "maria")
    for name, path in _screens(_begun(dashboard, page)).items():
        _take(dashboard, page, images, name, path)
    browser.close()


async def _live_through_an_hour(site: Site) -> None:
    """Plant what ended in the last hour, busier towards its end."""
    chance, now = random.Random(7), utcnow()
    database = site.hopyard.client().database
    begins = [now - timedelta(minutes=60 - minute) for minute in range(60)]
    rows = [row for minute, at in enumerate(begins) for row in _ended(chance, at, minute)]
    async with database.transaction() as tx:
        await tx.execute_many(
            "INSERT INTO job_history (id, task, queue, priority, state, body, headers, attempt, crashes, "
            "cancel, created, started, finished, linked, error) "
            "VALUES ($1, $2, $3, 5, $4, '[[], {}, null]', '', 1, 0, 0, $5, $6, $7, 0, $8)",
            rows,
        )
    await site.hopyard.close()


def _ended(chance: random.Random, at: datetime, minute: int) -> Iterator[tuple[Any, ...]]:
    for task, most, ran, dead in LIVELY:
        for _ in range(round(most * (0.3 + 0.7 * minute / 60) * chance.uniform(0.5, 1))):
            lost = chance.randrange(100) < dead
            error = {"kind": "TimeoutError", "message": "warehouse 'Oslo' did not answer within 30 s"}
            created = at + timedelta(seconds=chance.uniform(0, 50))
            started = created + timedelta(seconds=chance.expovariate(4))
            yield (
                new_id(),
                task,
                task.partition(".")[0],
                State.DEAD if lost else State.SUCCEEDED,
                created,
                started,
                started + timedelta(seconds=ran * chance.uniform(0.5, 1.5)),
                json.dumps(error) if lost else None,
            )


def _begun(dashboard: Dashboard, page: Page) -> dict[str, str]:
    """Have some things going on; return the jobs that are shown."""
    dashboard.go(page, "/")
    running = dashboard.submit(page, "import-catalogue", supplier="Nordic Tools", articles=2000)
    for order in range(1200, 1207):
        dashboard.submit(page, "pack", order=order)
    failed = dashboard.submit(page, "charge-card", order=1200, amount=120.5)
    for order in (1201, 1202):
        dashboard.submit(page, "charge-card", order=order, amount=99.0)
    for sentence in SENTENCES:
        _post(page, f"{dashboard.address}/api/plugins/ai/requests", {"text": sentence, "person": "alice"})
    _post(page, f"{dashboard.address}/api/queues/email/pause?reason=the+mail+server+moves", None)
    dashboard.go(page, f"/jobs/{failed}")
    page.locator("#p-title .badge", has_text="dead").wait_for()
    return {"job": running, "failed-job": failed}


def _post(page: Page, url: str, body: Any) -> None:
    status = page.evaluate(
        """async ([url, body]) => (await fetch(url, {
            method: "POST", headers: {"content-type": "application/json"}, body: body && JSON.stringify(body),
        })).status""",
        [url, body],
    )
    assert status < 300, f"{url}: {status}"


def _screens(jobs: dict[str, str]) -> dict[str, str]:
    return {
        "overview": "/",
        "jobs": "/jobs",
        "failures": "/failures",
        "queues": "/queues",
        "schedules": "/schedules",
        "schedule": "/schedules/site.nightly_import",
        "workers": "/workers",
        "plugins": "/plugins",
        "plugin": "/plugins/site",
        "task": "/tasks/site.import_catalogue",
        "people": "/people?person=alice",
        "access": "/access",
        "login": "/login",
        **{name: f"/jobs/{id_}" for name, id_ in jobs.items()},
    }


def _take(dashboard: Dashboard, page: Page, images: Path, name: str, path: str) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for size, (width, height) in SIZES.items():
            page.set_viewport_size({"width": width, "height": height})
            dashboard.go(page, path)
            page.wait_for_timeout(900)  # what is live arrives
            # It tells where this machine has its files.
            page.evaluate(
                "document.querySelectorAll('[data-key=v-traceback]').forEach(one => one.open = false)"
            )
            page.screenshot(path=images / f"web-{name}-{scheme}{size}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
