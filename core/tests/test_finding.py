"""Finding jobs by a part of their id, listing them by age, and showing whatever stands in a row."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hopyard.display import to_json
from hopyard.errors import UnknownJob
from hopyard.ledger import details
from hopyard.ledger.finding import find_job
from hopyard.ledger.read import listing
from hopyard.ledger.values import Done, derived_id, job_id, new_id
from hopyard.redaction import masked
from hopyard.specs import State

ID = "01a2243e-d05c-7678-8616-f31395a2a39d"


async def test_a_job_is_found_by_its_beginning_or_end(ledger: Any) -> None:
    await ledger.job(id=ID)
    for part in (
        ID,
        ID.upper(),
        ID.replace("-", ""),
        ID[:6],
        ID[:13],
        ID[-6:],
        ID[-15:],
        ID.replace("-", "")[:14],
    ):
        assert await find_job(ledger.database, part) == ID


async def test_a_job_of_the_past_is_found_as_well(ledger: Any) -> None:
    worker = await ledger.worker()
    claim = await ledger.running(worker, id=ID)
    await ledger.database.finish([Done(ID, claim.claim, State.SUCCEEDED, "1", None, None)], worker)
    assert await find_job(ledger.database, ID[-8:]) == ID


async def test_a_part_that_names_several_is_refused_with_them(ledger: Any) -> None:
    other = ID[:-1] + "e"
    await ledger.job(id=ID)
    await ledger.job(id=other)
    with pytest.raises(UnknownJob, match=f"more than one job: {ID}, {other}"):
        await find_job(ledger.database, ID[:10])
    assert await find_job(ledger.database, other[-6:]) == other


@pytest.mark.parametrize(
    "text", ["01a22", "zzzzzzzz", "", "%%%%%%", "______", "01a2243e-", "-" * 32, "x" * 500]
)
async def test_what_names_no_job_is_told(ledger: Any, text: str) -> None:
    await ledger.job(id=ID)
    with pytest.raises(UnknownJob, match="expected an id"):
        await find_job(ledger.database, text)


async def test_an_id_of_celerys_that_is_no_uuid_is_found(ledger: Any) -> None:
    await ledger.job(id=job_id("order-17"))
    assert await find_job(ledger.database, "order-17") == job_id("order-17")


async def test_the_newest_comes_first_whatever_its_id(ledger: Any) -> None:
    """Ids that follow from others, or are foreign, do not say when a job came."""
    first = await ledger.job()
    foreign = await ledger.job(id=derived_id("celery", "a"))
    follower = await ledger.job(id=derived_id(first, "then"))
    low = await ledger.job(id="00000000-0000-4000-8000-000000000000")
    listed = await listing.jobs(ledger.database, listing.JobFilter())
    assert [one["id"] for one in listed] == [low, follower, foreign, first]


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    "result",
    [
        "1" + "0" * 5000,
        '{"a": "\\ud800"}',
        "NaN",
        '"\\u001b[31m\\u009b"',
        DEEP,
        "no JSON",
        '{"password": "hunter22"}',
    ],
)
@pytest.mark.parametrize("where", ["result", "error", "body"])
async def test_whatever_stands_in_a_row_it_can_be_shown(ledger: Any, result: str, where: str) -> None:
    worker = await ledger.worker()
    body = f'[[], {{"n": {result}}}, null]' if where == "body" else "[[], {}, null]"
    claim = await ledger.running(worker, id=new_id(), body=body)
    state = State.DEAD if where == "error" else State.SUCCEEDED
    done = Done(
        claim.id,
        claim.claim,
        state,
        result if where == "result" else None,
        result if where == "error" else None,
        None,
    )
    await ledger.database.finish([done], worker)
    for found in (
        await listing.jobs(ledger.database, listing.JobFilter()),
        await details.job(ledger.database, claim.id),
    ):
        text = to_json(masked(found))
        assert "hunter22" not in text
        text.encode()
        json.loads(text, parse_constant=lambda word: pytest.fail(word))
