"""Arguments and results as types: checked at the call, stored as JSON, given to the function as declared."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hopyard import Job
from hopyard.broker.envelope import body_of
from hopyard.errors import PayloadError
from hopyard.redaction import register
from hopyard.tasks.payload import MAX_BYTES, Payload, checked
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field


class Colour(Enum):
    RED = "red"


class Point(BaseModel):
    x: int
    y: int = 0


class Unknown:
    """A class that says nothing about how it is stored."""


def of(function: Callable[..., Any]) -> Payload:
    return Payload("site.task", function, Job)


def through_json(function: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    payload = of(function)
    return payload.load_body(body_of(payload.dump(args, kwargs)))


def order(city: str, days: int = 3, *, tags: tuple[str, ...] = ()) -> None: ...


# --- what fits


def test_arguments_may_be_given_by_place_or_by_name() -> None:
    payload = of(order)
    assert json.loads(payload.dump(("Ghent",), {"days": 2})) == {"city": "Ghent", "days": 2}
    assert payload.dump((), {"city": "Ghent", "days": 2}) == payload.dump(("Ghent", 2), {})
    assert payload.load(("Ghent",), {"days": 2})["days"] == 2, "as a stock producer writes them"


def test_defaults_are_not_stored_but_given_to_the_function() -> None:
    """So that a changed default holds for jobs that wait."""
    payload = of(order)
    assert json.loads(payload.dump(("Ghent",), {})) == {"city": "Ghent"}
    assert payload.load((), {"city": "Ghent"}) == {"city": "Ghent", "days": 3, "tags": ()}


def everything(
    day: date,
    moment: datetime,
    span: timedelta,
    colour: Colour,
    point: Point,
    points: list[Point],
    names: set[str],
    pair: tuple[int, str],
    path: Path,
    id: UUID,  # noqa: A002 - what it is about
    exact: Annotated[int, Field(ge=1)],
    nothing: int | None = 1,
) -> None: ...


def test_types_survive_the_way_through_json() -> None:
    given = {
        "day": date(2026, 2, 28),
        "moment": datetime(2026, 2, 28, 12, tzinfo=timezone(timedelta(hours=2))),
        "span": timedelta(days=1, seconds=1.5),
        "colour": Colour.RED,
        "point": Point(x=1),
        "points": [Point(x=2, y=3)],
        "names": {"ada", "bob"},
        "pair": (1, "one"),
        "path": Path("/tmp/x"),
        "id": UUID(int=7),
        "exact": 1,
        "nothing": None,
    }
    assert through_json(everything, **given) == given


def shadowing(json: str, copy: int, schema: list[str], model_dump: bool, p1: str, p0: str = "") -> None: ...


def test_no_parameter_name_collides_with_pydantics() -> None:
    given = {"json": "a", "copy": 1, "schema": ["s"], "model_dump": True, "p1": "one", "p0": "zero"}
    assert through_json(shadowing, **given) == given


def with_job(city: str, work: Job, days: int = 1) -> None: ...


def test_the_job_is_found_by_its_type_and_is_no_argument() -> None:
    payload = of(with_job)
    assert payload.job_parameter == "work"
    assert json.loads(payload.dump(("Ghent", 2), {})) == {"city": "Ghent", "days": 2}
    with pytest.raises(PayloadError, match="work: Extra inputs are not permitted"):
        payload.dump(("Ghent",), {"work": 1})
    assert of(order).job_parameter is None


# --- what does not


def test_every_fault_is_named_with_what_was_found() -> None:
    with pytest.raises(PayloadError) as caught:
        of(everything).dump((), {"day": "soon", "colour": "blue", "point": {"x": "one"}, "nmaes": 1})
    message = str(caught.value)
    assert message.startswith("site.task: ")
    for fault in ("day: ", "found 'soon'", "colour: ", "found 'blue'", "point.x: ", "moment: Field required"):
        assert fault in message
    assert "nmaes: Extra inputs are not permitted, found 1" in message


def test_a_secret_among_the_faults_is_masked() -> None:
    register("hunter2-hunter2")
    with pytest.raises(PayloadError) as caught:
        of(order).dump(("Ghent",), {"days": "hunter2-hunter2"})
    assert "hunter2" not in str(caught.value)
    assert "days: " in str(caught.value)


def test_too_many_or_the_same_twice_is_refused() -> None:
    with pytest.raises(PayloadError, match=r"site\.task: 4 arguments given, it takes 3"):
        of(order).dump((1, 2, 3, 4), {})
    with pytest.raises(PayloadError, match="argument `city` is given twice"):
        of(order).dump(("Ghent",), {"city": "Ghent"})


def untyped(anything: Any, raw: bytes = b"") -> None: ...


@pytest.mark.parametrize("given", [{"anything": Unknown()}, {"anything": 1, "raw": b"\xff"}])
def test_a_value_that_is_not_json_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(PayloadError, match=r"site\.task: .*JSON"):
        of(untyped).dump((), given)


def foreign(thing: Unknown) -> None: ...


def test_a_type_that_cannot_be_stored_is_a_fault_of_the_declaration() -> None:
    with pytest.raises(PayloadError, match=r"site\.task: .*Unknown"):
        of(foreign).dump((), {"thing": Unknown()})


def test_stored_arguments_are_checked_again_by_the_worker() -> None:
    """They may be older than the code, or a stock producer's."""
    with pytest.raises(PayloadError, match=r"days: .*found 'many'"):
        of(order).load((), {"city": "Ghent", "days": "many"})


# --- results


def a_point() -> Point: ...
def a_date() -> date: ...
def some(kind: Literal["a"] = "a") -> tuple[int, ...]: ...


def test_a_result_is_given_back_as_its_type() -> None:
    for function, value in ((a_point, Point(x=1)), (a_date, date(2026, 1, 2)), (some, (1, 2))):
        payload = of(function)
        assert payload.load_result(payload.dump_result(value)) == value
    assert of(a_date).load_result(None) is None


@pytest.mark.parametrize(
    ("function", "value"),
    [(a_date, "soon"), (some, ["one"]), (a_point, None), (order, 5), (untyped, "\ud800")],
)
def test_a_result_that_does_not_fit_is_refused(function: Callable[..., Any], value: Any) -> None:
    with pytest.raises(PayloadError, match=r"site\.task: the result does not fit its type"):
        of(function).dump_result(value)


# --- size


def test_a_job_carries_at_most_a_megabyte() -> None:
    largest = "x" * MAX_BYTES
    assert checked(largest, "the arguments") == largest
    with pytest.raises(PayloadError, match=r"the arguments is 1,000,001 bytes, .* at most 1,000,000"):
        checked(largest + "x", "the arguments")


def test_size_is_counted_in_bytes() -> None:
    assert checked("é" * (MAX_BYTES // 2), "it")
    with pytest.raises(PayloadError, match="1,000,002 bytes"):
        checked("é" * (MAX_BYTES // 2 + 1), "it")


def text() -> str: ...


def test_a_result_that_is_too_large_is_refused() -> None:
    with pytest.raises(PayloadError, match="the result is 1,000,002 bytes"):
        of(text).dump_result("x" * MAX_BYTES)


# --- for LLMs


def test_the_schema_of_a_tool_names_its_arguments() -> None:
    schema = of(with_job).schema()
    assert schema["properties"].keys() == {"city", "days"}
    assert schema["required"] == ["city"]
    assert schema["properties"]["days"]["default"] == 1
    assert schema["additionalProperties"] is False
    assert "title" not in schema
    assert of(shadowing).schema()["properties"].keys() == {"json", "copy", "schema", "model_dump", "p0", "p1"}


# --- what no reader of JSON could take


class Reading(BaseModel):
    value: float


NAN, INF = float("nan"), float("inf")


def whatever(value: Any) -> Any: ...


def number(value: float) -> float: ...


def numbers(value: list[float]) -> list[float]: ...


def reading(value: Reading) -> Reading: ...


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (whatever, NAN),
        (whatever, {"a": [1, NAN]}),
        (whatever, {"a": -INF, "b": "null"}),
        (number, NAN),
        (number, INF),
        (numbers, [1.0, NAN]),
        (reading, Reading.model_construct(value=NAN)),
        (whatever, Reading.model_construct(value=INF)),
        (whatever, (Decimal("NaN"), None)),
    ],
)
def test_numbers_that_json_cannot_say_are_refused(function: Callable[..., Any], value: Any) -> None:
    with pytest.raises(PayloadError, match=r"NaN or an infinity|JSON|finite"):
        of(function).dump((value,), {})
    with pytest.raises(PayloadError, match=r"NaN or an infinity|fit its type"):
        of(function).dump_result(value)


def test_words_that_look_like_such_numbers_are_not() -> None:
    value = {"NaN": "Infinity", "null": None, "list": [None, 1.5, "NaN"]}
    assert json.loads(of(whatever).dump_result(value)) == value
    assert json.loads(of(whatever).dump((value,), {})) == {"value": value}


@pytest.mark.parametrize("value", [10**5000, {"a": [-(10**700)]}, {"a": {"b": 10**641}}], ids=range(3))
def test_numbers_of_hundreds_of_digits_are_refused(value: Any) -> None:
    payload = of(whatever)
    with pytest.raises(PayloadError, match=r"digits|form"):
        checked(payload.dump((value,), {}), "the arguments")
    with pytest.raises(PayloadError, match=r"digits|fit its type"):
        payload.dump_result(value)


def test_long_texts_of_digits_and_numbers_that_every_python_reads_are_kept() -> None:
    for value in ("1" * 5000, 10**600, {"a": "x", "b": "2" * 2000}):
        assert of(whatever).load_result(of(whatever).dump_result(value)) == value


@pytest.mark.parametrize("value", ["\ud800", {"\udfff": 1}, ["a", {"b": "\ud83d"}]])
def test_lone_surrogates_are_refused(value: Any) -> None:
    with pytest.raises(PayloadError):
        of(whatever).dump((value,), {})
    with pytest.raises(PayloadError):
        of(whatever).dump_result(value)


JSONISH = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.builds(lambda: 10**5000)
    | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(JSONISH)
def test_whatever_is_kept_is_strict_json_that_comes_back(value: Any) -> None:
    payload = of(whatever)
    try:
        text = payload.dump_result(value)
        arguments = checked(payload.dump((value,), {}), "the arguments")
    except PayloadError:
        return
    for kept in (text, arguments):
        json.loads(kept, parse_constant=pytest.fail)
        kept.encode()
    assert payload.load_result(text) == value
    assert payload.load_body(body_of(arguments)) == {"value": value}
