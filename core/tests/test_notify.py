"""People are told once by each of their channels, and of a repeat where it may be one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from engines import Lab
from hopyard.errors import InvalidInput, TransientError
from hopyard.ledger.values import new_id
from hopyard.notify import alert, channels, notify, person
from hopyard.notify.tasks import deliver
from hopyard.redaction import register
from hopyard.settings import Settings
from hopyard.specs import Message

TOKEN = "token-4711-secret"
ADDRESS = f"https://ada.example/{TOKEN}"


class Post:
    """The channels' end: keeps what is sent, fails as told."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Message]] = []
        self.errors: list[BaseException] = []

    async def deliver(self, address: str, message: Message, *_: Any) -> None:
        self.sent.append((address, message))
        if self.errors:
            raise self.errors.pop(0)


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


async def delivery(lab: Lab) -> dict[str, Any]:
    (row,) = await lab.ledger.database.fetch("SELECT * FROM delivery")
    return {key: row[key] for key in ("state", "attempts", "error")}


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
    id_ = await notify("ada", "Drink", "Water", data={"n": 1})
    channel = next(iter(person("ada").channels))
    assert await deliver.function(id_, channel) == "delivered"
    assert await delivery(lab) == {"state": "delivered", "attempts": 1, "error": None}
    assert await deliver.function(id_, channel) == "delivered before"
    ((address, message),) = post.sent
    assert address == ADDRESS
    assert message == Message(id_, "ada", "Drink", "Water", {"n": 1}, repeat=False)


async def test_after_a_crash_in_between_it_is_marked_as_a_repeat(lab: Lab, post: Post) -> None:
    id_ = await notify("ada", "Drink", "Water")
    channel = next(iter(person("ada").channels))
    post.errors = [KeyboardInterrupt()]  # as a death: nothing more is written
    with pytest.raises(KeyboardInterrupt):
        await deliver.function(id_, channel)
    assert (await delivery(lab))["state"] == "sending"
    assert await deliver.function(id_, channel) == "delivered"
    assert [message.repeat for _, message in post.sent] == [False, True]
    assert (await delivery(lab))["attempts"] == 2


async def test_a_failure_is_recorded_without_secrets_and_raised(lab: Lab, post: Post) -> None:
    id_ = await notify("ada", "Drink", "Water")
    channel = next(iter(person("ada").channels))
    post.errors = [TransientError(f"{ADDRESS} is busy")]
    with pytest.raises(TransientError):
        await deliver.function(id_, channel)
    row = await delivery(lab)
    assert row["state"] == "failed"
    assert "is busy" in row["error"]
    assert TOKEN not in row["error"]
    assert await deliver.function(id_, channel) == "delivered"
    assert [message.repeat for _, message in post.sent] == [False, False]


async def test_what_is_gone_is_no_reason_to_try_again(lab: Lab, post: Post) -> None:
    with pytest.raises(InvalidInput, match="no notification"):
        await deliver.function(new_id(), "0:https://ada.example/***")
    id_ = await notify("ada", "Drink", "Water")
    with pytest.raises(InvalidInput, match="ada no longer has the channel 9:"):
        await deliver.function(id_, "9:gone")
    assert post.sent == []


async def test_alerts_reach_those_who_are_named(lab: Lab, post: Post) -> None:
    for _ in range(2):
        await alert("Full", "The disk is full", id="disk full")
    rows = await lab.ledger.database.fetch("SELECT person FROM notification")
    assert sorted(row["person"] for row in rows) == ["ada", "bob"]
