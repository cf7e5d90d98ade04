"""`hopyard run`: a job with the task's own types, followed by a person, with real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from hopyard import current
from sites import DEADLINE, Site, site_in

HOPFILE = """
import asyncio
from typing import Literal
from hopyard import Job, Plugin, PluginSettings, Queue, hookimpl, task

print("noise of the module")

@task("site.types")
async def types(
    text: str = "", n: int = 0, tags: list[str] = [], many: list[int] = [], fast: bool = False,
    data: dict = {}, maybe: int | None = None, kind: Literal["a", "b"] = "a", loose=None,
) -> list:
    \"\"\"Give back what it got.\"\"\"
    return [text, n, tags, many, fast, data, maybe, kind, loose]

@task("site.own")
async def own(data: str, timeout: int, person: str) -> list:
    return [data, timeout, person]

@task("site.slow")
async def slow(seconds: float) -> None:
    await asyncio.sleep(seconds)

@task("site.odd")
async def odd(job: Job, password: str):
    job.progress(0, 1, "[/x] \\x1b]0;owned\\x07")
    await asyncio.sleep(0.5)
    return {"token": "abc", "big": 10**600, "title": "\\x1b[31m[/x] \\x9b2J"}

@task("site.away", queue="away")
async def away(): return 1

class Site(Plugin[PluginSettings]):
    @hookimpl
    def register_queues(self): return [Queue("site", slots=4), Queue("site.away")]
    @hookimpl
    def register_tasks(self): return [types, own, slow, odd, away]
"""
HOPFILE = HOPFILE.replace('queue="away"', 'queue="site.away"')


@pytest.fixture(scope="module")
def site(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An installation on SQLite with one worker, of one of its two queues."""
    folder = tmp_path_factory.mktemp("run")
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
    extra = '[plugins]\nallow = ["site"]\n'
    database = f"sqlite:///{folder / 'ledger.db'}"
    with site_in(folder / "site", broker=valkey_url, database=database, hopfile=HOPFILE, extra=extra) as made:
        assert run(made, "db", "upgrade").returncode == 0
        made.start("hopyard", "worker", "-Q", "site", log="worker")
        yield made
    current.set_instance(None)


def run(site: Site, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).parent / "hopyard"), *words],
        cwd=site.folder,
        env={**site.environment, **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def result(site: Site, *words: str) -> Any:
    done = run(site, "run", "--json", *words)
    assert done.returncode == 0, done.stderr + site.logs()
    return json.loads(done.stdout)["result"]


def test_the_types_of_the_task_decide(site: Site) -> None:
    given = (
        "--text",
        "12345",
        "--n",
        "7",
        "--tags",
        "1",
        "--tags",
        "b",
        "--many",
        "1",
        "--many",
        "2",
        "--fast",
    )
    more = ("--data", '{"a": [1]}', "--maybe", "null", "--kind=b", "--loose", "[1]")
    assert result(site, "site.types", *given, *more) == [
        *("12345", 7, ["1", "b"], [1, 2], True, {"a": [1]}, None, "b", [1]),
    ]
    assert result(site, "site.types", "--text", "--n", "--no-fast", "--many", "[3]") == [
        *("--n", 0, [], [3], False, {}, None, "a", None),
    ]


def test_an_option_behind_the_name_is_the_tasks_own(site: Site) -> None:
    given = ("--data", "d", "--timeout", "3", "--person", "p")
    done = run(site, "run", "--json", "--person", "ada", "site.own", *given)
    answer = json.loads(done.stdout)
    assert answer["result"] == ["d", 3, "p"]
    shown = json.loads(run(site, "jobs", "show", answer["id"][-10:], "--json").stdout)
    assert shown["person"] == "ada"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("site.types", "--txet", "x"), "did you mean --text?"),
        (("site.types", "--text"), "--text needs a value"),
        (("site.types", "--n", "1", "--n", "2"), "--n is given 2 times"),
        (("site.types", "--n", "many"), "found 'many'"),
        (("site.types", "word"), "`word` is no option"),
        (("site.types", "--json"), "options of hopyard's own stand before the task's name"),
    ],
)
def test_a_wrong_argument_is_a_line_and_status_2(site: Site, words: tuple[str, ...], told: str) -> None:
    done = run(site, "run", *words)
    assert (done.returncode, done.stdout) == (2, "")
    error = [line for line in done.stderr.splitlines() if line != "noise of the module"]
    assert len(error) == 1
    assert told in error[0]


def test_help_behind_the_name_shows_the_parameters(site: Site) -> None:
    told = run(site, "run", "site.types", "--help").stdout
    assert "Give back what it got." in told
    for line in ("--text TEXT", "--n INTEGER", "--tags TEXT", "--many INTEGER", "--kind a|b", "default 0"):
        assert line in told
    assert "may be repeated" in told
    assert "--detach" in run(site, "run", "--help").stdout


def test_the_id_comes_first_and_the_result_is_text(site: Site) -> None:
    done = run(site, "run", "site.odd", "--password", "hunter22")
    assert done.returncode == 0, done.stderr
    id_ = done.stdout.splitlines()[0]
    shown, listed = (run(site, "jobs", *words) for words in (("show", id_), ("list",)))
    for text in (done.stdout, done.stderr, shown.stdout, listed.stdout):
        assert not {"\x1b", "\x07", "\x9b"} & set(text)
    assert "[/x]" in done.stdout
    assert "abc" not in done.stdout
    for text in (shown.stdout, run(site, "jobs", "list", "--json").stdout):
        assert "hunter22" not in text
    answer = json.loads(run(site, "jobs", "show", id_, "--json").stdout)
    assert answer["arguments"] == {"password": "***"}
    assert answer["result"]["token"] == "***"
    assert answer["result"]["big"] == 10**600


def test_at_its_end_the_timeout_is_told_with_the_way_on(site: Site) -> None:
    done = run(site, "run", "--timeout", "0.3", "site.slow", "--seconds", "60")
    assert done.returncode == 1
    id_ = done.stdout.strip()
    assert f"job {id_} did not end within 0.3 s: it goes on" in done.stderr
    assert run(site, "jobs", "cancel", id_[-8:]).returncode == 0


def test_without_a_worker_for_its_queue_that_is_told(site: Site) -> None:
    done = run(site, "run", "--detach", "site.away")
    assert done.returncode == 0
    assert len(done.stdout.strip()) == 36
    assert "no live worker works on queue site.away" in done.stderr


def test_ctrl_c_while_it_waits_says_that_the_job_goes_on(site: Site) -> None:
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "hopyard"), "run", "site.slow", "--seconds", "60"],
        cwd=site.folder,
        env=site.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell has its background jobs ignore it, and so would all that they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    id_ = process.stdout.readline().strip()
    os.kill(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130
    assert f"\n{id_} goes on" in error
    assert max(map(len, error.splitlines()[-3:])) <= 60, "an id that a terminal breaks cannot be copied"
    assert "Traceback" not in error
    assert run(site, "jobs", "cancel", id_).returncode == 0


@pytest.mark.parametrize("width", [60, 80, 200])
def test_an_id_stands_whole_in_a_table_of_any_width(site: Site, width: int) -> None:
    id_ = run(site, "run", "--detach", "site.away").stdout.strip()
    lines = run(site, "jobs", COLUMNS=str(width)).stdout.splitlines()
    assert all(len(line) <= width for line in lines)
    [line] = [line for line in lines if id_ in line]
    assert "site.away" in line
    assert "queued" in line


def test_noise_of_a_plugin_is_not_in_the_output(site: Site) -> None:
    for words in (
        ("tasks",),
        ("plugins",),
        ("doctor", "--probe", "live"),
        ("queues",),
        ("schedule",),
        ("jobs",),
    ):
        json.loads(run(site, *words, "--json").stdout)
