"""People: told by mail, their daily summary, and mails for a moment in their zone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hopyard import notify, portal
from hopyard.errors import InvalidInput, TransientError
from hopyard.testing import Hop
from hopyard_email import Email
from hopyard_email.notifier import recipient_of, subject_of
from hopyard_email.sending import moments
from hopyard_email.settings import Summary
from hopyard_email.summary import due_at, is_quiet, summarize
from mail_settings import settings

Make = Callable[..., Hop]
PEOPLE = {
    "people.ada": {"zone": "Europe/Berlin", "channels": ["mailto://ada@example.org"]},
    "people.bob": {"zone": "Asia/Kathmandu"},
}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes an installation whose mail goes into files."""
    with ExitStack() as stack:

        def made(**more: Any) -> Hop:
            given = settings(
                {"main": {"host": "mail.example.org", "sender": "alice@example.test"}},
                sandbox={"folder": str(tmp_path / "mail")},
                **more,
            )
            return stack.enter_context(Hop(Email, folder=tmp_path / "hopyard", settings=given | PEOPLE))

        yield made


def mails(tmp_path: Path) -> list[str]:
    return [path.read_text() for path in sorted((tmp_path / "mail").glob("*.eml"))]


def tell(hop: Hop, person: str, title: str, body: str = "x", id_: str | None = None) -> None:
    portal.run(notify(person, title, body, id=id_), within_loop=True)
    hop.drain()


def test_people_are_told_through_the_outbox(make: Make, tmp_path: Path) -> None:
    hop = make()
    tell(hop, "ada", "Rain\r\nBcc: eve@example.org", "Take a coat.", "rain")
    tell(hop, "ada", "Rain", "Take a coat.", "rain")
    (mail,) = mails(tmp_path)
    assert "To: ada@example.org\n" in mail
    assert "Subject: Rain Bcc: eve@example.org\n" in mail
    assert "Take a coat." in mail
    (told,) = hop.notifications
    assert [one["state"] for one in told["deliveries"]] == ["delivered"]
    assert hop.fetch("SELECT person, state FROM email_letter") == [{"person": "ada", "state": "sent"}]


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("mailto://ada@example.org", "ada@example.org"),
        ("MAILTO://ada%2Bx@example.org/", "ada+x@example.org"),
        ("mailto://ada:secret@example.org", None),
        ("mailto://ada@example.org?smtp=x", None),
        ("mailto://example.org", None),
    ],
)
def test_a_channel_names_an_address_and_nothing_else(address: str, found: str | None) -> None:
    if found is not None:
        assert recipient_of(address) == found
        return
    with pytest.raises(InvalidInput) as error:
        recipient_of(address)
    assert "secret" not in str(error.value)


def test_any_title_is_a_subject() -> None:
    assert subject_of("a\0b\x85c\t=?utf-8?q?=0A?=") == "a b c = ?utf-8?q?=0A?="
    assert subject_of(" \n ") == "Notification"


def test_the_channel_can_be_left_to_apprise(make: Make) -> None:
    assert "mailto" not in make(channel=False).hopyard.plugins.notifiers


# --- the daily summary


def run_summary(hop: Hop, now: datetime) -> Any:
    """Run the summary at a moment."""
    return portal.run(summarize(None, now), within_loop=True)  # type: ignore[arg-type]


EIGHT = datetime(2027, 3, 1, 8, tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC)


def told_before(hop: Hop, now: datetime) -> None:
    """Have all that people were told have been told two hours before a moment."""
    at = round((now - timedelta(hours=2)).timestamp() * 1_000_000)
    hop.fetch(f"UPDATE notification SET created = {at} RETURNING id")


def test_each_person_gets_one_summary_a_day_at_their_eight_o_clock(make: Make, tmp_path: Path) -> None:
    hop = make(summary={"people": ["*"]}, addresses={"bob": "Bob <bob@example.org>"})
    tell(hop, "ada", "Disk", "It is full.")
    tell(hop, "bob", "Rain", "Take a coat.")
    before = len(mails(tmp_path))  # ada was told by mail as well
    assert before == 1
    told_before(hop, EIGHT)
    assert run_summary(hop, EIGHT - timedelta(minutes=1)).sent == ["bob"]  # in Kathmandu it is past noon
    assert run_summary(hop, EIGHT).sent == ["ada"]
    assert run_summary(hop, EIGHT + timedelta(hours=1)).sent == []
    hop.fetch("UPDATE email_letter SET due = 0 RETURNING id")  # the moments above are to come
    hop.run("email.process_email_queue")
    text = "".join(mails(tmp_path))
    assert len(mails(tmp_path)) == before + 2
    assert "Subject: Your day: 1 message" in text
    assert "It is full." in text
    # The next day nothing new was told, so there is nothing to say.
    quiet = run_summary(hop, EIGHT + timedelta(days=1))
    assert (quiet.sent, quiet.nothing_to_say) == ([], ["ada", "bob"])


def test_who_has_no_address_is_told_of(make: Make) -> None:
    hop = make(summary={"people": ["bob"]})
    tell(hop, "bob", "Rain")
    told_before(hop, EIGHT)
    assert "bob has no mail address" in run_summary(hop, EIGHT).problems[0]


def test_a_summary_that_is_cut_short_is_sent_once(make: Make, tmp_path: Path) -> None:
    hop = make(summary={"people": ["ada"], "at": "00:00"})
    tell(hop, "ada", "Disk")
    before = len(mails(tmp_path))
    for _ in range(2):
        assert hop.run("email.send_daily_email_summary").ok
    assert len(mails(tmp_path)) == before + 1


def test_it_is_looked_for_every_quarter_of_an_hour(make: Make) -> None:
    hop = make(summary={"people": ["*"]})
    due = hop.due_between("email.send_daily_email_summary", datetime(2027, 3, 1, 8), datetime(2027, 3, 1, 9))
    assert [at.minute for at in due] == [15, 30, 45, 0]


def test_quiet_hours_move_a_summary_to_their_end() -> None:
    summary = Summary(people=("ada",), at="08:00", quiet={"ada": "22:00-09:30", "bob": "12:00-13:00"})
    berlin = ZoneInfo("Europe/Berlin")
    day = datetime(2027, 3, 1).date()
    assert due_at(day, berlin, summary, "ada") == datetime(2027, 3, 1, 8, 30, tzinfo=UTC)
    assert due_at(day, berlin, summary, "bob") == datetime(2027, 3, 1, 7, 0, tzinfo=UTC)
    hours = [is_quiet(datetime(2027, 3, 1, hour).time(), summary, "ada") for hour in (21, 22, 0, 9, 10)]
    assert hours == [False, True, True, True, False]


# --- mails for a moment


def test_a_moment_is_in_the_recipients_zone(make: Make, tmp_path: Path) -> None:
    hop = make()
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
    at = f"{tomorrow}T08:00:00"
    outcome = hop.run(
        "email.send_scheduled_email", to=["bob@example.org"], at=at, subject="x", text="x", person="bob"
    )
    due = outcome.result().due
    assert due.astimezone(ZoneInfo("Asia/Kathmandu")).isoformat().startswith(f"{tomorrow}T08:00:00")
    assert mails(tmp_path) == []
    # Its moment comes: the wake-up is by the schedule, or sooner.
    hop.fetch("UPDATE email_letter SET due = 0 RETURNING id")
    assert hop.run("email.process_email_queue").result().sent == 1
    assert f"Date: {due:%a, %d %b %Y %H:%M}" in mails(tmp_path)[0]


@pytest.mark.parametrize(
    ("at", "zone", "utc"),
    [
        (
            "2032-03-28T02:30",
            "Europe/Berlin",
            "2032-03-28T01:30",
        ),  # left out: as much later as the clocks jump
        ("2032-10-31T02:30", "Europe/Berlin", "2032-10-31T00:30"),  # shown twice: the first
        ("2032-07-01T08:00", "Asia/Kathmandu", "2032-07-01T02:15"),
        ("2032-07-01T08:00+00:00", "Asia/Kathmandu", "2032-07-01T08:00"),
    ],
)
def test_odd_moments(make: Make, at: str, zone: str, utc: str) -> None:
    make()
    due, _ = moments(datetime.fromisoformat(at), None, zone, None)
    assert due == datetime.fromisoformat(utc).replace(tzinfo=UTC)


def test_moments_that_make_no_sense_are_refused(make: Make) -> None:
    make()
    now = datetime.now(UTC)
    for at, last, zone, reason in (
        (now - timedelta(days=2), None, None, "more than a day ago"),
        (now, now - timedelta(hours=1), None, "is before"),
        (now, None, "Europe/Atlantis", "zone"),
    ):
        with pytest.raises(InvalidInput, match=reason):
            moments(at, last, zone, None)


def test_a_mail_that_comes_too_late_is_not_sent(make: Make, tmp_path: Path) -> None:
    hop = make()
    now = datetime.now(UTC)
    outcome = hop.run(
        "email.send_scheduled_email",
        to=["bob@example.org"],
        at=(now + timedelta(minutes=10)).isoformat(),
        not_after=(now + timedelta(minutes=20)).isoformat(),
        subject="x",
        text="x",
    )
    assert outcome.ok
    hop.fetch("UPDATE email_letter SET due = 0, expires = 1 RETURNING id")
    hop.run("email.process_email_queue")
    assert mails(tmp_path) == []
    assert hop.fetch("SELECT state, reply FROM email_letter") == [
        {"state": "failed", "reply": "its time was over"}
    ]


def test_a_job_that_fails_behind_the_outbox_puts_its_mail_in_once(make: Make, tmp_path: Path) -> None:
    """It fails after the outbox has the mail, and before the job is over: its next attempt finds it there."""
    hop = make()
    from hopyard_email import sending

    whole, calls = sending.wake, []

    async def dies(due: datetime | None = None) -> None:
        calls.append(due)
        if len(calls) == 1:
            raise TransientError("the broker is gone")
        await whole(due)

    sending.wake = dies  # type: ignore[assignment]
    try:
        outcome = hop.run("email.send", to=["bob@example.org"], subject="x", text="x")
    finally:
        sending.wake = whole
    assert (outcome.state, outcome.attempt, outcome.result().new) == ("succeeded", 2, False)
    assert len(mails(tmp_path)) == 1


def test_the_same_key_sends_once(make: Make, tmp_path: Path) -> None:
    hop = make()
    for _ in range(2):
        assert hop.run("email.send", to=["bob@example.org"], subject="x", text="x", key="order 7").ok
    assert len(mails(tmp_path)) == 1
    other = hop.run("email.send", to=["bob@example.org"], subject="y", text="x", key="order 7")
    assert "another mail was sent with the same key" in str(other.error)
