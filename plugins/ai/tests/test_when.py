"""Plain-English times: what is understood, what is refused, and what is left as the instruction."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hopyard import rules
from hopyard.errors import ScheduleError
from hopyard_ai.when import Request, parse

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 25, 10, 0, tzinfo=BERLIN)  # a Wednesday


def ask(text: str, now: datetime = NOW, zone: str = "Europe/Berlin") -> Request:
    return parse(text, now=now, zone=zone)


def due(request: Request, n: int, now: datetime = NOW, zone: ZoneInfo = BERLIN) -> list[str]:
    """The next `n` due times as local text, by the scheduler's own arithmetic."""
    return [f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}" for moment in rules.upcoming(request.rule, now, n)]


ONCE = {
    "in 20 minutes call Bob": "2026-11-25 10:20:00",
    "in 5 s call Bob": "2026-11-25 10:00:05",
    "in an hour and a half call Bob": "2026-11-25 11:30:00",
    "in half an hour call Bob": "2026-11-25 10:30:00",
    "in two and a half hours call Bob": "2026-11-25 12:30:00",
    "in 2 hours and 15 minutes call Bob": "2026-11-25 12:15:00",
    "in a couple of hours call Bob": "2026-11-25 12:00:00",
    "in 0.5 hours call Bob": "2026-11-25 10:30:00",
    "in a quarter of an hour call Bob": "2026-11-25 10:15:00",
    "thirty minutes from now call Bob": "2026-11-25 10:30:00",
    "in 3 days call Bob": "2026-11-28 10:00:00",
    "in two weeks at 8:15 call Bob": "2026-12-09 08:15:00",
    "in 2 months call Bob": "2027-01-25 10:00:00",
    "tomorrow at 9 call Bob": "2026-11-26 09:00:00",
    "tomorrow call Bob": "2026-11-26 09:00:00",
    "tomorrow morning call Bob": "2026-11-26 08:00:00",
    "tomorrow evening at 7 call Bob": "2026-11-26 19:00:00",
    "the day after tomorrow at 7:15 call Bob": "2026-11-27 07:15:00",
    "today at 17:30 call Bob": "2026-11-25 17:30:00",
    "today call Bob": "2026-11-25 11:00:00",
    "tonight call Bob": "2026-11-25 20:00:00",
    "tonight at 9 call Bob": "2026-11-25 21:00:00",
    "this evening at 8 call Bob": "2026-11-25 20:00:00",
    "at 5pm call Bob": "2026-11-25 17:00:00",
    "at 5 p.m. call Bob": "2026-11-25 17:00:00",
    "at 12am call Bob": "2026-11-26 00:00:00",
    "at 8 call Bob": "2026-11-26 08:00:00",
    "at 11 call Bob": "2026-11-25 11:00:00",
    "at half past eight in the evening call Bob": "2026-11-25 20:30:00",
    "tomorrow at quarter to nine call Bob": "2026-11-26 08:45:00",
    "at noon call Bob": "2026-11-25 12:00:00",
    "at midnight call Bob": "2026-11-26 00:00:00",
    "at 14:02:10 call Bob": "2026-11-25 14:02:10",
    "on friday at noon call Bob": "2026-11-27 12:00:00",
    "on wednesday at 11:00 call Bob": "2026-11-25 11:00:00",
    "on wednesday at 9:00 call Bob": "2026-12-02 09:00:00",
    "next monday call Bob": "2026-11-30 09:00:00",
    "next wednesday at 12 call Bob": "2026-12-02 12:00:00",
    "next week on tuesday at 9 call Bob": "2026-12-01 09:00:00",
    "next weekend call Bob": "2026-12-05 09:00:00",
    "on 2026-12-24 at 18:00 call Bob": "2026-12-24 18:00:00",
    "on 24 December at 6pm call Bob": "2026-12-24 18:00:00",
    "on December 24th call Bob": "2026-12-24 09:00:00",
    "on the 3rd of March at 14:30 call Bob": "2027-03-03 14:30:00",
    "on January 5th, 2028 at 9 call Bob": "2028-01-05 09:00:00",
    "on 24.12. at 18:00 call Bob": "2026-12-24 18:00:00",
    "on 24.12.2027 at 18:00 call Bob": "2027-12-24 18:00:00",
    "on 12/24/2026 at 18:00 call Bob": "2026-12-24 18:00:00",
    "on friday, 27 November at 8 call Bob": "2026-11-27 08:00:00",
    "on 29 february at 9 call Bob": "2028-02-29 09:00:00",
    "on the 5th call Bob": "2026-12-05 09:00:00",
    "on the last friday of the month at 9 call Bob": "2026-11-27 09:00:00",
    "on the first monday of march at 9 call Bob": "2027-03-01 09:00:00",
    "2026-12-24T18:00:00Z call Bob": "2026-12-24 19:00:00",
    "2026-12-24T18:00 call Bob": "2026-12-24 18:00:00",
}


@pytest.mark.parametrize(("text", "expected"), ONCE.items())
def test_one_off_times_are_read_in_the_persons_zone(text: str, expected: str) -> None:
    request = ask(text)
    assert (due(request, 2), request.recurring, request.instruction) == ([expected], False, "Call Bob")
    assert "Europe/Berlin" in request.phrase


EVERY = {
    "every 20 seconds": 20,
    "every 2 hours": 7200,
    "every minute": 60,
    "every second": 1,
    "every half hour": 1800,
    "every hour and a half": 5400,
    "every 1.5 hours": 5400,
    "each hour": 3600,
    "hourly": 3600,
    "every other hour": 7200,
    "every ninety seconds": 90,
}


@pytest.mark.parametrize(("text", "seconds"), EVERY.items())
def test_intervals_within_a_day_count_from_now(text: str, seconds: float) -> None:
    request = ask(f"{text} check the disk")
    assert (request.rule.every, request.rule.anchor, request.recurring) == (seconds, NOW, True)
    assert request.instruction == "Check the disk"


CALENDAR = {
    "every day at 8": ("FREQ=DAILY", "2026-11-26 08:00:00", "2026-11-27 08:00:00"),
    "daily at 7:30": ("FREQ=DAILY", "2026-11-26 07:30:00", "2026-11-27 07:30:00"),
    "every other day": ("FREQ=DAILY;INTERVAL=2", "2026-11-26 09:00:00", "2026-11-28 09:00:00"),
    "every 3 days at 18:00": ("FREQ=DAILY;INTERVAL=3", "2026-11-25 18:00:00", "2026-11-28 18:00:00"),
    "every weekday at 8:00": (
        "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR",
        "2026-11-26 08:00:00",
        "2026-11-27 08:00:00",
    ),
    "on weekdays at 8": ("FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "2026-11-26 08:00:00", "2026-11-27 08:00:00"),
    "monday to friday at 8": (
        "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR",
        "2026-11-26 08:00:00",
        "2026-11-27 08:00:00",
    ),
    "every weekend": ("FREQ=WEEKLY;BYDAY=SA,SU", "2026-11-28 09:00:00", "2026-11-29 09:00:00"),
    "every monday and thursday at 10:15": (
        "FREQ=WEEKLY;BYDAY=MO,TH",
        "2026-11-26 10:15:00",
        "2026-11-30 10:15:00",
    ),
    "every mon, wed and fri at 7": (
        "FREQ=WEEKLY;BYDAY=MO,WE,FR",
        "2026-11-27 07:00:00",
        "2026-11-30 07:00:00",
    ),
    "every third thursday at 14:00": ("FREQ=MONTHLY;BYDAY=3TH", "2026-12-17 14:00:00", "2027-01-21 14:00:00"),
    "every last friday of the month": (
        "FREQ=MONTHLY;BYDAY=-1FR",
        "2026-11-27 09:00:00",
        "2026-12-25 09:00:00",
    ),
    "on the first monday of every month at 9": (
        "FREQ=MONTHLY;BYDAY=1MO",
        "2026-12-07 09:00:00",
        "2027-01-04 09:00:00",
    ),
    "on the 1st of every month": ("FREQ=MONTHLY;BYMONTHDAY=1", "2026-12-01 09:00:00", "2027-01-01 09:00:00"),
    "every 1st and 15th": ("FREQ=MONTHLY;BYMONTHDAY=1,15", "2026-12-01 09:00:00", "2026-12-15 09:00:00"),
    "monthly on the 15th": ("FREQ=MONTHLY;BYMONTHDAY=15", "2026-12-15 09:00:00", "2027-01-15 09:00:00"),
    "every last day of the month": (
        "FREQ=MONTHLY;BYMONTHDAY=-1",
        "2026-11-30 09:00:00",
        "2026-12-31 09:00:00",
    ),
    "every 3 months on the 1st": (
        "FREQ=MONTHLY;INTERVAL=3;BYMONTHDAY=1",
        "2026-12-01 09:00:00",
        "2027-03-01 09:00:00",
    ),
    "on the last working day of every month at 16:00": (
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
        "2026-11-30 16:00:00",
        "2026-12-31 16:00:00",
    ),
    "every year on 3 March": (
        "FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=3",
        "2027-03-03 09:00:00",
        "2028-03-03 09:00:00",
    ),
    "every december 24th at 17:00": (
        "FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=24",
        "2026-12-24 17:00:00",
        "2027-12-24 17:00:00",
    ),
    "every morning": ("FREQ=DAILY", "2026-11-26 08:00:00", "2026-11-27 08:00:00"),
    "every evening at 7": ("FREQ=DAILY", "2026-11-25 19:00:00", "2026-11-26 19:00:00"),
    "every noon": ("FREQ=DAILY", "2026-11-25 12:00:00", "2026-11-26 12:00:00"),
    "every tuesday morning": ("FREQ=WEEKLY;BYDAY=TU", "2026-12-01 08:00:00", "2026-12-08 08:00:00"),
    "weekly on Sundays": ("FREQ=WEEKLY;BYDAY=SU", "2026-11-29 09:00:00", "2026-12-06 09:00:00"),
    "once a week": ("FREQ=WEEKLY;BYDAY=WE", "2026-12-02 09:00:00", "2026-12-09 09:00:00"),
    "once a week at 18:00": ("FREQ=WEEKLY;BYDAY=WE", "2026-11-25 18:00:00", "2026-12-02 18:00:00"),
    "every six months": (
        "FREQ=MONTHLY;INTERVAL=6;BYMONTHDAY=25",
        "2027-05-25 09:00:00",
        "2027-11-25 09:00:00",
    ),
    "every day in December at 8": (
        "FREQ=DAILY;UNTIL=20261231T225959Z",
        "2026-12-01 08:00:00",
        "2026-12-02 08:00:00",
    ),
    "every week from Thursday to Saturday": (
        "FREQ=WEEKLY;BYDAY=TH,FR,SA",
        "2026-11-26 09:00:00",
        "2026-11-27 09:00:00",
    ),
    "every quarter starting on 1 April": (
        "FREQ=MONTHLY;INTERVAL=3;BYMONTHDAY=1",
        "2027-04-01 09:00:00",
        "2027-07-01 09:00:00",
    ),
    "every 2 weeks on friday at 16:00": (
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=FR",
        "2026-11-27 16:00:00",
        "2026-12-11 16:00:00",
    ),
    "every second week on tuesday": (
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU",
        "2026-12-01 09:00:00",
        "2026-12-15 09:00:00",
    ),
    "every other monday at 6": (
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO",
        "2026-11-30 06:00:00",
        "2026-12-14 06:00:00",
    ),
    "every day at 8 and 20": (
        "FREQ=DAILY;BYHOUR=8,20;BYMINUTE=0;BYSECOND=0",
        "2026-11-25 20:00:00",
        "2026-11-26 08:00:00",
    ),
    "every day starting tomorrow at 7:00": ("FREQ=DAILY", "2026-11-26 07:00:00", "2026-11-27 07:00:00"),
    "every monday at 8 from 1 January": (
        "FREQ=WEEKLY;BYDAY=MO",
        "2027-01-04 08:00:00",
        "2027-01-11 08:00:00",
    ),
}


@pytest.mark.parametrize(("text", "expected"), CALENDAR.items())
@pytest.mark.parametrize(
    "shape", ["{} water the plants", "Water the plants {}", "please {}, water the plants."]
)
def test_recurrences_fall_due_when_they_should_wherever_the_phrase_stands(
    text: str, expected: tuple[str, str, str], shape: str
) -> None:
    request = ask(shape.format(text))
    assert (request.rule.rrule, *due(request, 2)) == expected
    assert (request.rule.zone, request.recurring) == ("Europe/Berlin", True)
    assert request.instruction == "Water the plants"


ENDED = {
    "every 20 seconds check x, 3 times": ["10:00:20", "10:00:40", "10:01:00"],
    "every 30 minutes until 11:00 check x": ["10:30:00", "11:00:00"],
    "every hour for the next 2 hours check x": ["11:00:00", "12:00:00"],
}


@pytest.mark.parametrize(("text", "expected"), ENDED.items())
def test_an_end_of_an_interval_is_kept(text: str, expected: list[str]) -> None:
    request = ask(text)
    assert [moment[11:] for moment in due(request, 9)] == expected
    assert request.instruction == "Check x"


def test_until_a_date_includes_that_day() -> None:
    request = ask("every day at 8 read the news until 28 November")
    assert due(request, 9) == ["2026-11-26 08:00:00", "2026-11-27 08:00:00", "2026-11-28 08:00:00"]
    assert request.rule.rrule == "FREQ=DAILY;UNTIL=20261128T225959Z"
    assert request.phrase.endswith("until 28 November 2026")


def test_a_number_of_times_is_counted_from_the_first() -> None:
    request = ask("read the news every weekday at 8:00, 3 times")
    assert due(request, 9) == ["2026-11-26 08:00:00", "2026-11-27 08:00:00", "2026-11-30 08:00:00"]


def test_wall_times_stay_when_clocks_change() -> None:
    request = ask("every day at 8 read", datetime(2027, 3, 26, 12, 0, tzinfo=BERLIN))
    moments = rules.upcoming(request.rule, datetime(2027, 3, 26, 12, 0, tzinfo=BERLIN), 3)
    assert [moment.hour for moment in moments] == [7, 6, 6]


def test_a_time_that_the_first_day_leaves_out_does_not_shift_the_others() -> None:
    now = datetime(2027, 3, 28, 0, 0, tzinfo=BERLIN)
    request = ask("every day at 2:30 read", now)
    assert due(request, 3, now) == ["2027-03-28 03:00:00", "2027-03-29 02:30:00", "2027-03-30 02:30:00"]


def test_delays_count_real_time_over_a_change_of_clocks() -> None:
    now = datetime(2027, 3, 28, 0, 30, tzinfo=BERLIN)
    assert due(ask("in 3 hours read", now), 1, now) == ["2027-03-28 04:30:00"]
    assert due(ask("in 1 day read", now), 1, now) == ["2027-03-29 00:30:00"]


def test_the_zone_is_the_persons() -> None:
    request = parse("tomorrow at 9 call Bob", now=NOW, zone="Asia/Tokyo")
    assert request.rule.at == datetime(2026, 11, 26, 0, 0, tzinfo=UTC)


PHRASES = {
    "every weekday at 8:00 x": "every weekday at 08:00 Europe/Berlin",
    "at 8 x": "once on 26 November 2026 at 08:00 Europe/Berlin",
    "every 20 seconds x": "every 20 seconds",
    "every 20 minutes between 9 and 17 on Mondays x": "every 20 minutes between 09:00 and 17:00 on Mondays "
    "Europe/Berlin",
    "every third thursday at 14:00 x": "every month on the third Thursday at 14:00 Europe/Berlin",
    "every day from 1 December at 8 x": "every day at 08:00 Europe/Berlin, starting on 1 December 2026",
}


@pytest.mark.parametrize(("text", "phrase"), PHRASES.items())
def test_what_was_understood_is_said_in_words(text: str, phrase: str) -> None:
    assert ask(text).phrase == phrase


INSTRUCTIONS = {
    "remind me to call Bob in 20 minutes": "Call Bob",
    "In 20 minutes, please remind me that the oven is on": "The oven is on",
    "can you remind me to buy 3 apples at 5pm?": "Buy 3 apples?",
    "could you please check the disk every 5 minutes and tell me": "Check the disk and tell me",
    "I want you to check the backups nightly": "Check the backups",
    "Remind me tomorrow at 9 to prepare the meeting on Friday": "Prepare the meeting on Friday",
    "in 20 minutes check the plan for tomorrow": "Check the plan for tomorrow",
    "read me the daily report tomorrow at 9": "Read me the daily report",
    "send the weekly report every friday at 9": "Send the weekly report",
    "on the 3rd floor check the printer at 10:30": "On the 3rd floor check the printer",
    'say "see you tomorrow at 9" in 10 minutes': 'Say "see you tomorrow at 9"',
    "summarise http://example.org/a?at=9:00 every 30 minutes": "Summarise http://example.org/a?at=9:00",
    "send a summary to ann@example.org every friday at 16:00": "Send a summary to ann@example.org",
    "every day at 8 tell me the weather in Oslo and Bergen": "Tell me the weather in Oslo and Bergen",
    "every day at 9 check the disk, but not before 14:02:10": "Check the disk, but not before 14:02:10",
    "remind me tomorrow": "",
}


@pytest.mark.parametrize(("text", "instruction"), INSTRUCTIONS.items())
def test_the_instruction_is_the_sentence_without_its_time(text: str, instruction: str) -> None:
    assert ask(text).instruction == instruction


def test_titles_are_short() -> None:
    text = "Compare " + "the very long list of things " * 5
    assert len(ask(f"{text} tomorrow").title) <= 61
    assert ask("remind me tomorrow").title == "Reminder"


REFUSED = {
    "call Bob": "no time was understood",
    "": "empty",
    "do it soon": "no time was understood",
    "finish the report by friday": "no time was understood",
    "today at 9 call Bob": "in the past",
    "on 2020-01-01 call Bob": "in the past",
    "yesterday at 9 call Bob": "in the past",
    "5 minutes ago call Bob": "in the past",
    "every 0 seconds check": "every 0 seconds",
    "every 0 days check": "every 0 days",
    "every -5 minutes check": "no time was understood",
    "at 25:00 call Bob": "no such time of day",
    "at 13pm call Bob": "no such time of day",
    "on 30 february call Bob": "no day 30",
    "on 05/04/2027 call Bob": "two dates",
    "on monday, 2026-12-24 call Bob": "is a Thursday",
    "twice a day check": "times of the day are missing",
    "every 20 minutes between 9 and 17 check": "whole hours",
    "every other week at 8:00 and 18:30 check": "different minutes",
    "next month call Bob": "names no day",
    "every 2 hours at 9:00 check": "does not go with a time of day",
    "book the hotel on Monday for the party on Friday please soon": "more than one time",
    "every day at 8 until yesterday check": "past",
    "every day at 8 until tomorrow, 3 times, check": "one of them",
    "in 5000000000 years call Bob": "no time was understood",
    "every monday at 8 until tomorrow check": "before it begins",
    "every 5 minutes between 6:00 and 22:00 on weekdays check": "193 times a day",
    "tomorrow at 9:00 HKT call Bob": "HKT is not read as a zone",
    "biweekly sync on Monday at 10": "`biweekly`",
    "close of business Friday file the papers": "exactly when",
    "daily at 8 excluding Sundays and public holidays run": "`Sundays and public`",
    "every day at 8 as long as it is hot": "`8 as long`",
    "book a table for two on Saturday": "that of the table or that of the request",
    "remind me to book the 7am flight on Thursday": "that of the flight or that of the request",
}


@pytest.mark.parametrize(
    "often", ["hourly", "daily", "nightly", "weekly", "fortnightly", "monthly", "yearly"]
)
@pytest.mark.parametrize("when", ["tomorrow at 9", "on Friday at 15:00", "on 3 May", "in 2 hours", "tonight"])
def test_a_word_that_may_describe_a_thing_is_never_the_time_while_another_is_left(
    often: str, when: str
) -> None:
    """`daily standup tomorrow at 9` is one standup or many: the day must not end up in the instruction."""
    for thing in ("standup", "rate negotiation", "build", "backup of the disk"):
        try:
            instruction = ask(f"{often} {thing} {when}").instruction
        except ScheduleError:
            continue
        assert instruction.lower() == thing


@pytest.mark.parametrize(("text", "why"), REFUSED.items())
def test_what_is_not_clear_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ScheduleError, match=why):
        ask(text)


def test_an_unclear_request_is_answered_with_three_phrasings_that_work() -> None:
    with pytest.raises(ScheduleError) as caught:
        ask("call Bob when it suits")
    examples = str(caught.value).split("`")[3::2]
    assert len(examples) == 3
    assert all(ask(f"{example} call Bob").instruction == "Call Bob" for example in examples)


def test_a_naive_now_and_an_unknown_zone_are_refused() -> None:
    with pytest.raises(ScheduleError, match="aware"):
        parse("tomorrow", now=datetime(2026, 1, 1), zone="UTC")
    with pytest.raises(ScheduleError, match="IANA"):
        parse("tomorrow", now=NOW, zone="Europe/Atlantis")


def test_the_module_loads_nothing_heavy() -> None:
    import subprocess
    import sys

    heavy = "pydantic_ai openai dateutil sqlalchemy celery"
    code = f"import sys, hopyard_ai.when; print([m for m in '{heavy}'.split() if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_one_off_is_at_least_a_moment_ahead() -> None:
    request = ask("in 1 second call Bob")
    assert request.rule.at == NOW + timedelta(seconds=1)
