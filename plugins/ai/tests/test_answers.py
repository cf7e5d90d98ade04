"""Whatever a model or a tool says can be stored, encoded and shown."""

from __future__ import annotations

import json
from typing import Any

from hopyard_ai.agent.answers import UNUSABLE, clean, encoded, made_fit
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart

TEXTS = st.text(st.characters(exclude_categories=()))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(TEXTS)
def test_a_clean_text_can_be_stored_by_every_database(text: str) -> None:
    assert "\0" not in clean(text)
    clean(text).encode()
    assert clean(clean(text)) == clean(text)


@given(VALUES)
def test_a_result_is_json_whatever_is_in_it(value: Any) -> None:
    text = encoded(value)
    text.encode()
    assert "\\u0000" not in text.replace("\\\\", "")
    json.loads(text)


@given(st.lists(st.tuples(TEXTS, TEXTS | st.dictionaries(TEXTS, VALUES, max_size=2)), min_size=1, max_size=4))
def test_each_call_has_an_id_of_its_own_and_an_object_as_arguments(wanted: list[tuple[str, Any]]) -> None:
    earlier = ModelResponse(parts=[ToolCallPart("weather", {}, tool_call_id=wanted[0][0])])
    parts = [ToolCallPart("weather", args, tool_call_id=id_) for id_, args in wanted]
    answer = made_fit(ModelResponse(parts=[TextPart("x"), *parts]), [earlier])
    calls = [part for part in answer.parts if isinstance(part, ToolCallPart)]
    assert len({call.tool_call_id for call in calls} - {wanted[0][0]}) == len(wanted)
    for call in calls:
        assert isinstance(call.args, dict)
        json.dumps(call.args, ensure_ascii=False).encode()
        call.tool_call_id.encode()


@given(TEXTS)
def test_the_key_is_nowhere_in_an_answer(text: str) -> None:
    key = 'k-"secret\\1'
    call = ToolCallPart("weather", json.dumps({"town": f"{text}{key}"}), tool_call_id="1")
    answer = made_fit(ModelResponse(parts=[TextPart(f"{text}{key}{text}"), call]), [], key)
    said = [part.content if isinstance(part, TextPart) else part.args["town"] for part in answer.parts]
    assert not any(key in one for one in said)


def test_a_cut_call_is_unusable() -> None:
    cut = ModelResponse(parts=[ToolCallPart("weather", {"town": "Ro"}, "1")], finish_reason="length")
    (call,) = made_fit(cut, []).parts
    assert UNUSABLE in call.args
