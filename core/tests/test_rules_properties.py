"""Rules against their definition, minute by minute, around the days when clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hopyard.errors import ScheduleError
from hopyard.rules import between, last, next_after
from hopyard.specs import Rule
from hypothesis import given, settings
from hypothesis import strategies as st

# Moments near which clocks change, and one day without a change for each zone that has none.
CHANGES = {
    "Europe/Berlin": ("2026-03-29T01:00", "2026-10-25T01:00"),
    "America/New_York": ("2026-03-08T07:00", "2026-11-01T06:00"),
    "Australia/Lord_Howe": ("2026-10-03T15:30", "2026-04-04T15:00"),  # by half an hour
    "America/Sao_Paulo": ("2018-11-04T03:00", "2019-02-17T02:00"),  # at midnight
    "Asia/Kathmandu": ("2026-03-29T01:00", "1985-12-31T18:30"),  # a jump of fifteen minutes
    "UTC": ("2026-03-29T01:00",),
}
SPAN = timedelta(hours=40)
Faces = dict[datetime, list[datetime]]
Gaps = list[tuple[datetime, datetime, datetime]]

around = st.sampled_from([(zone, moment) for zone, moments in CHANGES.items() for moment in moments])
minutes = st.frozensets(st.sampled_from([0, 1, 15, 30, 45, 59]), min_size=1)
hours = st.frozensets(st.sampled_from([0, 1, 2, 3, 4, 23]), min_size=1)
steps = st.sampled_from([1, 5, 15, 20, 30])
calm = settings(max_examples=60, deadline=None)


def walls_in(zone: ZoneInfo, middle: datetime) -> list[datetime]:
    """Every minute on the clock face around `middle`, also those that do not exist."""
    start = middle.astimezone(zone).replace(tzinfo=None, hour=0, minute=0) - timedelta(days=2)
    return [start + timedelta(minutes=n) for n in range(5 * 1440)]


@lru_cache
def clock(zone: ZoneInfo, middle: datetime) -> tuple[Faces, Gaps]:
    """Which moments show which face, and which faces are left out when, found by trying each minute."""
    faces: Faces = {}
    gaps: Gaps = []
    before: datetime | None = None
    for number in range(-6 * 1440, 6 * 1440):
        moment = middle + timedelta(minutes=number)
        face = moment.astimezone(zone).replace(tzinfo=None)
        faces.setdefault(face, []).append(moment)
        if before is not None and face > before + timedelta(minutes=1):
            gaps.append((before, face, moment))
        before = face
    return faces, gaps


def expected(zone: ZoneInfo, middle: datetime, walls: list[datetime], *, both: bool) -> set[datetime]:
    """The moments of `walls` by the documented definition."""
    faces, gaps = clock(zone, middle)
    found: set[datetime] = set()
    for wall in walls:
        found.update(faces.get(wall, [])[: 2 if both else 1])
        found.update(moment for low, high, moment in gaps if low < wall < high)
    return found


def window(middle: str) -> tuple[datetime, datetime, datetime]:
    moment = datetime.fromisoformat(middle).replace(tzinfo=UTC)
    return moment - SPAN, moment, moment + SPAN


@calm
@given(around, minutes, hours)
def test_cron_times_of_day(place: tuple[str, str], minute: frozenset[int], hour: frozenset[int]) -> None:
    """Each wall time is due once: the first time, or at the end of the gap that it is in."""
    low, middle, high = window(place[1])
    zone = ZoneInfo(place[0])
    rule = Rule(cron=f"{','.join(map(str, minute))} {','.join(map(str, hour))} * * *", zone=place[0])
    walls = [wall for wall in walls_in(zone, middle) if wall.hour in hour and wall.minute in minute]
    truth = sorted(due for due in expected(zone, middle, walls, both=False) if low < due <= high)
    assert between(rule, low, high, 10_000) == truth


@calm
@given(around, st.one_of(steps.map(lambda n: (n, None)), st.tuples(steps, hours)))
def test_cron_frequencies(place: tuple[str, str], shape: tuple[int, frozenset[int] | None]) -> None:
    """A frequency within the day goes on through both passes of a repeated hour."""
    low, middle, high = window(place[1])
    zone = ZoneInfo(place[0])
    step, hour = shape
    field = ",".join(map(str, hour)) if hour else "*"
    walls = [
        wall
        for wall in walls_in(zone, middle)
        if wall.minute % step == 0 and (hour is None or wall.hour in hour)
    ]
    truth = sorted(due for due in expected(zone, middle, walls, both=True) if low < due <= high)
    assert between(Rule(cron=f"*/{step} {field} * * *", zone=place[0]), low, high, 10_000) == truth


@calm
@given(around, minutes, hours, st.integers(0, 2 * 40 * 3600))
def test_the_next_due_time_does_not_depend_on_where_one_looks_from(
    place: tuple[str, str], minute: frozenset[int], hour: frozenset[int], seconds: int
) -> None:
    """From any second, the next due time is the first of the whole list that is later."""
    low, _, high = window(place[1])
    after = low + timedelta(seconds=seconds)
    rule = Rule(cron=f"{','.join(map(str, minute))} {','.join(map(str, hour))} * * *", zone=place[0])
    listed = between(rule, low, high + timedelta(days=4), 10_000)
    assert next_after(rule, after) == next(due for due in listed if due > after)


PARTS = [
    "FREQ=DAILY",
    "FREQ=DAILY;INTERVAL=3;BYHOUR=2,14;BYMINUTE=30",
    "FREQ=WEEKLY",
    "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,SU;WKST=SU",
    "FREQ=WEEKLY;INTERVAL=3;BYDAY=TU,WE,SA;BYSETPOS=-1",
    "FREQ=WEEKLY;BYDAY=MO,WE,FR,SU;BYSETPOS=2",
    "FREQ=MONTHLY",
    "FREQ=MONTHLY;INTERVAL=5;BYDAY=-1FR",
    "FREQ=MONTHLY;BYMONTHDAY=-1,15;INTERVAL=2",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2",
    "FREQ=YEARLY",
    "FREQ=YEARLY;INTERVAL=3;BYMONTH=2,6",
    "FREQ=YEARLY;BYWEEKNO=1,53;BYDAY=MO",
    "FREQ=YEARLY;BYYEARDAY=-1,1,366",
    "FREQ=YEARLY;INTERVAL=2;BYDAY=20MO",
    "FREQ=HOURLY;INTERVAL=7",
    "FREQ=HOURLY;INTERVAL=5;BYDAY=MO,WE",
    "FREQ=MINUTELY;INTERVAL=50;BYHOUR=1,2,3",
    "FREQ=MINUTELY;INTERVAL=1441",
    "FREQ=SECONDLY;INTERVAL=4999",
    "FREQ=DAILY;COUNT=40;INTERVAL=9",
    "FREQ=MONTHLY;COUNT=7;BYDAY=SA",
]
anchors = st.datetimes(datetime(2016, 1, 1), datetime(2020, 12, 31)).map(lambda at: at.replace(microsecond=0))


@pytest.mark.parametrize("text", PARTS)
@settings(max_examples=12, deadline=None)
@given(anchor=anchors, passed=st.integers(-20, 2200), minute=st.integers(0, 1439))
def test_rrule_found_near_is_rrule_counted_from_its_start(
    text: str, anchor: datetime, passed: int, minute: int
) -> None:
    """Looking years after the anchor gives what counting from the anchor gives."""
    after = anchor + timedelta(days=passed, minutes=minute)
    counted = rrulestr(text, dtstart=anchor)
    if counted.after(anchor - timedelta(seconds=1)) is None:  # such as the 31st of February and June
        with pytest.raises(ScheduleError, match="never falls due"):
            Rule(rrule=text, anchor=anchor.replace(tzinfo=UTC))
        return
    rule = Rule(rrule=text, anchor=anchor.replace(tzinfo=UTC))
    for _ in range(3):
        truth = counted.after(after)
        due = next_after(rule, after.replace(tzinfo=UTC))
        assert due == (truth.replace(tzinfo=UTC) if truth is not None else None)
        if truth is None:
            break
        after = truth


def numbers(*values: int) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=4).map(
        lambda chosen: ",".join(map(str, chosen))
    )


BY = {
    "BYSECOND": numbers(0, 1, 2, 7, 30, 59),
    "BYMINUTE": numbers(0, 1, 2, 7, 30, 59),
    "BYHOUR": numbers(0, 1, 2, 3, 12, 23),
    "BYDAY": st.sampled_from(["MO", "SU,SA", "MO,TU,WE,TH,FR"]),
    "BYMONTH": numbers(1, 2, 6, 12),
    "BYMONTHDAY": numbers(-1, 1, 2, 15, 28),
    "BYYEARDAY": numbers(-1, 1, 100, 366),
    "BYWEEKNO": numbers(1, 20, 52),
    "BYSETPOS": numbers(-2, -1, 1, 2, 3),
}
frequencies = st.sampled_from(["DAILY", "HOURLY", "MINUTELY", "SECONDLY"])
intervals = st.sampled_from([1, 1, 2, 3, 7, 25, 60, 1441])


@st.composite
def within_a_day(draw: st.DrawFn) -> dict[str, str]:
    """A rule whose periods are days or shorter, with any parts, most of which allow little or nothing."""
    frequency = draw(frequencies)
    chosen = draw(st.lists(st.sampled_from([*BY]), unique=True, max_size=4))
    # One part that picks days of the year: two that exclude each other cost a search of four centuries.
    days = [name for name in chosen if name in ("BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO")]
    chosen = [name for name in chosen if name not in days[1:]]
    if frequency == "SECONDLY" and "BYMINUTE" not in chosen:  # for the one who counts
        chosen.append("BYMINUTE")
    return {"FREQ": frequency, "INTERVAL": str(draw(intervals)), **{name: draw(BY[name]) for name in chosen}}


@settings(max_examples=20, deadline=None)
@given(within_a_day(), anchors, st.integers(0, 86400))
def test_periods_of_a_day_or_less_are_as_defined(
    parts: dict[str, str], anchor: datetime, passed: int
) -> None:
    """What is looked up is what the definition says, for two days; what never comes true is refused."""
    low = anchor + timedelta(seconds=passed)
    until = low + timedelta(days=2)
    truth = [due.replace(tzinfo=UTC) for due in defined(parts, anchor, until) if due > low]
    text = ";".join("=".join(part) for part in parts.items())
    try:
        rule = Rule(rrule=text, anchor=anchor.replace(tzinfo=UTC))
    except ScheduleError:
        assert truth == []
        return
    assert between(rule, low.replace(tzinfo=UTC), until.replace(tzinfo=UTC), 50) == truth[:50]


def defined(parts: dict[str, str], anchor: datetime, until: datetime) -> list[datetime]:
    """All times of all days that the parts allow; of those, whole intervals; of each, the positions."""
    size = {"DAILY": 86400, "HOURLY": 3600, "MINUTELY": 60, "SECONDLY": 1}[parts["FREQ"]]
    times = {
        "BYHOUR": str(anchor.hour) if size > 3600 else ",".join(map(str, range(24))),
        "BYMINUTE": str(anchor.minute) if size > 60 else ",".join(map(str, range(60))),
        "BYSECOND": str(anchor.second) if size > 1 else ",".join(map(str, range(60))),
    }
    times |= {name: value for name, value in parts.items() if name in BY and name != "BYSETPOS"}
    text = ";".join("=".join(part) for part in [("FREQ", "DAILY"), *times.items()])
    midnight = anchor.replace(hour=0, minute=0, second=0)
    begun = (anchor - midnight).seconds // size
    periods: dict[int, list[datetime]] = {}
    for wall in rrulestr(f"{text};UNTIL={until:%Y%m%dT%H%M%S}", dtstart=midnight):
        number = int((wall - midnight).total_seconds()) // size - begun
        if number % int(parts["INTERVAL"]) == 0:
            periods.setdefault(number, []).append(wall)
    found = []
    for walls in periods.values():
        places = [int(place) for place in parts.get("BYSETPOS", "").split(",") if place]
        right = {place - 1 if place > 0 else len(walls) + place for place in places}
        found += [wall for n, wall in enumerate(walls) if not places or n in right]
    return [wall for wall in found if wall >= anchor]


@pytest.mark.timeout(60)  # each of them took from half a minute to many hours
@pytest.mark.parametrize(
    "text",
    [
        "FREQ=SECONDLY;BYSETPOS=2",
        "FREQ=MINUTELY;BYSECOND=1,2;BYSETPOS=3,-3",
        "FREQ=SECONDLY;INTERVAL=2;BYSECOND=1,3,5;BYDAY=MO",
        "FREQ=SECONDLY;INTERVAL=7;BYMONTH=2;BYMONTHDAY=30;BYHOUR=3;BYMINUTE=5;BYSECOND=7",
        "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30;BYHOUR=23;BYMINUTE=59;BYSECOND=59",
        "FREQ=DAILY;BYHOUR=1,2,3,4;BYMINUTE=0,5;BYMONTH=2;BYMONTHDAY=30;BYSETPOS="
        + ",".join(map(str, range(1, 32))),
    ],
)
def test_a_rule_that_cannot_come_true_is_refused_after_a_bounded_search(text: str) -> None:
    with pytest.raises(ScheduleError, match="never falls due"):
        Rule(rrule=text)


@pytest.mark.timeout(60)
def test_counting_twenty_thousand_costs_no_more_than_the_days_between() -> None:
    rule = Rule(
        rrule="FREQ=SECONDLY;BYHOUR=5;BYMINUTE=6;BYSECOND=7;COUNT=20000",
        anchor=datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert last(rule) == datetime(2026, 1, 1, 5, 6, 7, tzinfo=UTC) + timedelta(days=19_999)


@calm
@given(around, st.sampled_from(["FREQ=DAILY", "FREQ=WEEKLY;BYDAY=SU,SA", "FREQ=HOURLY;INTERVAL=2"]), minutes)
def test_rrule_around_the_change_of_clocks(place: tuple[str, str], text: str, minute: frozenset[int]) -> None:
    """RRULEs follow the same two rules for wall times as cron."""
    low, middle, high = window(place[1])
    zone = ZoneInfo(place[0])
    chosen = ",".join(map(str, sorted(minute)))
    full = f"{text};BYMINUTE={chosen}" + ("" if "HOURLY" in text else ";BYHOUR=0,1,2,3")
    walls = walls_in(zone, middle)
    start = walls[0] - timedelta(days=2)
    near = rrulestr(full, dtstart=start).between(walls[0], walls[-1])
    truth = sorted(due for due in expected(zone, middle, near, both="HOURLY" in text) if low < due <= high)
    rule = Rule(rrule=full, zone=place[0], anchor=start.replace(tzinfo=zone))
    assert between(rule, low, high, 10_000) == truth


@given(st.floats(1, 1e6), st.integers(0, 10**9))
@settings(deadline=None)
def test_intervals_are_strictly_later_and_at_most_one_step_away(every: float, seconds: int) -> None:
    """`every` never gives the same moment twice and never skips one."""
    after = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    rule = Rule(every=every, anchor=datetime(2000, 1, 1, tzinfo=UTC))
    due = next_after(rule, after)
    assert due is not None
    assert timedelta(0) < due - after <= timedelta(seconds=every)
