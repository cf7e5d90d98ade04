"""Values that plugins, callers and settings hand in are right, or refused by a `SpecError`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hopyard import rules
from hopyard.addresses import AllowedHost, channel_scheme
from hopyard.errors import PluginError, SpecError
from hopyard.retry import seconds_to_wait
from hopyard.specs import (
    Category,
    HealthCheck,
    Notifier,
    Queue,
    RetryPolicy,
    Rule,
    Schedule,
    TaskOptions,
    Tool,
    Unique,
    Verdict,
)
from hopyard.tasks import task
from hopyard.tasks.classify import delay
from hypothesis import given
from hypothesis import strategies as st

ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.builds(lambda: 10**5000),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["", "\0", "\ud800", "x" * 5000, "1e999", b"x", [], {}, [[]], {"a": object()}, object()]),
    st.timedeltas(),
    st.datetimes(),
    st.dictionaries(st.text(max_size=3), st.floats(), max_size=2),
)
RULE = Rule(every=60)


def checked(kind: Callable[..., Any], /, **values: Any) -> Any:
    """Make a value; None if it is refused as it should be."""
    try:
        return kind(**values)
    except SpecError as error:
        refused = error
    assert refused.expected
    assert 0 < len(str(refused).encode()) < 4000
    return None


def some(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of the fields, each right or odd."""
    return st.fixed_dictionaries({}, optional={name: one | ODD for name, one in strategies.items()})


@given(
    some(
        max_retries=st.integers(0, 1000),
        backoff=st.floats(0, 1e6),
        factor=st.floats(1, 100),
        max_backoff=st.floats(0, 1e6),
        jitter=st.floats(0, 1),
        on=st.sets(st.sampled_from(Category)) | st.lists(st.sampled_from([*Category, "transient", "none"])),
    ),
    st.integers(1, 2000),
    ODD,
)
def test_a_retry_policy_gives_a_time_within_a_year_or_is_refused(
    values: dict[str, Any], failures: int, retry_after: Any
) -> None:
    policy = checked(RetryPolicy, **values)
    if policy is not None:
        wait = delay(policy, Verdict(Category.TRANSIENT, retry_after), failures)
        assert wait is None or 0 <= wait <= 2 * 366 * 86400
        assert all(isinstance(category, Category) for category in policy.on)


@given(some(name=st.just("a.b"), slots=st.integers(1, 99), priority=st.integers(0, 10), group=st.just("g")))
def test_a_queue_is_right_or_refused(values: dict[str, Any]) -> None:
    queue = checked(Queue, **{"name": "a", **values})
    if queue is not None:
        assert 1 <= queue.slots <= 10_000
        assert 0 <= queue.priority <= 10
        assert queue.name.isascii()


@given(
    some(
        every=st.floats(1, 1e6),
        cron=st.text("0123456789*/,-LW# @daily", max_size=20)
        | st.sampled_from(["@daily", "*/5 1-3 * * MON"]),
        rrule=st.text("FREQ=DAILY;COUNT=1BYHOUR,-", max_size=40) | st.sampled_from(["FREQ=DAILY;BYHOUR=1,2"]),
        at=st.datetimes() | st.datetimes(timezones=st.timezones()),
        after=st.text(max_size=5),
        zone=st.sampled_from(["Europe/Berlin", "UTC", "Europe", "../x", "Pacific/Apia"]),
        anchor=st.datetimes() | st.datetimes(timezones=st.timezones()),
    )
)
def test_a_rule_can_be_reckoned_with_or_is_refused(values: dict[str, Any]) -> None:
    rule = checked(Rule, **values)
    if rule is not None:
        effective = rule.resolved("Europe/Berlin")
        assert effective.zone
        due = rules.upcoming(effective, datetime(2026, 11, 28, tzinfo=UTC), 3)
        assert due == sorted(set(due))
        assert rules.describe(effective)
        assert rules.from_json(json.loads(json.dumps(rules.to_json(effective)))) == effective


@given(
    some(
        name=st.just("a.b"),
        task=st.just("a.c"),
        rule=st.just(RULE) | st.just(Rule(after="a.b")),
        kwargs=st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=5) | st.floats()),
        misfire=st.sampled_from(["all", "latest", "skip"]),
        overlap=st.sampled_from(["allow", "skip", "cancel"]),
        catch_up=st.timedeltas(),
        enabled=st.booleans(),
    )
)
def test_a_schedule_can_be_stored_or_is_refused(values: dict[str, Any]) -> None:
    from hopyard.schedule import store

    schedule = checked(Schedule, **{"name": "a.b", "task": "a.c", "rule": RULE, **values})
    if schedule is not None:
        text = json.dumps(store.to_json(schedule), allow_nan=False)
        assert store.from_json(json.loads(text)) == schedule
        assert schedule.rule.after != schedule.name
        assert datetime.now(UTC) - schedule.catch_up


@given(
    some(
        queue=st.just("a"),
        retry=st.just(RetryPolicy()),
        time_limit=st.floats(0.1, 1e5),
        priority=st.integers(0, 9),
    )
)
def test_task_options_are_right_or_refused(values: dict[str, Any]) -> None:
    options = checked(TaskOptions, **{"queue": "a", **values})
    if options is not None:
        assert options.priority in range(10)
        assert math.isfinite(options.time_limit)


async def check() -> Any: ...


@given(
    some(key=st.just("k"), on_duplicate=st.just("replace"), seconds=st.floats(1, 9), shared=st.booleans()),
    some(name=st.just("n"), run=st.just(check), time_limit=st.floats(1, 9)),
    some(kind=st.just("mailto"), deliver=st.just(check)),
    some(approval=st.booleans(), description=st.just("d")),
)
def test_other_values_are_right_or_refused(
    unique: dict[str, Any], health: dict[str, Any], notifier: dict[str, Any], tool: dict[str, Any]
) -> None:
    made = checked(Unique, **{"key": "k", **unique})
    if made is not None:
        assert made.until is None or made.until.tzinfo
        made.stored_key("a.b").encode()
    checked(HealthCheck, **{"name": "n", "run": check, **health})
    checked(Notifier, **{"kind": "k", "deliver": check, **notifier})
    checked(Tool, **tool)


@given(
    st.text(max_size=10) | st.just("site.work"),
    some(
        queue=st.just("q"),
        retry=st.just(RetryPolicy()),
        time_limit=st.floats(1, 9),
        priority=st.integers(0, 9),
        tool=st.booleans(),
        pool=st.sampled_from(["auto", "process"]),
    ),
)
def test_a_task_is_declared_or_refused(name: str, options: dict[str, Any]) -> None:
    try:
        made = task(name, **options)(lambda: None)
    except (SpecError, PluginError):
        return
    assert made.tool is None or isinstance(made.tool, Tool)


@given(st.text(max_size=40) | st.from_regex(r"(\*\.)?[a-z0-9.:\[\]/-]{1,30}", fullmatch=True))
def test_an_egress_entry_is_one_or_refused(text: str) -> None:
    entry = checked(AllowedHost.parse, text=text)
    if entry is not None:
        assert (entry.name is None) != (entry.network is None)
        assert entry.port is None or 0 < entry.port < 65536


@given(st.text(max_size=40) | st.from_regex(r"[a-z]{1,5}://[a-z:@\[\]/?#%0-9]{0,20}", fullmatch=True))
def test_a_channel_has_a_scheme_or_is_refused(text: str) -> None:
    scheme = checked(channel_scheme, address=text)
    assert scheme is None or text.lower().startswith(f"{scheme}://")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (7, 7.0),
        ("120", 120.0),
        (" 1.5 ", 1.5),
        (timedelta(minutes=2), 120.0),
        (-5, 0.0),
        (1e12, 86400.0),
        (10**300, 86400.0),
        (math.inf, 86400.0),
        ("9" * 5000, 86400.0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 86400.0),
        (datetime(2020, 1, 1), 0.0),
        ("soon", None),
        ("", None),
        (math.nan, None),
        (None, None),
        (True, None),
        ("-5", None),
        (b"7", None),
        (Decimal(7), None),
        (object(), None),
    ],
)
def test_a_retry_after_is_at_most_a_day_and_none_where_it_is_no_time(
    value: Any, seconds: float | None
) -> None:
    assert seconds_to_wait(value) == seconds
    assert Verdict(Category.RATE_LIMITED, value).retry_after == seconds


@given(ODD)
def test_no_retry_after_is_too_much(value: Any) -> None:
    seconds = seconds_to_wait(value)
    assert seconds is None or 0 <= seconds <= 86400


def test_a_tool_says_what_it_does() -> None:
    from hopyard import Tool
    from hopyard.errors import SpecError

    assert Tool().effect == "changes something"
    assert Tool(read_only=True).effect == "only reads"
    assert Tool(destructive=True).effect == "may destroy something"
    assert Tool(idempotent=True).effect == "changes something, no more when it is repeated"
    with pytest.raises(SpecError, match="tool: destructive"):
        Tool(read_only=True, destructive=True)
    with pytest.raises(SpecError, match="tool: read_only"):
        Tool(read_only="yes")  # type: ignore[arg-type]
