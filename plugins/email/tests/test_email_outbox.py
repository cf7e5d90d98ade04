"""The outbox on both databases: what is stored, who sends it, and that nobody else does meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hopyard import storage
from hopyard.errors import InvalidInput
from hopyard_email import EmailSettings, Mail
from hopyard_email.outbox import claims, cleaning, letters, outcomes, slots, suppression, trouble
from hopyard_email.outbox.claims import Claimed
from hopyard_email.outbox.outcomes import Outcome
from servers import fresh_database
from sites import Site, site_in

SETTINGS = EmailSettings(
    accounts={"main": {"host": "mail.example.org", "sender": "alice@example.org"}},
    domain_limits={"slow.example": "20/100s"},
)
LEASE = 30.0


@pytest.fixture(params=["sqlite", "postgresql"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    """An installation with an empty outbox."""
    url = f"sqlite:///{tmp_path / 'hopyard.db'}"
    if request.param == "postgresql":
        url = fresh_database(request.getfixturevalue("postgres_url"))
    allow = '[plugins]\nallow = ["email"]\n'
    with site_in(tmp_path, broker="memory://localhost/", database=url, extra=allow) as site:
        await site.hopyard.upgrade()
        yield site
        await site.hopyard.close()


async def put(*to: str, **more: Any) -> list[str]:
    """Put a mail into the outbox; return its letters."""
    mail = Mail(to=[*to], subject="Hello", text="Hello!", **more)
    return (await letters.enqueue(mail, SETTINGS, id_=storage.new_id())).letters


async def sender() -> str:
    id_ = storage.new_id()
    await claims.register(id_, storage.new_id())
    return id_


async def claim(by: str, most: int = 20, full: tuple[str, ...] = ()) -> list[Claimed]:
    return (await claims.claim(by, SETTINGS, accounts=["main"], full=full, most=most)).letters


async def state(letter: str) -> str:
    return (await letters.find(letter)).state


async def whats(letter: str) -> list[str]:
    return [one.what for one in await letters.timeline(letter)]


async def stand_still(by: str) -> None:
    """Have a sender look as if it had given no sign for a minute."""
    words = storage.sql()
    await storage.execute(
        f"UPDATE email_sender SET beat = {words.minus(words.clock, '60')} WHERE id = $1", by
    )


async def test_the_same_mail_is_stored_once(ledger: Site) -> None:
    mail, id_ = (
        Mail(to=["ada@example.org", "Ada <ADA@example.org>"], subject="Hi", text="x"),
        storage.new_id(),
    )
    first = await letters.enqueue(mail, SETTINGS, id_=id_)
    again = await letters.enqueue(mail, SETTINGS, id_=id_)
    assert (first.new, again.new, first.letters == again.letters, len(first.letters)) == (
        True,
        False,
        True,
        1,
    )
    with pytest.raises(InvalidInput, match="another mail was sent with the same key"):
        await letters.enqueue(mail.model_copy(update={"text": "y"}), SETTINGS, id_=id_)
    letter = await letters.find(first.letters[0][-12:])
    assert id_ not in letter.message_id
    assert id_ not in letter.id  # nobody who knows the key can quote the mail's ids
    assert await whats(letter.id) == ["queued"]
    assert letter.message_id.encode() in (await letters.content(id_) or b"")


async def test_many_senders_share_what_waits(ledger: Site) -> None:
    for n in range(40):
        await put(f"ada{n}@example.org")
    senders = [await sender() for _ in range(4)]
    taken = await asyncio.gather(*(claim(one, 10) for one in senders))
    ids = [letter.id for batch in taken for letter in batch]
    assert len(ids) == len(set(ids))
    rest = await claim(senders[0], 100)
    assert len(ids) + len(rest) == 40


async def test_a_sender_that_was_given_up_begins_nothing(ledger: Site) -> None:
    (letter,) = await put("ada@example.org")
    old, new = await sender(), await sender()
    (held,) = await claim(old)
    assert await claim(new) == []
    await stand_still(old)
    assert await claims.take_back(LEASE) == (1, 0)
    assert not await claims.begin(old, letter)
    assert not await claims.beat(old)
    (mine,) = await claim(new)
    assert not await claims.begin(old, letter)
    assert await claims.begin(new, letter)
    assert await outcomes.record(old, held, Outcome("sent", "250 OK"), SETTINGS) == "lost"
    assert await state(letter) == "sending"
    assert await outcomes.record(new, mine, Outcome("sent", "250 OK"), SETTINGS) == "sent"
    assert await claims.take_back(LEASE) == (0, 0)


async def test_what_a_dead_sender_was_sending_is_unknown_until_somebody_knows(ledger: Site) -> None:
    first, second, third = [(await put(f"{name}@example.org"))[0] for name in ("a", "b", "c")]
    dead = await sender()
    held = {one.id: one for one in await claim(dead)}
    for letter in (first, second, third):
        assert await claims.begin(dead, letter)
    await stand_still(dead)
    assert await claims.take_back(LEASE) == (0, 3)
    assert [await state(one) for one in (first, second, third)] == ["unknown"] * 3
    # It lived after all: what it has to say is better than a guess.
    assert await outcomes.record(dead, held[first], Outcome("sent", "250 OK"), SETTINGS) == "sent"
    assert await letters.resolve(second, sent=True, settings=SETTINGS)
    assert await letters.resolve(third, sent=False, settings=SETTINGS)
    assert not await letters.resolve(first, sent=False, settings=SETTINGS)
    assert [await state(one) for one in (first, second, third)] == ["sent", "sent", "queued"]
    assert await whats(third) == ["queued", "unknown", "queued"]
    # By now it is somebody else's to say.
    assert await outcomes.record(dead, held[third], Outcome("sent", "250 OK"), SETTINGS) == "lost"


async def test_a_sender_of_before_the_machine_started_anew_is_dead(ledger: Site) -> None:
    await put("ada@example.org")
    old = await sender()
    await claim(old)
    words = storage.sql()
    await storage.execute(f"UPDATE email_sender SET beat = {words.plus(words.clock, '86400')}")
    assert await claims.take_back(LEASE) == (1, 0)


async def test_what_is_put_off_comes_again_later_each_time_until_its_time_is_over(ledger: Site) -> None:
    (letter,) = await put("ada@example.org")
    mine = await sender()
    pauses = []
    for attempt in (1, 2):
        (held,) = await claim(mine)
        assert (
            await outcomes.record(mine, held, Outcome("deferred", "451 later", "4.2.1"), SETTINGS) == "queued"
        )
        found = await letters.find(letter)
        assert (found.attempts, found.status) == (attempt, "4.2.1")
        pauses.append((found.due - storage.utcnow()).total_seconds())
        assert await claim(mine) == []
        await storage.execute(f"UPDATE email_letter SET due = {storage.sql().now}")
    assert 50 < pauses[0] < 70
    assert 100 < pauses[1] < 135
    (held,) = await claim(mine)
    await storage.execute(f"UPDATE email_letter SET expires = {storage.sql().now}")
    assert await outcomes.record(mine, held, Outcome("deferred", "451 later"), SETTINGS) == "failed"
    (other,) = await put("bob@example.org")
    await storage.execute(
        f"UPDATE email_letter SET expires = {storage.sql().minus(storage.sql().now, '1')} WHERE id = $1",
        other,
    )
    assert await outcomes.expire() == 1
    assert await whats(other) == ["queued", "failed"]


async def test_a_letter_that_was_not_judged_costs_no_attempt(ledger: Site) -> None:
    (letter,) = await put("ada@example.org")
    mine = await sender()
    (held,) = await claim(mine)
    await outcomes.record(mine, held, Outcome("returned", "no connection"), SETTINGS)
    found = await letters.find(letter)
    assert (found.state, found.attempts) == ("queued", 0)
    (again,) = await claim(mine)
    await claims.sign_off(mine)
    assert await state(again.id) == "queued"


async def test_addresses_that_do_not_exist_get_no_more_mail_and_full_ones_do(ledger: Site) -> None:
    gone, full = (await put("gone@example.org"))[0], (await put("full@example.org"))[0]
    (waiting,) = await put("gone@example.org")
    mine = await sender()
    held = {one.id: one for one in await claim(mine, 2)}
    await outcomes.record(mine, held[gone], Outcome("failed", "550 no such user", "5.1.1", True), SETTINGS)
    await outcomes.record(mine, held[full], Outcome("failed", "552 full", "5.2.2", True), SETTINGS)
    assert [one["address"] for one in await suppression.suppressed()] == ["gone@example.org"]
    assert await state(waiting) == "suppressed"
    (later,) = await put("Gone@Example.org")
    assert await state(later) == "suppressed"
    assert "no such user" in (await letters.timeline(later))[0].detail
    assert await suppression.unsuppress("gone@example.org")
    assert not await suppression.unsuppress("gone@example.org")
    assert await state((await put("gone@example.org"))[0]) == "queued"


async def test_an_address_that_is_suppressed_meanwhile_gets_nothing(ledger: Site) -> None:
    (letter,) = await put("ada@example.org")
    mine = await sender()
    await claim(mine)
    assert await suppression.suppress("ada@example.org", "unsubscribed")
    assert not await suppression.suppress("ada@example.org", "again")
    assert not await claims.begin(mine, letter)
    await claims.sign_off(mine)
    assert await claim(await sender()) == []
    assert await state(letter) == "suppressed"


async def test_a_limit_counts_until_a_window_after_the_answer(ledger: Site) -> None:
    """20 in 100 s are 2 in any 10 s: what is on its way counts, and what was answered less than 10 s ago."""
    for n in range(4):
        await put(f"ada{n}@slow.example")
    await put("bob@example.org")
    mine, other = await sender(), await sender()
    taken = await claims.claim(mine, SETTINGS, accounts=["main"], full=[], most=20)
    assert [one.recipient for one in taken.letters] == [
        "ada0@slow.example",
        "ada1@slow.example",
        "bob@example.org",
    ]
    assert [*taken.full] == ["domain:slow.example"]
    assert await claim(other) == []
    for letter in taken.letters:
        await outcomes.record(mine, letter, Outcome("sent", "250 OK"), SETTINGS)
    assert await claim(other) == []
    words = storage.sql()
    await storage.execute(f"UPDATE email_slot SET expires = {words.minus('expires', '9.5')}")
    assert await claim(other) == []
    await storage.execute(f"UPDATE email_slot SET expires = {words.minus('expires', '1')}")
    assert len(await claim(other)) == 2
    # A dead sender's slots end a window after it was given up.
    await stand_still(other)
    await claims.take_back(LEASE)
    assert await claim(mine) == []
    rows = await storage.fetch("SELECT count(*) AS n FROM email_slot WHERE expires IS NULL")
    assert rows[0]["n"] == 0


async def test_senders_at_the_same_time_keep_the_limit(ledger: Site) -> None:
    for n in range(30):
        await put(f"ada{n}@slow.example")
    senders = [await sender() for _ in range(5)]
    taken = await asyncio.gather(*(claim(one) for one in senders))
    assert sum(map(len, taken)) == 2


async def test_only_what_waits_can_be_cancelled(ledger: Site) -> None:
    first, second = (await put("a@example.org"))[0], (await put("b@example.org"))[0]
    mine = await sender()
    await claim(mine, 1)
    assert not await letters.cancel(first)
    assert await letters.cancel(second)
    assert await whats(second) == ["queued", "cancelled"]
    with pytest.raises(InvalidInput, match="no letter"):
        await letters.find("ffffffff")


async def test_what_is_due_later_waits(ledger: Site) -> None:
    mail, due = Mail(to=["ada@example.org"], subject="x", text="x"), storage.utcnow() + timedelta(hours=1)
    await letters.enqueue(mail, SETTINGS, id_=storage.new_id(), due=due)
    assert await claim(await sender()) == []
    found = await claims.next_due(["main"])
    assert found is not None
    assert abs(found - due) < timedelta(milliseconds=1)


async def test_an_account_with_trouble_rests_longer_each_time(ledger: Site) -> None:
    until = []
    for _ in range(3):
        await trouble.note_trouble("main", "it does not answer")
        until.append((await trouble.resting(["main"]))["main"] - datetime.now(UTC))
    assert until[0] < until[1] < until[2]
    assert (await trouble.troubled())["main"]["failures"] == 3
    await trouble.note_well("main")
    assert await trouble.troubled() == {}


async def test_old_contents_go_first_and_what_is_open_stays(ledger: Site) -> None:
    mine = await sender()
    (done,) = await put("a@example.org")
    (held,) = await claim(mine)
    await outcomes.record(mine, held, Outcome("sent", "250 OK"), SETTINGS)
    (waiting,) = await put("b@example.org")
    words = storage.sql()
    for days, left in ((8, 2), (91, 1)):
        old = words.minus(words.now, str(days * 86_400))
        await storage.execute(f"UPDATE email_content SET created = {old}")
        await storage.execute(f"UPDATE email_letter SET updated = {old}")
        await cleaning.remove_old(SETTINGS)
        assert len(await letters.listed()) == left
    with pytest.raises(InvalidInput):
        await letters.find(done)
    assert await letters.timeline(done) == []
    assert await letters.content((await letters.find(waiting)).mail) is not None
    rows = await storage.fetch("SELECT count(*) AS n FROM email_content")
    assert rows[0]["n"] == 1


async def test_slots_of_letters_without_a_limit_cost_nothing(ledger: Site) -> None:
    await put("ada@example.org")
    await claim(await sender())
    async with storage.transaction() as tx:
        await slots.answered(tx, [])
        assert not await tx.fetch("SELECT 1 AS yes FROM email_slot")
