"""What people and programs read of the ledger is the same on both databases, whatever is stored in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hopyard import current
from hopyard.errors import HopyardError, LedgerError, LedgerUnavailable, PayloadError, UnknownJob
from hopyard.ledger import cancelling, deadletters, details, effects, explaining, notes, retention
from hopyard.ledger.database import Database
from hopyard.ledger.deadletters import Filter
from hopyard.ledger.read import listing
from hopyard.ledger.stored import value
from hopyard.ledger.values import Done, Progress, derived_id, job_id, new_id, utcnow
from hopyard.specs import State
from hypothesis import given
from hypothesis import strategies as st

ODD = [
    "{",
    "NaN",
    "[1, NaN, -Infinity]",
    '"\\ud800"',
    '{"\\udfff": "\\ud800x"}',
    "9" * 5000,
    "[" * 100_000,
    "1e999",
    "",
]


async def dead(ledger: Any, error: str | None, **values: Any) -> str:
    """Return the id of a job that ended dead with this text of an error."""
    worker = await ledger.worker()
    claim = await ledger.running(worker, **values)
    done = Done(claim.id, claim.claim, State.DEAD, None, error, error)
    assert await ledger.database.finish([done], worker) == {claim.id}
    return str(claim.id)


# --- readers


@pytest.mark.parametrize("text", ODD)
async def test_whatever_is_stored_can_be_read_as_strict_json(ledger: Any, text: str) -> None:
    body = text or "[]"
    ids = [await dead(ledger, text or None, body=body), await dead(ledger, text or None, body=f"[{body}]")]
    database = ledger.database
    for update in ("result = $1", "error = $1, attempts = $1"):
        await database.execute(f"UPDATE job_history SET {update}", text)
    await database.execute(
        f"INSERT INTO job_effect (job_id, name, state, data, updated) VALUES ($1, 'e', 'done', $2, "
        f"{database.dialect.now})",
        ids[0],
        body,
    )
    found: list[Any] = await listing.jobs(database, listing.JobFilter())
    assert {one["id"] for one in found} == {*ids}
    for id_ in ids:
        found += [await details.job(database, id_), await explaining.explain(database, id_)]
    json.loads(json.dumps(found, allow_nan=False, ensure_ascii=False).encode())


@given(
    st.text() | st.recursive(st.none() | st.booleans() | st.floats() | st.text() | st.integers(), st.lists)
)
def test_any_text_comes_back_as_strict_json(thing: Any) -> None:
    for text in (json.dumps(thing), thing if isinstance(thing, str) else ""):
        json.dumps(value(text), allow_nan=False, ensure_ascii=False).encode()


def test_plain_values_come_back_as_they_were() -> None:
    plain = {"a": [1, 2.5, None, True, "ä😀"], "b": {"n": 10**50}}
    assert value(json.dumps(plain)) == plain
    assert value(json.dumps(plain, ensure_ascii=False)) == plain


async def test_a_state_of_a_newer_release_can_be_listed(ledger: Any) -> None:
    await ledger.job()
    await ledger.database.execute("UPDATE job_live SET state = 42")
    assert [one["state"] for one in await listing.jobs(ledger.database, listing.JobFilter())] == [
        "unknown (42)"
    ]


async def test_the_latest_jobs_come_first_whatever_their_ids_are(ledger: Any) -> None:
    """Ids of canvas, of stock producers and of callers do not sort by time.

    Live jobs count by when they were created, others by when they ended.
    """
    database, worker = ledger.database, await ledger.worker()
    names = ["ffffffff-0000-4000-8000-000000000000", new_id(), job_id("order-17"), derived_id(new_id(), "x")]
    names += ["00000000-0000-4000-8000-000000000000", new_id()]
    for n, id_ in enumerate(names):
        await ledger.job(id=id_)
        await ledger.later("job_live", "created", 10)
        if n % 2:
            (claim,) = await ledger.claim(worker, id_)
            await database.finish([Done(id_, claim.claim, State.SUCCEEDED, "1", None, None)], worker)
        await ledger.later("job_history", "finished", 10)
    rows = await listing.jobs(database, listing.JobFilter(), limit=100)
    live = [row["created"] for row in rows if not row["finished"]]
    over = [row["finished"] for row in rows if row["finished"]]
    assert live == sorted(live, reverse=True)
    assert over == sorted(over, reverse=True)
    assert not any(row["finished"] for row in rows[: len(live)])
    assert {row["id"] for row in rows} == set(names)
    assert [row["id"] for row in await listing.jobs(database, listing.JobFilter(), limit=3)] == [
        row["id"] for row in rows[:3]
    ]


@pytest.mark.parametrize("id_", ["typo", "order-17", "", "x" * 10_000, "ä\ud800", "a\0b"])
async def test_an_id_that_nobody_has_is_unknown(ledger: Any, id_: str) -> None:
    database = ledger.database
    for read in (details.job, explaining.explain):
        with pytest.raises(UnknownJob):
            await read(database, id_)
    assert await cancelling.cancel(database, [id_], "why") == {}
    assert await listing.jobs(database, listing.JobFilter(parent=id_)) == []
    for change in (deadletters.replay, deadletters.discard):
        with pytest.raises(UnknownJob):
            await change(database, Filter(ids=[id_]))


async def test_an_id_of_any_text_finds_its_job(ledger: Any) -> None:
    id_ = await ledger.job(id=job_id("order-17"))
    assert (await details.job(ledger.database, "order-17"))["id"] == id_
    assert await cancelling.cancel(ledger.database, ["order-17"], "a\0b\ud800") == {id_: State.CANCELLED}


# --- dead letters


@pytest.mark.parametrize(
    ("part", "hits"),
    [
        ("my_key", {"my_key"}),
        ("100% f", {"100% full"}),
        ("MY_KEY", set()),
        ("ä", {"ä"}),
        ('"quoted"\n', {'a "quoted"\nline'}),
        ("\\", {"back\\slash"}),
        ("", {"my_key", "myXkey", "100% full", "1000 full", "ä", 'a "quoted"\nline', "back\\slash"}),
    ],
)
async def test_the_text_of_an_error_is_meant_to_the_letter(ledger: Any, part: str, hits: set[str]) -> None:
    messages = ("my_key", "myXkey", "100% full", "1000 full", "ä", 'a "quoted"\nline', "back\\slash")
    ids = {m: await dead(ledger, json.dumps({"kind": "E", "message": m})) for m in messages}
    replayed = await deadletters.replay(ledger.database, Filter(error=part))
    assert {*replayed} == {ids[hit] for hit in hits}
    assert await deadletters.discard(ledger.database, Filter(error=part)) == len(hits)


async def test_a_job_whose_arguments_no_reader_takes_is_replayed_as_it_is(ledger: Any) -> None:
    body = f"[[{'9' * 5000}], {{}}, null]"
    id_ = await dead(ledger, None, body=body)
    with pytest.raises(LedgerError, match=id_):
        await deadletters.replay(ledger.database, Filter(ids=[id_]), {"n": 1})
    (job,) = (await deadletters.replay(ledger.database, Filter(ids=[id_]))).values()
    assert (await ledger.row(job.id))["body"] == body


# --- errors of the drivers


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT nonsense", ()),
        ("SELECT 1 FROM nowhere", ()),
        ("INSERT INTO job_key (key, job_id) VALUES ('k', NULL)", ()),
        ("UPDATE job_live SET priority = $1", (10**30,)),
        ("UPDATE job_live SET reason = $1", ("\ud800",)),
        ("UPDATE job_live SET reason = $1", (object(),)),
        ("this is no SQL", ()),
    ],
)
async def test_what_a_driver_raises_is_the_ledgers_error(
    ledger: Any, sql: str, parameters: tuple[Any, ...]
) -> None:
    database: Database = ledger.database
    id_ = await ledger.job()

    async def within() -> None:
        async with database.transaction() as tx:
            await tx.execute("UPDATE job_live SET priority = 1")
            await tx.fetch(sql, *parameters)

    async def many() -> None:
        async with database.transaction() as tx:
            await tx.execute_many(sql, [parameters, parameters])

    for call in (
        lambda: database.fetch(sql, *parameters),
        lambda: database.execute(sql, *parameters),
        within,
        many,
    ):
        with pytest.raises(LedgerError) as caught:
            await call()
        assert not isinstance(caught.value, LedgerUnavailable)
    assert (await ledger.row(id_))["priority"] == 5


async def test_a_job_that_no_column_takes_is_the_ledgers_error(ledger: Any) -> None:
    for values in ({"priority": 10**30}, {"queue": "\ud800"}, {"queue": None}):
        for fresh in (True, False):
            with pytest.raises(LedgerError) as caught:
                await ledger.database.submit([ledger.new(**values)], fresh=fresh)
            assert not isinstance(caught.value, LedgerUnavailable)


async def test_what_is_raised_within_a_transaction_stays_what_it_is(ledger: Any) -> None:
    async def work(error: Exception) -> None:
        async with ledger.database.transaction() as tx:
            await tx.execute("UPDATE job_live SET priority = 1")
            raise error

    for error in (OSError("mine"), TimeoutError("mine"), ValueError("mine")):
        with pytest.raises(type(error), match="mine"):
            await work(error)


# --- what running jobs leave


async def test_effects_have_limits(ledger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects, "MAX_EFFECTS", 3)
    worker = await ledger.worker()
    claim = await ledger.running(worker)
    fence = (worker, claim.claim)
    for name in ("", "x" * 201):
        with pytest.raises(PayloadError, match="expected 1 to 200"):
            await effects.begin(ledger.database, claim.id, fence, name, {})
    for n in range(3):
        assert (await effects.begin(ledger.database, claim.id, fence, f"{n}", {})).standing == "new"
    with pytest.raises(PayloadError, match="3 effects"):
        await effects.begin(ledger.database, claim.id, fence, "more", {})
    await effects.end(ledger.database, claim.id, fence, "0", "failed")
    assert (await effects.begin(ledger.database, claim.id, fence, "0", {})).standing == "new"
    odd = "a\0\ud800"
    monkeypatch.setattr(effects, "MAX_EFFECTS", 4)
    await effects.begin(ledger.database, claim.id, fence, odd, {})
    await effects.end(ledger.database, claim.id, fence, odd, "done", 7)
    assert await effects.begin(ledger.database, claim.id, fence, odd, {}) == ("done", 7)


async def test_odd_progress_costs_no_other_job_its_own(ledger: Any) -> None:
    claim = await ledger.running(await ledger.worker())
    told = [Progress(claim.id, 1, 2, "a\0b\ud800c ä", utcnow())]
    await notes.write_progress(ledger.database, told)
    assert (await details.job(ledger.database, claim.id))["progress"]["message"] == "a\ufffdb?c ä"


# --- retention


@pytest.mark.parametrize("days", [36_500, 10**9, 1e300, float("inf"), 0])
async def test_retention_takes_any_number_of_days(ledger: Any, days: float) -> None:
    worker = await ledger.worker()
    claim = await ledger.running(worker)
    await ledger.database.finish([Done(claim.id, claim.claim, State.SUCCEEDED, "1", None, None)], worker)
    await ledger.later("job_history", "finished", 60)
    gone = await retention.prune(ledger.database, progress_days=days, results_days=days)
    assert gone["job_history"] == (0 if days else 1)


async def test_retention_looks_up_each_live_job_by_its_key(ledger: Any) -> None:
    """Never through all of them: `NOT IN` reads the whole table once for every row."""
    database: Database = ledger.database
    if database.dialect.name != "postgresql":
        pytest.skip("SQLite has no hash joins")
    for which in (retention._PROGRESS, retention._KEY):
        table, key, anchor = which
        rows = await database.fetch(
            f"EXPLAIN SELECT {key} FROM {table} WHERE NOT EXISTS ({anchor}) LIMIT {retention.BATCH}"
        )
        plan = "\n".join(row["QUERY PLAN"] for row in rows)
        assert "job_live_pkey" in plan
        assert "Seq Scan on job_live" not in plan


# --- waiting for a job that nobody has stored


async def test_waiting_for_an_unknown_job_says_so(lab: Any) -> None:
    current.set_instance(lab.hopyard)
    with pytest.raises(UnknownJob):
        await lab.hopyard.handle("typo").result(timeout=1)
    assert issubclass(UnknownJob, HopyardError)
