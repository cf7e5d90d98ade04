"""A lease in a row of a plugin's: one job at a time, whoever died, and wherever a clock was set to."""

from __future__ import annotations

import asyncio

import pytest
from engines import Lab
from hopyard import storage
from hopyard.errors import LeaseLost
from hopyard.leases import RowLease

LEASE = RowLease("site_thing", seconds=60.0)


@pytest.fixture(autouse=True)
async def things(lab: Lab) -> None:
    moment = "timestamptz" if storage.sql().name == "postgresql" else "text"
    await storage.execute(
        "CREATE TABLE site_thing (name text PRIMARY KEY, state text NOT NULL, holder text, job text, "
        f"held_until {moment}, started {moment})"
    )


async def renewed(name: str, holder: str) -> None:
    async with storage.transaction() as tx:
        await LEASE.renew(tx, name, holder)


async def ends(seconds: str) -> None:
    """Have the lease end so many seconds from now."""
    until = storage.sql().plus(storage.sql().now, seconds)
    assert await storage.execute(f"UPDATE site_thing SET held_until = {until}") == 1


async def test_of_many_that_ask_at_once_one_has_it() -> None:
    asked = [LEASE.take("a", f"run {n}", f"job {n}") for n in range(20)]
    assert sorted(await asyncio.gather(*asked)) == [False] * 19 + [True]
    assert await LEASE.take("b", "another", "another")


async def test_the_run_that_is_repeated_has_it_at_once_and_the_first_may_write_no_more() -> None:
    assert await LEASE.take("a", "attempt 1", "job")
    assert not await LEASE.take("a", "other", "other")
    assert await LEASE.take("a", "attempt 2", "job")
    await renewed("a", "attempt 2")
    with pytest.raises(LeaseLost, match="a: another job has taken it over"):
        await renewed("a", "attempt 1")


@pytest.mark.parametrize(
    ("seconds", "free"), [("-1", True), ("30", False), ("59", False), ("100", False), ("3600", True)]
)
async def test_it_ends_by_itself_and_holds_nobody_up_that_a_clock_was_set_back(
    seconds: str, free: bool
) -> None:
    assert await LEASE.take("a", "one", "one")
    await ends(seconds)
    assert await LEASE.take("a", "two", "two") is free


async def test_renewing_prolongs_it() -> None:
    assert await LEASE.take("a", "one", "one")
    await ends("-1")
    await renewed("a", "one")
    assert not await LEASE.take("a", "two", "two")


async def test_only_its_holder_gives_it_back_and_the_row_stays() -> None:
    assert await LEASE.take("a", "one", "one")
    await storage.execute("UPDATE site_thing SET state = 'done'")
    await LEASE.release("a", "two")
    assert not await LEASE.take("a", "two", "two")
    await LEASE.release("a", "one")
    assert await LEASE.take("a", "two", "two")
    (row,) = await storage.fetch("SELECT state, holder, job FROM site_thing")
    assert dict(row) == {"state": "done", "holder": "two", "job": "two"}


async def test_a_run_begins_only_where_that_is_said() -> None:
    assert await LEASE.take("a", "one", "one", begins=False)
    (row,) = await storage.fetch("SELECT state, started FROM site_thing")
    assert (row["state"], row["started"]) == ("never", None)
    assert await LEASE.take("a", "one", "one")
    (row,) = await storage.fetch("SELECT started FROM site_thing")
    assert storage.moment(row["started"]) is not None
