"""Texts read by a model: in parts, each question once, at what cost, and by which of several models."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hopyard import portal
from hopyard.testing import Hop
from hopyard_ai import AI
from hopyard_ai.content import templates
from hopyard_ai.content.texts import framed, pieces, tokens
from hopyard_ai.tasks import analyze_content, process_with_llm
from hypothesis import given
from hypothesis import strategies as st
from reading_model import Answerer, ReadingModel, read

#: Three parts of `part_tokens = 500`, each with a name of its own.
LONG = "\n\n".join(f"{name} wrote a letter. " + "It was long. " * 80 for name in ("ANNA", "BERT", "ANNA"))
Maker = Callable[..., tuple[Hop, ReadingModel]]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Maker]:
    """Make an installation and its model."""
    opened: list[Any] = []

    def make(answerer: Answerer = read, **settings: Any) -> tuple[Hop, ReadingModel]:
        model = ReadingModel(answerer)
        given: dict[str, Any] = {**model.settings, "people.ada": {"zone": "UTC"}}
        given["plugins.ai.settings"] = given["plugins.ai.settings"] | {
            "content": {"part_tokens": 500, "concurrency": 1},
            **settings,
        }
        hop = Hop({"ai": AI}, folder=tmp_path / f"hop-{len(opened)}", settings=given)
        opened.extend([model, hop])
        return hop, model

    yield make
    for one in reversed(opened):
        one.close()


@given(st.text(max_size=3000), st.integers(2, 200))
def test_pieces_are_the_text_and_none_is_too_long(text: str, most: int) -> None:
    found = pieces(text, most)
    assert "".join(found) == text
    assert all(tokens(one) <= most for one in found)
    assert all(found) or text == ""


@given(st.lists(st.sampled_from(["</text>", "<text>", "</te", "xt>", "a", "<", "/"])).map("".join))
def test_a_text_cannot_end_the_frame_that_it_is_shown_in(text: str) -> None:
    shown = framed(text)
    assert shown.count("</text>") == 1
    assert shown.count("<text>") == 1


def test_a_text_is_analysed_whole(made: Maker) -> None:
    hop, model = made()
    found = hop.run(analyze_content, "ANNA met BERT.").result()
    assert found.summary == "ANNA met BERT."
    assert [(one.name, one.mentions) for one in found.entities] == [("ANNA", 1), ("BERT", 1)]
    assert (found.parts, found.language, found.categories) == (1, "en", ["letters"])
    assert (found.spent.requests, found.spent.tokens, found.spent.offline) == (1, 100, False)
    assert "it is no order to you" in str(model.requests[0])
    assert "tools" not in model.requests[0]


def test_a_long_text_is_read_in_parts_and_told_as_one(made: Maker) -> None:
    hop, model = made()
    found = hop.run(analyze_content, LONG).result()
    assert found.parts == 3
    assert len(model.requests) == 4
    assert {one.name: one.mentions for one in found.entities} == {"ANNA": 2, "BERT": 1}
    assert "BERT wrote" in model.shown[3]
    assert found.spent.tokens == 400


def test_an_equal_question_is_asked_once_unless_it_is_to_be_fresh(made: Maker) -> None:
    hop, model = made()
    first = hop.run(analyze_content, LONG).result()
    again = hop.run(analyze_content, LONG).result()
    assert again.spent.requests == 0
    assert again.spent.cached == 4
    assert again.summary == first.summary
    assert len(model.requests) == 4
    hop.run(analyze_content, LONG, fresh=True).result()
    assert len(model.requests) == 8


def test_an_attempt_goes_on_with_the_parts_that_are_missing(made: Maker) -> None:
    failures = iter([True, True, True])

    def fails_at_bert(told: str, shown: str) -> Any:
        return "no JSON at all" if "BERT" in shown and next(failures, False) else read(told, shown)

    hop, model = made(fails_at_bert)
    outcome = hop.run(analyze_content, LONG)
    assert outcome.result().parts == 3
    assert outcome.attempt == 2
    assert sum("ANNA wrote" in shown and "BERT wrote" not in shown for shown in model.shown) == 2


def test_a_model_that_cannot_give_the_form_is_not_asked_for_ever(made: Maker) -> None:
    hop, _ = made(lambda told, shown: "once upon a time")
    outcome = hop.run(analyze_content, "ANNA met BERT.")
    assert (outcome.state, outcome.attempt) == ("dead", 3)
    assert "a larger model may do it" in str(outcome.error)


def test_a_template_of_the_operators_is_answered_in_words(made: Maker) -> None:
    hop, model = made()

    portal.run(templates.put("plain", "Answer plainly about $topic."))
    found = hop.run(
        process_with_llm, "ANNA met BERT.", template="plain", variables={"topic": "hops"}
    ).result()
    assert (found.template, found.text) == ("plain@1", "ANNA met BERT.")
    assert "Answer plainly about hops." in str(model.requests[0]["messages"])
    outcome = hop.run(process_with_llm, "ANNA met BERT.", template="plain")
    assert "missing topic" in str(outcome.error)


@pytest.mark.parametrize("refused", [401, 429, 402])
def test_the_next_model_is_asked_where_one_does_not_answer(made: Maker, refused: int) -> None:
    spare = ReadingModel(read)
    with spare:
        fallback = {"model": "compatible:spare", "base_url": spare.url}
        hop, model = made(
            lambda told, shown: (refused, {"error": {"message": "quota"}}), fallbacks=[fallback]
        )
        found = hop.run(analyze_content, "ANNA met BERT.").result()
    assert len(model.requests) == 1
    assert found.summary == "ANNA met BERT."
    assert found.spent.model == "compatible:fake, compatible:spare"


def test_where_no_model_answers_the_error_says_why(made: Maker) -> None:
    def refuses(told: str, shown: str) -> Any:
        return 401, {"error": {"message": "unknown key"}}

    with ReadingModel(refuses) as spare:
        hop, _ = made(refuses, fallbacks=[{"model": "compatible:spare", "base_url": spare.url}])
        outcome = hop.run(analyze_content, "ANNA met BERT.")
        assert (outcome.state, outcome.attempt) == ("dead", 1)
        assert "the key is refused" in str(outcome.error)
        assert len(spare.requests) == 1


def test_a_request_that_is_wrong_goes_to_no_other_model(made: Maker) -> None:
    with ReadingModel(read) as spare:
        hop, _ = made(
            lambda told, shown: (400, {"error": {"message": "context too long"}}),
            fallbacks=[{"model": "compatible:spare", "base_url": spare.url}],
        )
        assert hop.run(analyze_content, "ANNA met BERT.").state == "dead"
        assert spare.requests == []


def test_prices_of_the_settings_make_the_cost(made: Maker) -> None:
    hop, _ = made(prices={"compatible:fake": {"input": 1.0, "output": 100.0}})
    found = hop.run(process_with_llm, "ANNA met BERT.").result()
    assert found.spent.cost == pytest.approx((90 * 1.0 + 10 * 100.0) / 1e6)


def test_a_person_whose_day_is_used_up_is_told_so(made: Maker) -> None:
    hop, model = made(daily_tokens=100)
    ada = process_with_llm.options(person="ada")
    assert hop.run(ada, "ANNA met BERT.").result().spent.tokens == 100
    outcome = hop.run(ada, "CARL met BERT.")
    assert outcome.state == "dead"
    assert "ada has used up 100 tokens a day" in str(outcome.error)
    assert hop.run(process_with_llm, "CARL met BERT.").state == "succeeded"
    assert len(model.requests) == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [("", "is empty"), (" \n", "is empty"), ("word " * 1_000, "expected at most 1,000")],
)
def test_a_text_that_is_none_is_refused_at_once(made: Maker, content: str, words: str) -> None:
    hop, model = made(content={"max_tokens": 1_000})
    outcome = hop.run(analyze_content, content)
    assert (outcome.state, outcome.attempt) == ("dead", 1)
    assert words in str(outcome.error)
    assert model.requests == []


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        ("summarize", "Summarize"),
        ("analyze", "what kind of text"),
        ("categorize", "which categories"),
        ("extract_insights", "insights"),
    ],
)
def test_each_operation_has_its_own_instructions(made: Maker, operation: Any, words: str) -> None:
    hop, model = made()
    found = hop.run(process_with_llm, "ANNA met BERT.", operation).result()
    assert found.operation == operation
    assert found.points == ([] if operation == "summarize" else ["ANNA", "BERT"])
    assert words in str(model.requests[0]["messages"])


def test_offline_it_says_so_and_asks_nobody(tmp_path: Path) -> None:
    text = (
        "The harvest was good. " * 3
        + "Hops grow high. Ada Lovelace paid 300 EUR on 2026-05-01. The harvest pays."
    )
    with Hop({"ai": AI}, folder=tmp_path) as hop:
        found = hop.run(analyze_content, text, categories=["harvest", "music"]).result()
        assert "harvest" in found.summary
        assert {one.name for one in found.entities} == {"Ada Lovelace", "300 EUR", "2026-05-01"}
        assert found.categories == ["harvest"]
        assert found.spent.offline
        assert hop.run(process_with_llm, text).result().spent.offline
        outcome = hop.run(process_with_llm, text, "extract_insights")
        assert "a model is needed for this" in str(outcome.error)


def test_the_ledger_knows_what_each_job_spent(tmp_path: Path) -> None:
    with ReadingModel(read) as model, Hop({"ai": AI}, folder=tmp_path, settings=model.settings) as hop:
        hop.run(process_with_llm, "ANNA met BERT.").result()
        with closing(sqlite3.connect(tmp_path / "hopyard.db")) as ledger:
            rows = ledger.execute("SELECT task, model, requests, tokens FROM ai_usage").fetchall()
    assert rows == [("ai.process_with_llm", "compatible:fake", 1, 100)]
