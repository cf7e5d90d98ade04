"""Whatever is typed, reading it ends in a rule that falls due later or in a ScheduleError."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hopyard import rules
from hopyard.errors import ScheduleError
from hopyard_ai.when import not_before, parse
from hypothesis import given
from hypothesis import strategies as st

VOCABULARY = """
every each other second third last first day days weekday weekend monday tuesdays fri and , at on in the of
month year week hour minutes seconds 0 1 2 8 15 24 25 99 1st 3rd 31st 32nd 10:15 9:75 24:00 am pm noon
midnight tomorrow today tonight yesterday next this until till starting from to between for times twice once a
an half quarter past december march 2026-12-24 2027-02-30 31.12. 24/12/2026 daily weekly monthly hourly
morning evening night not before but during remind me please call Bob from now ago - – o'clock 1.5 now
"""

moments = st.datetimes(
    min_value=datetime(2000, 1, 1),
    max_value=datetime(2090, 1, 1),
    timezones=st.just(UTC),
)
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"])
sentences = st.lists(st.sampled_from(VOCABULARY.split()), min_size=1, max_size=12).map(" ".join) | st.text(
    max_size=60
)


@given(sentences, moments, zones)
def test_parse_gives_a_future_rule_or_a_schedule_error(text: str, now: datetime, zone: str) -> None:
    try:
        request = parse(text, now=now, zone=zone)
    except ScheduleError:
        return
    due = rules.next_after(request.rule, now)
    assert due is not None
    assert due > now
    assert request.recurring == (request.rule.at is None)
    assert request.phrase
    assert request.title


@given(sentences, moments, zones)
def test_not_before_gives_a_future_moment_or_none(text: str, now: datetime, zone: str) -> None:
    try:
        held = not_before(f"check it but not before {text}", now, zone)
    except ScheduleError:
        return
    assert held is None or held > now


CLAUSES = {
    "check the disk but not before 14:02:10": "2026-11-25 14:02:10",
    "check the disk, not before 9am": None,
    "check the disk but not before 9": None,
    "do not run before 5pm": "2026-11-25 17:00:00",
    "don't do it before noon": "2026-11-25 12:00:00",
    "check it, but not during the next 10 minutes": "2026-11-25 10:10:00",
    "not within the next hour": "2026-11-25 11:00:00",
    "but not before tomorrow": "2026-11-26 00:00:00",
    "not before tomorrow at 9": "2026-11-26 09:00:00",
    "not before friday at 9:30 please": "2026-11-27 09:30:00",
    "no earlier than 18:00": "2026-11-25 18:00:00",
    "not before 2026-11-27 and not before 15:00": "2026-11-27 00:00:00",
    "it was not before long that he came": None,
    "check the disk": None,
}


@pytest.mark.parametrize(("text", "expected"), CLAUSES.items())
def test_clauses_that_hold_an_action_back_are_read(text: str, expected: str | None) -> None:
    held = not_before(text, datetime(2026, 11, 25, 10, 0, tzinfo=UTC), "UTC")
    assert (f"{held:%Y-%m-%d %H:%M:%S}" if held is not None else None) == expected
