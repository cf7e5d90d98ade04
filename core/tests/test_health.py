"""Health checks: each under its limit, whatever it does."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
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
