"""What a rule means: when it falls due, and which rules are refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hopyard import rules
from hopyard.errors import ScheduleError
from hopyard.rules import between, describe, from_json, next_after, to_json, upcoming
from hopyard.specs import Rule

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def due(rule: Rule, after: str, n: int = 3) -> list[str]:
    return [moment.strftime("%Y-%m-%d %H:%M") for moment in upcoming(rule, utc(after), n)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "found none"),
        ({"every": 60, "cron": "@daily"}, "every and cron"),
        ({"every": 0.5}, "found 0.5"),
        ({"every": float("nan")}, "found nan"),
        ({"cron": "61 * * * *"}, "Bad minute"),
        ({"cron": "* * * *"}, "five fields"),
        ({"cron": "0 0 * * * *"}, "five fields"),
        ({"cron": "0 0 30 2 *"}, "Bad day-of-month"),
        ({"cron": "@daily", "zone": "Europe/Berln"}, "did you mean 'Europe/Berlin'"),
        ({"cron": "@daily", "zone": "../etc/passwd"}, "IANA"),
        ({"cron": "@daily", "zone": "Europe"}, "IANA"),
        ({"rrule": "BYDAY=MO"}, "FREQ="),
        ({"rrule": "FREQ=SECONDLY;INTERVAL=0"}, "INTERVAL=0"),
        ({"rrule": "FREQ=SECONDLY;INTERVAL=0.5"}, "INTERVAL=0.5"),
        ({"rrule": "FREQ=DAILY;FREQ=DAILY"}, "each part once"),
        ({"rrule": "FREQ=DAILY;COUNT=2;UNTIL=20300101", "anchor": NOW}, "not both"),
        ({"rrule": "FREQ=DAILY;COUNT=2"}, "needs an anchor"),
        ({"rrule": "FREQ=DAILY;BYHOUR=24"}, "BYHOUR=24"),
        ({"rrule": "FREQ=MONTHLY;BYMONTHDAY=0"}, "BYMONTHDAY=0"),
        ({"rrule": "FREQ=WEEKLY;BYDAY=2MO"}, "numbered weekdays"),
        ({"rrule": "FREQ=DAILY;UNTIL=20300231"}, "UNTIL=20300231"),
        ({"rrule": "FREQ=DAILY;DTSTART=20300101"}, "DTSTART=20300101"),
        ({"rrule": "FREQ=DAILY\nEXDATE:20300101"}, "found"),
        ({"rrule": "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"}, "never falls due"),
        ({"rrule": "FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=30"}, "never falls due"),
        ({"rrule": "FREQ=SECONDLY;INTERVAL=86400;BYHOUR=5"}, "never falls due"),
        ({"rrule": "FREQ=MONTHLY;BYSETPOS=" + ",".join(map(str, range(1, 33)))}, "at most 31"),
        ({"rrule": "FREQ=DAILY;BYMINUTE=" + ",".join(map(str, range(60))) + ";BYHOUR=1,2"}, "120 times"),
        ({"rrule": "FREQ=DAILY;UNTIL=20260101", "anchor": NOW}, "never falls due"),
        ({"rrule": "FREQ=DAILY;" + "BYHOUR=1," * 500}, "at most 1000"),
        ({"cron": "*/90 * * * *"}, "at most 60"),
        ({"cron": "0 */25 * * *"}, "at most 24"),
        ({"cron": "* " * 400}, "five fields"),
        ({"cron": "² * * * *"}, "cron expression"),
        ({"cron": 5}, "found 5, expected text"),
        ({"rrule": "FREQ=YEARLY;BYEASTER=0"}, "BYEASTER=0"),
        ({"every": "60"}, "found '60', expected an interval"),
        ({"every": True}, "found True"),
        ({"at": "2026-01-01"}, "expected a datetime"),
        ({"every": 60, "anchor": 5}, "expected a datetime"),
        ({"after": ""}, "not empty"),
        ({"after": "a\0b"}, "NUL"),
        ({"cron": "@daily", "zone": "\ud800"}, "lone surrogates"),
        ({"every": 60, "anchor": datetime(1, 1, 1, tzinfo=UTC)}, "from 1900"),
    ],
)
def test_what_is_no_rule_is_refused_with_what_was_expected(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ScheduleError, match=message):
        Rule(**given)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Pacific/Apia", "UTC"])
def test_moments_without_a_zone_are_wall_times_of_the_rules_zone(zone: str) -> None:
    wall = datetime(2026, 11, 22, 8, 30)
    moment = wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    assert next_after(Rule(at=wall, zone=zone), moment - timedelta(seconds=1)) == moment
    every = Rule(every=7200, anchor=wall, zone=zone)
    assert next_after(every, moment) == moment + timedelta(hours=2)
    assert Rule(at=wall).resolved(zone) == Rule(at=moment, zone=zone)


def test_a_rule_without_a_zone_gets_the_one_it_is_given_and_keeps_its_own() -> None:
    assert Rule(cron="0 8 * * *").resolved("Europe/Berlin") == Rule(cron="0 8 * * *", zone="Europe/Berlin")
    own = Rule(cron="0 8 * * *", zone="Asia/Tokyo")
    assert own.resolved("Europe/Berlin") is own


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ScheduleError, match="aware"):
        next_after(Rule(every=60), datetime(2026, 1, 1))


def test_intervals_are_counted_from_the_anchor_and_start_with_it() -> None:
    rule = Rule(every=5400, anchor=NOW)
    assert next_after(rule, NOW - timedelta(days=9)) == NOW
    assert next_after(rule, NOW) == NOW + timedelta(minutes=90)
    assert next_after(rule, NOW + timedelta(days=4000, seconds=1)) == NOW + timedelta(days=4000, minutes=90)


def test_intervals_with_fractions_do_not_drift() -> None:
    rule = Rule(every=1.1, anchor=NOW)
    assert next_after(rule, NOW + timedelta(seconds=11_000_000)) == NOW + timedelta(seconds=11_000_001.1)


def test_once_is_due_once_and_in_utc() -> None:
    rule = Rule(at=datetime.fromisoformat("2026-11-22T10:30:00+01:00"))
    assert upcoming(rule, NOW - timedelta(seconds=1)) == [NOW]
    assert next_after(rule, NOW) is None


def test_cron_is_read_in_its_zone_over_the_change_of_clocks() -> None:
    rule = Rule(cron="0 8 * * *", zone="Europe/Berlin")
    assert due(rule, "2026-10-24") == ["2026-10-24 06:00", "2026-10-25 07:00", "2026-10-26 07:00"]


@pytest.mark.parametrize("alias", ["@daily", "@DAILY", "0 0 * * *"])
def test_cron_aliases(alias: str) -> None:
    assert due(Rule(cron=alias), "2026-11-22 09:30", 1) == ["2026-11-23 00:00"]


def test_a_wall_time_in_the_gap_is_due_at_its_end_once() -> None:
    for rule in (
        Rule(cron="30 2 * * *", zone="Europe/Berlin"),
        Rule(cron="0,30 2 * * *", zone="Europe/Berlin"),
    ):
        days = [moment for moment in due(rule, "2026-03-29 00:00", 2) if moment.startswith("2026-03-29")]
        assert days == ["2026-03-29 01:00"]


def test_a_wall_time_that_occurs_twice_is_due_the_first_time() -> None:
    rule = Rule(cron="30 2 * * *", zone="Europe/Berlin")
    assert due(rule, "2026-10-24 12:00", 2) == ["2026-10-25 00:30", "2026-10-26 01:30"]
    assert due(rule, "2026-10-25 01:10", 1) == ["2026-10-26 01:30"]


def test_a_frequency_goes_on_through_both_passes_of_the_hour() -> None:
    rule = Rule(cron="*/30 * * * *", zone="Europe/Berlin")
    moments = upcoming(rule, utc("2026-10-24 23:00"), 10)
    assert moments == [utc("2026-10-24 23:30") + timedelta(minutes=30) * n for n in range(10)]
    hourly = Rule(rrule="FREQ=HOURLY", zone="Europe/Berlin")
    assert due(hourly, "2026-10-24 23:30") == ["2026-10-25 00:00", "2026-10-25 01:00", "2026-10-25 02:00"]


def test_rrule_keeps_its_wall_time_and_its_anchor() -> None:
    anchor = datetime.fromisoformat("2026-10-23T08:15:00+02:00")
    rule = Rule(rrule="RRULE:FREQ=DAILY", zone="Europe/Berlin", anchor=anchor)
    assert due(rule, "2026-01-01") == ["2026-10-23 06:15", "2026-10-24 06:15", "2026-10-25 07:15"]


def test_count_and_until_end_a_rule() -> None:
    count = Rule(rrule="FREQ=WEEKLY;BYDAY=MO,TH;COUNT=3", anchor=NOW)
    assert due(count, "2020-01-01", 9) == ["2026-11-23 09:30", "2026-11-26 09:30", "2026-11-30 09:30"]
    until = Rule(rrule="FREQ=DAILY;UNTIL=20261124", anchor=NOW, zone="Europe/Berlin")
    assert due(until, "2020-01-01", 9) == ["2026-11-22 09:30", "2026-11-23 09:30", "2026-11-24 09:30"]
    exact = Rule(rrule="FREQ=DAILY;UNTIL=20261123T093000Z", anchor=NOW)
    assert due(exact, "2020-01-01", 9) == ["2026-11-22 09:30", "2026-11-23 09:30"]


def test_count_counts_each_wall_time_once() -> None:
    anchor = datetime.fromisoformat("2026-10-25T01:00:00+02:00")
    rule = Rule(rrule="FREQ=HOURLY;COUNT=4", zone="Europe/Berlin", anchor=anchor)
    hours = ["2026-10-24 23:00", "2026-10-25 00:00", "2026-10-25 02:00", "2026-10-25 03:00"]
    assert due(rule, "2026-01-01", 9) == hours


def test_between_is_open_below_and_closed_above_and_bounded() -> None:
    rule = Rule(every=60, anchor=NOW)
    last = NOW + timedelta(minutes=3)
    assert between(rule, NOW, last, 10) == [NOW + timedelta(minutes=n) for n in (1, 2, 3)]
    assert between(rule, NOW, last, 2) == [NOW + timedelta(minutes=n) for n in (1, 2)]


def test_rules_beyond_the_calendar_end() -> None:
    late = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    for rule in (Rule(every=60), Rule(cron="@daily"), Rule(rrule="FREQ=DAILY")):
        assert next_after(rule, late) is None


@pytest.mark.parametrize(
    "rule",
    [
        Rule(every=90.0, anchor=NOW),
        Rule(cron="0 8 * * 1-5", zone="Europe/Berlin"),
        Rule(rrule="FREQ=DAILY", anchor=NOW),
        Rule(at=NOW),
    ],
)
def test_json_keeps_the_rule(rule: Rule) -> None:
    assert from_json(to_json(rule)) == rule


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"evry": 1}, "evry: unknown"),
        ({"every": "1"}, "every: found '1'"),
        ({"at": "tomorrow"}, "ISO 8601"),
        ({"at": 5}, "ISO 8601"),
        ({"cron": 5}, "expected text"),
    ],
)
def test_json_that_is_no_rule_is_refused(data: dict[str, object], message: str) -> None:
    with pytest.raises(ScheduleError, match=message):
        from_json(data)


BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Rule(every=120), "every 2 minutes"),
        (Rule(every=3600), "every hour"),
        (Rule(every=1.5), "every 1.5 seconds"),
        (Rule(at=NOW, zone=BERLIN), "once on 22 November 2026 at 10:30 Europe/Berlin"),
        (Rule(cron="0 8 * * 1-5", zone=BERLIN), "every weekday at 08:00 Europe/Berlin"),
        (Rule(cron="0 8,20 * * *", zone=BERLIN), "every day at 08:00 and 20:00 Europe/Berlin"),
        (Rule(cron="30 3 * * sun,7"), "every Sunday at 03:30 UTC"),
        (Rule(cron="0 9 * * MON,WED,FRI"), "every Monday, Wednesday and Friday at 09:00 UTC"),
        (Rule(cron="@hourly"), "every hour UTC"),
        (Rule(cron="*/15 * * * *"), "every 15 minutes UTC"),
        (Rule(cron="*/7 * * * *"), "cron */7 * * * * UTC"),
        (Rule(cron="5 4 1 * *"), "every month on the 1st at 04:05 UTC"),
        (Rule(cron="5 4 1 * 1"), "cron 5 4 1 * 1 UTC"),
        (Rule(cron="@yearly"), "every year on 1 January at 00:00 UTC"),
        (Rule(rrule="FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", anchor=NOW), "every weekday at 09:30 UTC"),
        (
            Rule(rrule="FREQ=WEEKLY;INTERVAL=2", anchor=NOW),
            "every 2 weeks on Sunday at 09:30 UTC, starting on 22 November 2026",
        ),
        (Rule(rrule="FREQ=DAILY;COUNT=3", anchor=NOW), "every day at 09:30 UTC, 3 times"),
        (Rule(rrule="FREQ=MONTHLY;BYMONTHDAY=-1", anchor=NOW), "every month on the last day at 09:30 UTC"),
        (Rule(rrule="FREQ=YEARLY", anchor=NOW), "every year on 22 November at 09:30 UTC"),
        (
            Rule(rrule="FREQ=HOURLY;INTERVAL=6;UNTIL=20261231T230000Z", anchor=NOW, zone=BERLIN),
            "every 6 hours, until 1 January 2027 at 00:00 Europe/Berlin",
        ),
        (
            Rule(rrule="FREQ=MONTHLY;BYDAY=2TU,4TU", anchor=NOW),
            "every month on the second and fourth Tuesday at 09:30 UTC",
        ),
        (
            Rule(rrule="FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", anchor=NOW),
            "every month on the last working day at 09:30 UTC",
        ),
        (
            Rule(rrule="FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU", anchor=NOW),
            "every year on the last Sunday of March at 09:30 UTC",
        ),
        (
            Rule(rrule="FREQ=DAILY;BYHOUR=8,18;BYMINUTE=0,30;BYSECOND=0;BYSETPOS=1,4", anchor=NOW),
            "every day at 08:00 and 18:30 UTC",
        ),
        (
            Rule(rrule="FREQ=DAILY;BYHOUR=9,10,11,12,13,14,15;BYMINUTE=0;BYSECOND=0", anchor=NOW),
            "every hour between 09:00 and 15:00 UTC",
        ),
        (
            Rule(rrule="FREQ=DAILY;BYMONTH=1,2,3,4,5,6,7,9,10,11,12", anchor=NOW),
            "every day at 09:30 UTC except in August",
        ),
        (Rule(rrule="FREQ=MONTHLY;BYDAY=1MO,2TU", anchor=NOW), "rrule FREQ=MONTHLY;BYDAY=1MO,2TU UTC"),
    ],
)
def test_description_for_people(rule: Rule, words: str) -> None:
    assert describe(rule) == words


def test_the_last_due_time_of_a_rule_that_ends_is_known() -> None:
    assert rules.last(Rule(at=NOW)) == NOW
    assert rules.last(Rule(rrule="FREQ=DAILY;COUNT=3", anchor=NOW)) == NOW + timedelta(days=2)
    until = Rule(rrule="FREQ=DAILY;UNTIL=20270101T000000Z", anchor=NOW)
    assert rules.last(until) == utc("2026-12-31 09:30")
    assert [rules.last(rule) for rule in (Rule(every=60), Rule(cron="@daily"), Rule(rrule="FREQ=DAILY"))] == [
        None
    ] * 3


def test_a_beginning_that_is_still_to_come_is_told() -> None:
    daily = Rule(rrule="FREQ=DAILY", anchor=utc("2026-12-01 08:00"))
    assert describe(daily, now=NOW) == "every day at 08:00 UTC, starting on 1 December 2026"
    assert describe(daily, now=utc("2026-11-30 09:00")) == "every day at 08:00 UTC"
    hourly = Rule(every=3600, anchor=utc("2026-11-23 08:00"))
    assert describe(hourly, now=NOW) == "every hour, starting on 23 November 2026 at 08:00 UTC"
