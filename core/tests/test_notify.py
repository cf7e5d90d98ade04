"""People are told once by each of their channels, and of a repeat where it may be one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from engines import Lab
from hopyard.errors import TransientError
from hopyard.ledger import details, effects, workers
from hopyard.ledger.values import derived_id, new_id
from hopyard.notifications import alert, channels, notify, person
from hopyard.notifications.tasks import deliver
from hopyard.redaction import register
from hopyard.settings import Settings
from hopyard.specs import Message, State

TOKEN = "token-4711-secret"
ADDRESS = f"https://ada.example/{TOKEN}"


class Post:
    """The channels' end: keeps what is sent, fails as told."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Message]] = []
        self.errors: dict[str, list[Exception]] = {}

    async def deliver(self, address: str, message: Message, *_: Any) -> None:
        self.sent.append((address, message))
        if self.errors.get(address):
            raise self.errors[address].pop(0)

    def to(self, address: str) -> list[Message]:
        """Return what was sent to an address."""
        return [message for where, message in self.sent if where == address]


@pytest.fixture
def post(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Post:
    made = Post()
    monkeypatch.setattr(channels, "deliver", made.deliver)
    people = {"ada": {"channels": [ADDRESS, "mailto://ada:pw@example.org"]}, "bob": {"zone": "Asia/Tokyo"}}
    said = Settings.model_validate({"people": people, "alerts": {"to": ["ada", "bob"]}})
    changed = {"people": said.people, "alerts": said.alerts}
    lab.hopyard.settings = lab.hopyard.settings.model_copy(update=changed)
    register(TOKEN)
    return made


def delivery_job(notification: str) -> str:
    """Return the job that delivers over ada's first channel."""
    return derived_id("delivery", notification, next(iter(person("ada").channels)))


async def delivery(lab: Lab) -> dict[str, Any]:
    """Return what the log says of ada's first channel."""
    (row,) = await lab.ledger.database.fetch(
        "SELECT * FROM delivery WHERE channel = $1", next(iter(person("ada").channels))
    )
    return {key: row[key] for key in ("state", "attempts", "error")}


async def died(lab: Lab, job: str, *, sent: bool) -> None:
    """Let a worker die within a delivery: before it knew how it went, or just after it."""
    ledger = lab.ledger
    worker = await ledger.worker(queue="hopyard", lease=5)
    (claim,) = await ledger.claim(worker, job)
    fence = (worker, claim.claim)
    await effects.begin(ledger.database, job, fence, "delivery", {})
    if sent:
        await effects.end(ledger.database, job, fence, "delivery", "done", "delivered")
    await ledger.later("worker", "beat", 600)
    assert len((await workers.rescue(ledger.database)).again) == 1


async def test_one_notification_and_one_job_per_channel(lab: Lab, post: Post) -> None:
    id_ = await notify("ada", "Drink", "Water", data={"n": 1})
    (stored,) = await lab.ledger.database.fetch("SELECT * FROM notification")
    assert (str(stored["id"]), stored["person"], stored["title"]) == (id_, "ada", "Drink")
    jobs = await lab.ledger.database.fetch("SELECT task, body FROM job_live")
    bodies = [json.loads(job["body"])[1] for job in jobs]
    assert {job["task"] for job in jobs} == {"hopyard.deliver"}
    assert {body["channel"] for body in bodies} == set(person("ada").channels)
    assert {body["notification"] for body in bodies} == {id_}
    assert not any(TOKEN in job["body"] for job in jobs), "addresses are secrets"


async def test_the_same_id_tells_once(lab: Lab, post: Post) -> None:
    id_ = new_id()
    for _ in range(2):
        assert await notify("ada", "Drink", "Water", id=id_) == id_
    assert await lab.ledger.count("notification") == 1
    assert await lab.ledger.count("job_live") == 2


async def test_who_has_no_channel_is_only_remembered(lab: Lab, post: Post) -> None:
    for who in ("bob", "nobody"):
        await notify(who, "Drink", "Water")
    assert await lab.ledger.count("notification") == 2
    assert await lab.ledger.count("job_live") == 0
    assert (person("bob").zone, person("nobody").zone) == ("Asia/Tokyo", "UTC")


async def test_a_message_is_delivered_once(lab: Lab, post: Post) -> None:
    (await lab.worker()).fetch()
    id_ = await notify("ada", "Drink", "Water", data={"n": 1})
    job = delivery_job(id_)
    assert json.loads((await lab.ends(job))["result"]) == "delivered"
    assert await delivery(lab) == {"state": "delivered", "attempts": 1, "error": None}
    assert post.to(ADDRESS) == [Message(id_, "ada", "Drink", "Water", {"n": 1}, repeat=False)]
    (effect,) = (await details.job(lab.ledger.database, job))["effects"]
    assert (effect["name"], effect["state"], effect["outcome"]) == ("delivery", "done", "delivered")


async def test_a_delivery_that_nobody_wrote_down_is_not_repeated(lab: Lab, post: Post) -> None:
    """A worker that died after the effect's outcome: the next one only writes the log."""
    id_ = await notify("ada", "Drink", "Water")
    await died(lab, delivery_job(id_), sent=True)
    (await lab.worker()).fetch()
    await lab.ends(delivery_job(id_))
    assert post.to(ADDRESS) == []
    assert (await delivery(lab))["state"] == "delivered"


async def test_after_a_crash_in_between_it_is_marked_as_a_repeat(lab: Lab, post: Post) -> None:
    id_ = await notify("ada", "Drink", "Water")
    await died(lab, delivery_job(id_), sent=False)
    (await lab.worker()).fetch()
    await lab.ends(delivery_job(id_))
    assert [message.repeat for message in post.to(ADDRESS)] == [True]
    assert (await delivery(lab))["state"] == "delivered"


async def test_a_failure_is_recorded_without_secrets_and_tried_again(lab: Lab, post: Post) -> None:
    post.errors = {ADDRESS: [TransientError(f"{ADDRESS} is busy")]}
    (await lab.worker()).fetch()
    id_ = await notify("ada", "Drink", "Water")
    await lab.reaches(delivery_job(id_), State.RETRYING)
    row = await delivery(lab)
    assert (row["state"], row["attempts"]) == ("failed", 1)
    assert "is busy" in row["error"]
    assert TOKEN not in row["error"]
    await lab.ledger.later("job_live", "eta", 3600)
    await lab.ends(delivery_job(id_))
    assert [message.repeat for message in post.to(ADDRESS)] == [False, False]
    assert await delivery(lab) == {"state": "delivered", "attempts": 2, "error": None}


async def test_what_is_gone_is_no_reason_to_try_again(lab: Lab, post: Post) -> None:
    (await lab.worker()).fetch()
    id_ = await notify("bob", "Drink", "Water")  # has no channel at all
    for notification, told in ((new_id(), "no notification"), (id_, "bob no longer has the channel 9:")):
        handle = await deliver.submit(notification, "9:gone")
        row = await lab.ends(handle.id, State.DEAD)
        assert told in json.loads(row["error"])["message"]
    assert post.sent == []


async def test_alerts_reach_those_who_are_named(lab: Lab, post: Post) -> None:
    for _ in range(2):
        await alert("Full", "The disk is full", id="disk full")
    rows = await lab.ledger.database.fetch("SELECT person FROM notification")
    assert sorted(row["person"] for row in rows) == ["ada", "bob"]
