"""Health checks: each under its limit, whatever it does."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hopyard import conceal
from hopyard.monitor.health import run_checks
from hopyard.specs import Health, HealthCheck


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Set at the end, so that no blocked thread is left."""
    event = threading.Event()
    yield event
    event.set()


async def test_a_check_that_blocks_holds_up_nobody(released: threading.Event) -> None:
    async def blocks() -> Health:
        released.wait()
        return Health(True)

    async def quick() -> Health:
        return Health(True, "fine")

    blocked, fine = await run_checks(
        [("a", HealthCheck("blocks", blocks, time_limit=0.1)), ("a", HealthCheck("quick", quick))]
    )
    assert not released.is_set()
    assert (blocked.ok, blocked.detail) == (False, "no answer within 0.1 s")
    assert (fine.ok, fine.detail) == (True, "fine")


async def test_whatever_a_check_raises_is_its_answer() -> None:
    async def exits() -> Health:
        raise SystemExit("bye")

    async def fails() -> Health:
        raise OSError("no such thing")

    async def nothing() -> Health:
        return None  # type: ignore[return-value]

    found = await run_checks([("a", HealthCheck(check.__name__, check)) for check in (exits, fails, nothing)])
    assert [one.ok for one in found] == [False, False, False]
    assert [one.detail for one in found[:2]] == ["SystemExit: bye", "OSError: no such thing"]
    assert "expected a Health" in found[2].detail


async def test_a_check_tells_no_secret() -> None:
    """Neither one that it has read itself, nor the password in an address, whatever way it tells it."""

    async def fails() -> Health:
        conceal("CANARY-read-by-a-check")
        raise RuntimeError("CANARY-read-by-a-check at postgresql://ada:CANARY-password@db/shop")

    async def tells() -> Health:
        conceal("CANARY-read-by-a-check")
        return Health(False, "CANARY-read-by-a-check is refused")

    found = await run_checks([("a", HealthCheck("fails", fails)), ("a", HealthCheck("tells", tells))])
    assert [one.detail for one in found] == [
        "RuntimeError: *** at postgresql://ada:***@db/shop",
        "*** is refused",
    ]


async def test_a_check_that_still_hangs_is_not_started_again() -> None:
    release, runs = threading.Event(), list[int]()

    async def hangs() -> Health:
        runs.append(1)
        release.wait()
        return Health(True, "fine")

    def started() -> list[threading.Thread]:
        return [one for one in threading.enumerate() if one.name == "health check a.hangs"]

    check = ("a", HealthCheck("hangs", hangs, time_limit=0.1))
    try:
        details = [(await run_checks([check]))[0].detail for _ in range(3)]
        assert details[0] == "no answer within 0.1 s"
        assert all(one.startswith("its last run still hangs, for ") for one in details[1:])
        assert len(runs) == len(started()) == 1
    finally:
        release.set()
    for thread in started():
        thread.join()
    assert [(one.ok, one.detail) for one in await run_checks([check])] == [(True, "fine")]
