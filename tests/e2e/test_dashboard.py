"""The dashboard in a browser: what people do with it."""

from __future__ import annotations

import re
from pathlib import Path

from e2e.dashboards import PREFIX, Dashboard, Entering, agree
from playwright.sync_api import Page, expect


def run_walk(page: Page, dashboard: Dashboard, gates: Path) -> None:
    """Submit a job by its form; the page of the job is shown then."""
    dashboard.go(page, "/tasks/site.walk")
    page.get_by_label("gates").fill(str(gates))
    page.get_by_label("kind").select_option(label="slow")
    page.get_by_label("tags").fill("one\ntwo")
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url(f"**{PREFIX}/jobs/*")


def test_a_link_lets_one_browser_in_once(dashboard: Dashboard, enter: Entering) -> None:
    page = enter("--name", "ada")
    expect(page.locator(".who")).to_have_text("ada")
    assert "hop_" not in page.url
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login")
    dashboard.go(page, "/jobs?state=dead")
    page.wait_for_url("**/login?next=*")
    token = dashboard.run("web", "token", "create", "reader", "--role", "viewer")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/jobs?state=dead")
    expect(page.get_by_role("button", name="Discard dead")).to_have_count(0)


def test_a_link_that_was_used_lets_nobody_in(dashboard: Dashboard, enter: Entering) -> None:
    page = enter()
    link = dashboard.link()
    page.goto(link)
    page.wait_for_url(f"{dashboard.address}/")
    page.goto(link)
    expect(page.locator("#why")).to_contain_text("was used already")
    enter.expect("401")


def test_a_job_by_its_form_is_watched_to_its_end(
    dashboard: Dashboard, enter: Entering, tmp_path: Path
) -> None:
    page = enter()
    run_walk(page, dashboard, tmp_path)
    progress = page.locator("#p-progress")
    expect(progress).to_contain_text("25 %")
    page.evaluate("window.stayed = true")
    for step, shown in ((1, "50 %"), (2, "75 %"), (3, "100 %")):
        (tmp_path / str(step)).touch()
        expect(progress).to_contain_text(shown)
    expect(page.locator("#log")).to_contain_text("waiting at gate 4")
    (tmp_path / "4").touch()
    expect(page.locator("#p-title .badge")).to_have_text("succeeded")
    expect(page.locator("#v-result")).to_contain_text('"walked": 4')
    expect(page.locator("#v-result")).to_contain_text('"slow"')
    expect(page.locator("#v-arguments")).to_contain_text('"two"')
    expect(progress).to_be_hidden()
    assert page.evaluate("window.stayed") is True, "the page was loaded anew"


def test_what_is_wrong_is_told_at_the_form(dashboard: Dashboard, enter: Entering) -> None:
    page = enter()
    dashboard.go(page, "/tasks/site.walk")
    run, fault = page.get_by_role("button", name="Run", exact=True), page.locator("form .fault")
    run.click()
    expect(fault).to_have_text("gates: is required")
    expect(page.get_by_label("gates")).to_be_focused()
    page.get_by_label("gates").fill("/nowhere")
    page.get_by_label("steps").fill("1.5")
    run.click()
    expect(fault).to_contain_text("steps")
    expect(page.get_by_label("steps")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("gates")).not_to_have_attribute("aria-invalid", "true")
    page.get_by_label("steps").fill("9007199254740993")  # a browser would send …992
    run.click()
    expect(fault).to_contain_text("has more digits than a browser keeps")
    enter.expect("422")


def test_a_job_is_cancelled(dashboard: Dashboard, enter: Entering, tmp_path: Path) -> None:
    page = enter()
    run_walk(page, dashboard, tmp_path)
    state = page.locator("#p-title .badge")
    expect(state).to_have_text("running")
    page.get_by_role("button", name="Cancel").click()
    page.locator("#sure").get_by_role("button", name="Leave it").click()
    expect(state).to_have_text("running")
    page.get_by_role("button", name="Cancel").click()
    agree(page, "Cancel this job?")
    expect(state).to_have_text("cancelled")


def test_failures_are_filtered_and_done_again(dashboard: Dashboard, enter: Entering) -> None:
    page = enter()
    what = "the ledger is not balanced"
    dashboard.go(page, "/jobs?state=dead&error=not+balanced")
    for n in range(3):
        dashboard.submit(page, "fail", n=n, what=what)
    news = page.locator("#news")
    expect(news).to_have_text("3 new – show")
    expect(page.locator("tr[data-key]")).to_have_count(0)
    news.click()
    expect(page.locator("tr[data-key]")).to_have_count(3)
    expect(page.locator("tr[data-key] .error").first).to_contain_text("<script>alert(1)</script>")
    dashboard.go(page, "/failures")
    row = page.locator("tr[data-key]").filter(has_text=what)
    expect(row.locator("td.num")).to_have_text("3")
    row.get_by_role("button", name="Replay").click()
    agree(page, "Do 3 jobs of this kind again")
    expect(page.locator("#said")).to_have_text("Replayed 3 jobs")
    row.get_by_role("link", name="site.fail").click()
    page.get_by_role("button", name="Discard dead").click()
    agree(page, "for good")
    expect(page.locator("#said")).to_contain_text("Discard dead:")


def test_one_is_done_again_with_other_arguments(dashboard: Dashboard, enter: Entering) -> None:
    page = enter()
    id_ = dashboard.submit(page, "fail", n=7, what="the first")
    dashboard.go(page, f"/jobs/{id_}")
    expect(page.locator("#p-title .badge")).to_have_text("dead")
    page.get_by_role("button", name="Replay with other arguments").click()
    page.get_by_label("Arguments, as JSON").fill('{"n": 8, "what": "the first"}')
    page.locator("#edit").get_by_role("button", name="Replay", exact=True).click()
    page.wait_for_url(lambda url: "/jobs/" in url and id_ not in url)
    expect(page.locator("#v-arguments")).to_contain_text('"n": 8')
    expect(page.locator("#v-arguments")).to_contain_text('"the first"')


def test_a_queue_is_paused_for_a_reason(dashboard: Dashboard, enter: Entering) -> None:
    page = enter("--name", "ada")
    dashboard.go(page, "/queues")
    page.get_by_role("button", name="Pause site.quick").click()
    page.get_by_label("Reason").fill("a new release")
    agree(page, "Start no more jobs of site.quick")
    row = page.locator("tr[data-key='site.quick']")
    expect(row).to_contain_text("by ada (a new release)")
    id_ = dashboard.submit(page, "quick", n=5)
    dashboard.go(page, f"/jobs/{id_}")
    expect(page.locator("#p-why")).to_contain_text("paused")
    expect(page.locator("#p-title .badge")).to_have_text("queued")
    dashboard.go(page, "/queues")
    page.get_by_role("button", name="Resume site.quick").click()
    expect(row).not_to_contain_text("paused")
    dashboard.go(page, f"/jobs/{id_}")
    expect(page.locator("#p-title .badge")).to_have_text("succeeded")


def test_what_a_plugin_shows_stands_on_its_page(dashboard: Dashboard, enter: Entering) -> None:
    page = enter("--role", "viewer")
    dashboard.go(page, "/plugins/site")
    gates = page.get_by_role("region", name="Gates")
    expect(gates.get_by_role("row").nth(1)).to_contain_text("north")
    expect(gates.get_by_role("row").nth(2)).to_contain_text("<b>south</b>")
    expect(gates.locator("time")).to_contain_text("12:04")
    expect(gates.locator("pre")).to_contain_text("Mind the gap.")
    expect(page.get_by_role("region", name="Gauge")).to_contain_text("ValueError: the gauge is off")
    expect(page.get_by_role("button", name="Disable site")).to_have_count(0)


def test_a_plugin_is_disabled_and_enabled_again(dashboard: Dashboard, enter: Entering) -> None:
    page = enter("--name", "ada")
    dashboard.go(page, "/plugins/site")
    state = page.locator("h1 .badge")
    expect(state).to_have_text("enabled")
    page.get_by_role("button", name="Disable site").click()
    page.locator("#sure").get_by_role("button", name="Leave it").click()
    expect(state).to_have_text("enabled")
    page.get_by_role("button", name="Disable site").click()
    agree(page, "Disable the plugin site in all processes?")
    expect(state).to_have_text("disabled")
    expect(page.locator("header.title")).to_contain_text("disabled by ada at")
    dashboard.go(page, "/plugins")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="site", exact=True))
    expect(row).to_contain_text("disabled by ada at")
    row.get_by_role("link", name="site", exact=True).click()
    page.get_by_role("button", name="Enable site").click()
    expect(state).to_have_text("enabled")
    id_ = dashboard.submit(page, "quick", n=5)
    dashboard.go(page, f"/jobs/{id_}")
    expect(page.locator("#p-title .badge")).to_have_text("succeeded")


def test_a_schedule_is_edited_and_run(dashboard: Dashboard, enter: Entering) -> None:
    page = enter()
    dashboard.go(page, "/schedules/site.nightly")
    expect(page.locator("#p-title")).to_contain_text("02:30")
    page.get_by_role("textbox", name="Rule").fill("15 6 * * *")
    page.get_by_label("Zone").fill("America/New_York")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#p-title")).to_contain_text("06:15 America/New_York")
    expect(page.locator("#p-next li").first).to_contain_text("06:15:00")
    page.get_by_role("button", name="Disable").click()
    expect(page.locator("#p-title .badge")).to_have_text("disabled")
    expect(page.locator("#p-next")).to_contain_text("It is disabled")
    page.get_by_role("button", name="Enable").click()
    expect(page.locator("#p-title .badge")).to_have_count(0)
    page.get_by_role("button", name="Run now").click()
    page.wait_for_url(f"**{PREFIX}/jobs/*")
    expect(page.locator("#p-title .badge")).to_have_text("succeeded")


def test_somebody_asks_in_plain_english(dashboard: Dashboard, enter: Entering) -> None:
    page = enter("--role", "submitter", "--person", "ada")
    page.wait_for_url("**/people")
    expect(page.get_by_role("navigation", name="Screens").get_by_role("link")).to_have_text(
        ["Requests", "Jobs"]
    )
    page.get_by_label("What, and when").fill("remind me every day at 8:30 to water the hops")
    expect(page.locator("#reading")).to_contain_text("every day at 08:30 Europe/Oslo")
    page.get_by_role("button", name="Ask for it").click()
    request = page.locator("#requests li")
    expect(request).to_contain_text("Water the hops")
    request.get_by_role("button", name="Pause").click()
    expect(request.locator(".badge")).to_have_text("paused")
    request.get_by_role("button", name="Delete").click()
    agree(page, "Water the hops")
    expect(page.locator("#no-requests")).to_be_visible()


def test_somebody_approves_what_a_model_would_do(dashboard: Dashboard, enter: Entering) -> None:
    page = enter("--role", "submitter", "--person", "bea")
    page.wait_for_url("**/people")
    page.get_by_label("What, and when").fill("in 1 second run site.open_gate for visitors")
    page.get_by_role("button", name="Ask for it").click()
    call = page.locator("#approvals-list li")
    expect(call).to_contain_text("site.open_gate", timeout=60_000)  # nobody has loaded the page again
    expect(call).to_contain_text("visitors")
    call.get_by_role("button", name="Yes").click()
    expect(page.locator("#approvals")).to_be_hidden()
    expect(page.locator("#p-told")).to_contain_text("The gate is open for visitors.", timeout=60_000)


def test_a_token_is_made_shown_once_and_revoked(dashboard: Dashboard, enter: Entering) -> None:
    page = enter()
    dashboard.go(page, "/access")
    page.get_by_role("button", name="Make a token").click()
    dialog = page.locator("#make")
    dialog.get_by_label("Name").fill("deploy")
    dialog.get_by_role("button", name="Make it").click()
    expect(page.locator("#made-token")).to_have_value(re.compile("^hop_[A-Za-z0-9]{12}_"))
    dialog.get_by_role("button", name="Close").click()
    row = page.locator("tr[data-key]").filter(has_text="deploy")
    row.get_by_role("button", name="Revoke").click()
    agree(page, "Revoke deploy?")
    expect(row).to_have_count(0)


def test_keys_lead_to_screens(dashboard: Dashboard, enter: Entering) -> None:
    page = enter()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    for key, path in (("q", "/queues"), ("s", "/schedules"), ("j", "/jobs")):
        page.keyboard.press("g")
        page.keyboard.press(key)
        page.wait_for_url(f"{dashboard.address}{path}")
    page.keyboard.press("/")
    expect(page.get_by_label("Text in the error")).to_be_focused()
    page.keyboard.type("g?")
    page.locator("h1").click(force=True)
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
