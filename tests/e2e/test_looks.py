"""How the dashboard looks: nobody is kept out, nothing is wider than a phone, colours stay as chosen."""

from __future__ import annotations

import re
from importlib import resources

import pytest
from e2e.dashboards import Dashboard, Entering
from playwright.sync_api import expect

_AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text()
_SCREENS = (
    *("/", "/jobs", "/jobs?state=dead", "/failures", "/queues", "/schedules", "/schedules/site.nightly"),
    *("/workers", "/plugins", "/plugins/site", "/tasks/site.walk", "/people", "/access", "/login"),
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_kept_out(dashboard: Dashboard, enter: Entering, scheme: str) -> None:
    page = enter()
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    job = dashboard.submit(page, "fail", n=1)
    for path in (*_SCREENS, f"/jobs/{job}"):
        dashboard.go(page, path)
        if path.startswith("/jobs/"):
            expect(page.locator("#p-title .badge")).to_have_text("dead")
        page.evaluate(_AXE)
        found = page.evaluate("async () => (await axe.run({resultTypes: ['violations']})).violations")
        bad = [
            (one["id"], node["html"], node["failureSummary"])
            for one in found
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]
        assert bad == [], path


def test_no_page_is_wider_than_a_phone(dashboard: Dashboard, enter: Entering) -> None:
    page = enter()
    page.set_viewport_size({"width": 390, "height": 844})
    job = dashboard.submit(page, "fail", n=1, what="x" * 300)
    for path in (*_SCREENS, f"/jobs/{job}"):
        dashboard.go(page, path)
        wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider <= 0, path


def test_colours_stay_as_they_were_chosen(dashboard: Dashboard, enter: Entering) -> None:
    page = enter()
    page.emulate_media(color_scheme="light")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    for _ in range(2):  # as the system has them, light, dark
        page.get_by_role("button", name="Colours").click()
    dark = page.evaluate(ground)
    assert dark != light
    dashboard.go(page, "/jobs")
    assert page.evaluate(ground) == dark


def test_times_are_on_the_viewers_clock(dashboard: Dashboard, enter: Entering) -> None:
    page = enter()
    job = dashboard.submit(page, "quick")
    dashboard.go(page, f"/jobs/{job}")
    time = page.locator("#p-timeline time").first
    expect(time).not_to_have_text(re.compile("UTC$"))
    assert str(time.get_attribute("title")).endswith("UTC)")
