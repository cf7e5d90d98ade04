"""`hopyard demo --json`: the main job, end to end, with the offline model."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from outside_llm import running_outside_llm

_BIN = Path(sys.executable).parent
#: With the mail and the calendar server (`make setup-test-servers`).
_SERVERS = Path(__file__).parents[2] / ".servers" / "bin"


def play(folder: Path, *options: str, **environment: str) -> tuple[dict[str, Any], str]:
    """Play the demo in an empty folder; return what it printed last, and all that it wrote elsewhere."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HOPYARD_")}
    done = subprocess.run(
        [_BIN / "hopyard", "demo", "--json", *options],
        cwd=folder,
        env={**clean, **environment, "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,  # longer than the demo gives itself (60 s and 150 s): it says what is missing
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-3000:]
    left = [
        p.info for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or ())
    ]
    assert left == [], "the demo left processes running"
    report: dict[str, Any] = json.loads(done.stdout)
    return report, done.stderr


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the demo shows with the offline model."""
    folder = tmp_path_factory.mktemp("demo")
    report, _ = play(folder, PATH=f"{_SERVERS}:{os.environ['PATH']}")
    assert list(folder.iterdir()) == [], "the demo left files"
    return report


def acts(demo: dict[str, Any], what: str) -> list[dict[str, Any]]:
    """Return the results of a request's runs, the first first."""
    jobs = [job for job in demo["jobs"] if job["task"] == "ai.act" and job["result"]]
    jobs.sort(key=lambda job: job["started"])
    return [job["result"] for job in jobs if job["arguments"]["request"] == demo["requests"][what]]


def told(demo: dict[str, Any], what: str) -> list[dict[str, Any]]:
    """Return what people were told about a request."""
    return [one for one in demo["notifications"] if one["data"]["request"] == demo["requests"][what]]


def test_it_is_one_object_with_the_promised_parts(demo: dict[str, Any]) -> None:
    assert demo["ok"] is True
    assert demo["model"] == "local:extractive"
    assert isinstance(demo["jobs"], list)
    assert isinstance(demo["notifications"], list)
    assert demo["seconds"] > 0


def test_the_one_off_is_told_once(demo: dict[str, Any]) -> None:
    [message] = told(demo, "one-off")
    assert message["person"] == "alice"
    assert "Bob about the invoice" in message["body"]


def test_the_recurring_one_fires_again_and_again(demo: dict[str, Any]) -> None:
    runs = acts(demo, "recurring")
    assert len({run["due"] for run in runs}) == len(runs) >= 2


def test_two_tools_are_called_and_quoted(demo: dict[str, Any]) -> None:
    [run] = acts(demo, "two tools")
    assert {call["name"] for call in run["calls"]} == {
        "maintenance.system_health_check",
        "maintenance.monitor_resource_usage",
    }
    [message] = told(demo, "two tools")
    for call in run["calls"]:
        assert json.loads(call["result"])["reference"] in message["body"]


def test_one_is_postponed_and_done_later(demo: dict[str, Any]) -> None:
    first, second = acts(demo, "postponed")
    assert (first["state"], first["decision"]["action"]) == ("postponed", "postpone")
    assert (second["state"], second["postponed"]) == ("done", 1)


def test_a_call_is_approved_and_made(demo: dict[str, Any]) -> None:
    asked, done = told(demo, "approved")
    assert "hopyard ai approve" in asked["body"]
    assert done["body"] == "The gate is open for visitors."
    [job] = [job for job in demo["jobs"] if job["task"] == "site.open_gate"]
    assert job["state"] == "succeeded"


def test_one_is_refused_with_its_reason(demo: dict[str, Any]) -> None:
    assert "31" in demo["refused"]


def test_the_failing_tool_is_retried(demo: dict[str, Any]) -> None:
    [job] = [job for job in demo["jobs"] if job["task"] == "site.exchange_rate"]
    assert (job["state"], job["attempt"]) == ("succeeded", 2)
    assert job["attempts"][0]["category"] == "transient"
    [message] = told(demo, "retried")
    assert "1.09" in message["body"]


def with_servers(demo: dict[str, Any], what: str) -> None:
    if what in demo["requests"]:
        return
    text = "the servers for mail and calendars are not installed: `make setup-test-servers` does it"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


def test_a_mail_is_sent_once_it_is_approved(demo: dict[str, Any]) -> None:
    with_servers(demo, "mail")
    asked, done = told(demo, "mail")
    assert "hopyard ai approve" in asked["body"]
    assert "outbox" in done["body"]
    [mail] = demo["mails"]
    assert "\nTo: dana@demo.example" in mail
    assert "ten minutes late" in mail


def test_a_question_is_answered_from_the_calendar(demo: dict[str, Any]) -> None:
    with_servers(demo, "calendar")
    [message] = told(demo, "calendar")
    assert "12:30" in message["body"]
    assert "Lunch with Dana" in message["body"]


@pytest.mark.timeout(300)  # a job whose model refused five times in a row is tried again after a minute
def test_it_passes_against_a_server_that_nobody_here_wrote(tmp_path: Path) -> None:
    """Chosen by environment variables alone, with 429 answers mixed in; the key is nowhere to be found."""
    key = f"sk-{secrets.token_hex(16)}"
    with running_outside_llm(rate_limited=0.3) as llm:
        report, said = play(
            tmp_path,
            "--keep",
            HOPYARD_AI__MODEL="compatible:gpt-outside",
            HOPYARD_AI__BASE_URL=llm.url,
            HOPYARD_AI__API_KEY=key,
        )
        statuses = [entry["response"]["status"] for entry in llm.journal()]
    assert report["ok"], report["missing"]
    assert "left out: aiosmtpd is not installed" in said
    assert report["model"] == "gpt-outside"
    assert statuses.count(429) >= 1, "no request was refused: the test has not shown what it should"
    [run] = acts(report, "two tools")
    assert len(run["calls"]) == 2
    for call in run["calls"]:
        assert json.loads(call["result"])["reference"] in run["answer"]
    everything = said + json.dumps(report)
    assert key not in everything
    for file in (file for file in tmp_path.rglob("*") if file.is_file()):
        assert key.encode() not in file.read_bytes(), file
