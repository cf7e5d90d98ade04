"""Tables: whole cells in any width."""

from __future__ import annotations

import pytest
from hopyard.cli._table import table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

ID = "01a2243e-d05c-7678-8616-f31395a2a39d"
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\t \x0b\x0c"), min_size=1, max_size=15)
TEXTS = st.lists(WORDS, max_size=15).map(" ".join)

in_any_order = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@in_any_order
@given(width=st.integers(1, 250), rows=st.lists(st.tuples(WORDS, TEXTS), max_size=5))
def test_no_line_is_wider_and_no_id_is_broken(
    width: int, rows: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        table("Jobs", ("id", "state", "what happened"), [(ID, *row) for row in rows])
    lines = capsys.readouterr().out.split("\n")
    assert all(cell_len(line) <= max(width, len(ID)) for line in lines)
    assert sum(ID in line for line in lines) == len(rows)


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (200, "id task state attempt"),
        (70, "id task state"),
        (60, "id task"),
        (40, "id"),
    ],
)
def test_columns_are_left_out_in_the_order_that_is_asked_for(
    width: int, columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    row = (ID, 1, "site.a_longer_name", "succeeded")
    table("", ("id", "attempt", "task", "state"), [row], drop=["attempt"])
    told = capsys.readouterr().out
    assert sorted(told.splitlines()[0].split()) == sorted(columns.split())
    assert ("too narrow for" in told) is (width < 200)


def test_a_table_without_rows_has_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    table("Jobs", ("id", "state"), [])
    assert "id  state" in capsys.readouterr().out
