"""Whatever is typed, reading it ends in a rule that falls due later or in a ScheduleError."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hopyard import rules
from hopyard.errors import ScheduleError
from hopyard_ai.when import Request, not_before, parse
from hopyard_ai.when._numbers import GRAMMAR
from hypothesis import HealthCheck, given, settings
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


def one_of(text: str) -> st.SearchStrategy[str]:
    return st.sampled_from([" ".join(phrase.split()) for phrase in text.split("|")])


DAY = one_of("""every day|every weekday|every weekend|every other day|every 3 days|every 2 weeks|every
    second week on Friday|every month on the 15th|on the 1st and 20th of every month|every
    third Thursday|on the first and third Monday of each month|on the last day of every
    month|on the last working day of every month|every year on 24 December|every quarter on
    the 1st|every day except Sunday|every day except in August|every Monday except in July
    and August|every day except the 1st|every last Sunday of March|every
    Monday/Wednesday|monthly on the 31st|every year on 1 January and 1 July|tomorrow|on 3
    March 2027|next Friday|in 3 weeks|every Sunday|every other Monday""")
CLOCK = one_of("""|at 8|at 18:30|at quarter past six|in the evening at 7|at 9am New York time|at 8 and 20|at
    8:00 and 18:30|at 7, 12 and 18:15""")
BOUND = one_of("|until 24 December 2027|, 5 times|for 6 weeks|starting on 1 March 2027")
WITHIN = one_of("""every 20 seconds|every 90 minutes|every 2 hours|every hour on weekdays between 9 and
    17|every hour at :15|every 10 minutes for 2 hours|every 2 hours, 4 times|every 5 minutes
    until 18:00""")
TIMES = st.tuples(DAY, CLOCK, BOUND).map(" ".join) | WITHIN
PLACES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"])
NEAR = st.datetimes(datetime(2026, 6, 1), datetime(2027, 2, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=0)
)


def read(text: str, now: datetime, zone: str) -> Request | None:
    try:
        return parse(text, now=now, zone=zone)
    except ScheduleError:
        return None


@settings(deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(TIMES, NEAR, PLACES)
def test_a_rule_that_is_worded_and_read_again_is_the_same(text: str, now: datetime, zone: str) -> None:
    worded_and_read(f"{text} call Bob", now, zone)


def worded_and_read(text: str, now: datetime, zone: str) -> None:
    first = read(text, now, zone)
    if first is None:
        return
    again = parse(f"{first.phrase} call Bob", now=now, zone=zone)
    assert again.instruction == "Call Bob", first.phrase
    due = [  # wordings are in whole seconds
        [at.replace(microsecond=0) for at in rules.upcoming(one.rule, now, 4)] for one in (first, again)
    ]
    assert due[0] == due[1], first.phrase
    assert rules.last(first.rule) == rules.last(again.rule), first.phrase


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TIMES, st.text(st.characters(exclude_characters='"', exclude_categories=["Cs"])), NEAR, PLACES)
def test_no_reading_depends_on_what_is_quoted(text: str, quoted: str, now: datetime, zone: str) -> None:
    for shape in ('{} say "{}"', 'say "{1}" {0}'):
        plain, other = (read(shape.format(text, said), now, zone) for said in ("x", quoted))
        assert (plain and plain.rule) == (other and other.rule)


SAMPLES = {
    "digits": "2 3 8 10 15 30",
    "decimal": "1.5",
    "nth": "1st 2nd 3rd 15th 31st",
    "year": "2027 2028",
    "numeric": "2027-03-03 24.12. 24/12/2027",
    "dotted": "9.30",
    "colon": "9:15 18:30",
    "past": ":15",
    "military": "0930",
    "iso": "2027-03-03T10:00Z",
    "zonename": "utc cet ist",
    "signed": "+ -",
    "area": "tokyo berlin london",
    "tens": "twenty thirty forty",
    "num": "2 3 4 5 6 8 two ten",
    "real": "2 3 4 5 6 8 two ten a",
}
"""Words for what the grammar looks up, and for numbers, most of which are no hour or day."""


@st.composite
def spoken(draw: st.DrawFn, name: str, depth: int = 0) -> str:
    """Words that the grammar's own table reads as `name`."""
    if name in GRAMMAR.looks:
        return ""
    if name in SAMPLES:
        return draw(st.sampled_from(SAMPLES[name].split()))
    rows = [row for row, _ in GRAMMAR.rules[name]]
    if depth > 5:
        rows = sorted(rows, key=lambda row: sum(bool(item.name) for item in row))[:2]
    words = []
    for item in draw(st.sampled_from(rows)):
        if not (item.optional and draw(st.booleans())):
            words.append(
                draw(spoken(item.name, depth + 1)) if item.name else draw(st.sampled_from(sorted(item.words)))
            )
    return " ".join(word for word in words if word)


WHEN = st.sampled_from(["repeat", "day", "clock", "delay", "often"]).flatmap(spoken)
"""All that says a time by itself, made from the table: what is added there is tested without a word here."""


@settings(deadline=None, max_examples=150, derandomize=True, suppress_health_check=list(HealthCheck))
@given(WHEN, NEAR, PLACES)
def test_what_the_table_says_is_read_whole_or_refused(text: str, now: datetime, zone: str) -> None:
    for shape in ("{} call Bob", "call Bob {}"):
        found = read(shape.format(text), now, zone)
        assert found is None or found.instruction == "Call Bob", (text, found.phrase, found.instruction)


@settings(deadline=None, max_examples=100, derandomize=True, suppress_health_check=list(HealthCheck))
@given(WHEN, NEAR, PLACES)
def test_what_the_table_says_is_worded_and_read_again_as_the_same(
    text: str, now: datetime, zone: str
) -> None:
    worded_and_read(f"{text} call Bob", now, zone)


UNKNOWN = one_of("""Easter|ramadan|dusk|sunset|decade|semester|tommorow|evry|wkend|unless|except|till|until
    Easter|except holidays|before dawn|after lunch|every now and then|not on Tuesdays in
    May|from spring|in summer|on my birthday|of the quarter""")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TIMES, UNKNOWN, NEAR, PLACES)
def test_a_word_about_time_that_is_not_known_never_changes_the_time(
    text: str, unknown: str, now: datetime, zone: str
) -> None:
    plain = read(f"{text} call Bob", now, zone)
    for sentence in (f"{text} {unknown} call Bob", f"call Bob {text} {unknown}"):
        found = read(sentence, now, zone)
        assert found is None or (
            plain is not None and found.rule == plain.rule and len(found.instruction) > 8
        )


DAYS = one_of("""tomorrow|today|tonight|on Friday|next Monday|this Saturday|the day after tomorrow|in 3
    days|in two
    weeks|on the 1st|on the first Monday of the month|on the last day of the month|next week on
    Tuesday|a week from Friday|the Friday after next""")
CITIES = st.sampled_from(["Tokyo", "Berlin", "New York", "Los Angeles", "Sydney", "London"])
ZONES = {"New York": "America/New_York", "Los Angeles": "America/Los_Angeles", "Sydney": "Australia/Sydney"}


def moment_of(request: Request) -> datetime:
    assert request.rule.at is not None
    return request.rule.at.astimezone(UTC)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(DAYS, st.integers(1, 23), CITIES, CITIES, NEAR)
def test_a_day_beside_a_zone_is_that_of_both_or_refused(
    day: str, hour: int, said: str, home: str, now: datetime
) -> None:
    zones = [ZONES.get(city) or f"{'Asia' if city == 'Tokyo' else 'Europe'}/{city}" for city in (said, home)]
    found = read(f"{day} at {hour}:00 {said} time call Bob", now, zones[1])
    there = read(f"{day} at {hour}:00 call Bob", now, zones[0])
    assert found is None or (there is not None and moment_of(found) == moment_of(there))
    # Where the zone has the day that the person has, nothing is refused that is plain.
    if len({now.astimezone(ZoneInfo(zone)).date() for zone in zones}) == 1:
        assert (found and moment_of(found)) == (there and moment_of(there))
    elif found is not None and day in ("tomorrow", "the day after tomorrow", "in 3 days", "in two weeks"):
        raise AssertionError(f"{day} was taken for that of {said}")


WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
CADENCE = one_of("|every day|daily|every morning|each day|every week|weekly")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(WEEKDAYS), st.sampled_from(WEEKDAYS), CADENCE, st.booleans(), NEAR)
def test_days_from_one_to_another_are_asked_about_unless_it_is_said_that_they_are_of_each_week(
    first: str, last: str, cadence: str, before: bool, now: datetime
) -> None:
    span = f"from {first} to {last}"
    when = f"{cadence} {span}" if before else f"{span} {cadence}"
    found = read(f"{when} at 8 call Bob", now, "UTC")
    plain = "week" in cadence or (first, last) == ("Monday", "Friday")
    assert (found is not None) == (plain and (first != last or "week" in cadence)), when
    if found is not None:
        count = (WEEKDAYS.index(last) - WEEKDAYS.index(first)) % 7 + 1
        days = {moment.strftime("%A") for moment in rules.upcoming(found.rule, now, 14)}
        assert len(days) == count
        assert {first, last} <= days
