"""Every command of `celery inspect` and `celery control`: it works, or it is refused with a reason."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from celery.worker.control import Panel
from sites import Site

NODE = "w0@test"
#: Arguments with which each command means something; what it answers, or a part of that.
WORKS: dict[str, tuple[dict[str, Any], Any]] = {
    "active": ({}, []),
    "active_queues": ({}, "site.one"),
    "clock": ({}, "clock"),
    "conf": ({}, "broker_url"),
    "disable_events": ({}, "task events"),
    "dump_active": ({}, []),
    "dump_conf": ({}, "broker_url"),
    "dump_reserved": ({}, []),
    "dump_revoked": ({}, "[]"),
    "dump_schedule": ({}, []),
    "dump_tasks": ({}, "site.echo"),
    "enable_events": ({}, "task events"),
    "heartbeat": ({}, None),
    "hello": ({"from_node": "other@test"}, "clock"),
    "memdump": ({}, None),
    "memsample": ({}, None),
    "objgraph": ({}, "objgraph"),  # needs a library of that name, and says so
    "ping": ({}, "pong"),
    "query_task": ({"ids": ["none"]}, {}),
    "registered": ({}, "site.echo"),
    "report": ({}, "software"),
    "reserved": ({}, []),
    "revoke": ({"task_id": "5d9f1f6e-0f5c-4c38-9d5a-6a1f0b6f8a22"}, "flagged as revoked"),
    "revoked": ({}, "5d9f1f6e"),
    "scheduled": ({}, []),
    "stats": ({}, "pid"),
    "terminate": ({"signal": "TERM", "task_id": "5d9f1f6e-0f5c-4c38-9d5a-6a1f0b6f8a22"}, "tasks unknown"),
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "add_consumer": ({"queue": "other"}, "hopyard worker -Q"),
    "autoscale": ({"max": 8, "min": 2}, "`slots`"),
    "cancel_consumer": ({"queue": "site"}, "hopyard queues pause"),
    "election": ({"id": "x", "topic": "t"}, "a lease in the ledger"),
    "pool_grow": ({"n": 1}, "`slots`"),
    "pool_restart": ({}, "stop the worker and start it again"),
    "pool_shrink": ({"n": 1}, "`slots`"),
    "rate_limit": ({"task_name": "site.echo", "rate_limit": "5/m"}, "`slots`"),
    "revoke_by_stamped_headers": ({"headers": {"a": ["b"]}}, "hopyard jobs cancel"),
    "time_limit": ({"task_name": "site.echo", "soft": 1, "hard": 2}, '[tasks."site.echo"]'),
}
#: Tried elsewhere: it ends the worker.
ENDS = {"shutdown"}


def test_the_list_is_whole() -> None:
    assert {*WORKS, *REFUSED, *ENDS} == {*Panel.data}


async def ask(site: Site, command: str, arguments: dict[str, Any]) -> Any:
    """Ask until the worker answers: a new one takes orders a second after it has registered."""

    def broadcast() -> Any:
        app = site.hopyard.celery
        return app.control.broadcast(command, arguments=arguments, reply=True, limit=1, timeout=3)

    answers = await site.until(lambda: asyncio.to_thread(broadcast), f"{command} is answered")
    return answers[0][NODE]


@pytest.mark.parametrize("command", REFUSED)
async def test_what_would_change_nothing_is_refused_with_what_to_use(running: Site, command: str) -> None:
    arguments, instead = REFUSED[command]
    answer = await ask(running, command, arguments)
    assert instead in answer["error"]


@pytest.mark.parametrize("command", sorted(WORKS))
async def test_all_others_work(running: Site, command: str) -> None:
    if command == "revoked":
        await ask(running, "revoke", WORKS["revoke"][0])
    arguments, expected = WORKS[command]
    answer = await ask(running, command, arguments)
    if isinstance(expected, str):
        assert expected in str(answer) or command == "dump_revoked"
    elif expected is not None:
        assert answer == expected


async def test_a_time_limit_of_celerys_own_tasks_is_celerys(running: Site) -> None:
    answer = await ask(running, "time_limit", {"task_name": "celery.backend_cleanup", "hard": 5})
    assert answer == {"ok": "time limits set successfully"}


async def test_a_revoke_cancels_a_waiting_job(running: Site) -> None:
    waiting = await running.submit("site.echo", {"delay": 3600})
    await ask(running, "revoke", {"task_id": waiting.id})
    assert (await running.ended(waiting.id))["state"] == "cancelled"


async def test_a_purge_is_refused(running: Site) -> None:
    with pytest.raises(AssertionError, match="hopyard queues pause"):
        await asyncio.to_thread(running.celery, "purge", "-f")


async def test_ordinary_options_are_not_warned_of(running: Site) -> None:
    assert "has no effect" not in running.logs()
    assert "moves no job" not in running.logs()
