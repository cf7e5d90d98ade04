"""Text and JSON that leave the process."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hopyard.display import plain, printable, to_json
from hypothesis import given
from hypothesis import strategies as st

#: Also halves of characters, control characters, numbers beyond all bounds, and what is no number.
TEXTS = st.text(st.characters(), max_size=30)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**4000, 10**5000)
    | st.floats()
    | TEXTS
    | st.datetimes()
    | st.uuids(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def obeyed(text: str) -> list[str]:
    return [c for c in text if c not in "\n\t" and (ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0)]


@given(VALUES)
def test_whatever_it_is_given_it_writes_strict_json(value: Any) -> None:
    text = to_json(value, indent=2)
    text.encode()

    def refuse(word: str) -> None:
        raise AssertionError(word)

    json.loads(text, parse_constant=refuse)
    assert not obeyed(text)


@given(VALUES)
def test_reading_it_gives_the_plain_values(value: Any) -> None:
    assert json.loads(to_json(value)) == plain(value)


@given(TEXTS)
def test_no_text_commands_the_terminal(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert not obeyed(shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        ("\x9b31m red", r"\x9b31m red"),
        ("two\nlines\tok", "two\nlines\tok"),
        ("a\u202eb", r"a\u202eb"),
        ("half \ud800", "half \N{REPLACEMENT CHARACTER}"),
        ("[/x] [bold]", "[/x] [bold]"),
        ("Grüße, 世界", "Grüße, 世界"),
        ("redis://u:pw@h", "redis://u:***@h"),
    ],
)
def test_control_characters_are_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_secret_is_masked_before_it_is_encoded() -> None:
    """What replaces it must not take a quote or a bracket with it."""
    data = {"url": "https://u:p@h/", "header": 'authorization: bearer a"b', "token": "?token=x\\y"}
    assert json.loads(to_json(data))["header"] == 'authorization: bearer ***"b'


def test_very_deep_data_is_cut_off() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert "…" in to_json(deep)
