"""What a sentence would become is shown, and nothing is stored."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from click.testing import CliRunner
from hopyard_ai.commands import preview as command
from hopyard_ai.previewing import preview, previews

NOW = datetime.fromisoformat("2027-02-09T14:20:00+01:00")
SAID = ["--now", NOW.isoformat(), "--zone", "Europe/Berlin"]

KINDS = {
    "remind me to create an invoice tomorrow at 9": "reminder",
    "remind me every day at 9 to take the pills": "reminder",
    "don't let me forget to call Bob tomorrow": "reminder",
    "set a reminder at 8pm to take pills": "reminder",
    "create an invoice tomorrow at 9": "task",
    "create an invoice every Monday at 9": "periodic task",
}


@pytest.mark.parametrize(("text", "kind"), KINDS.items())
def test_the_kind_is_what_the_person_wants(text: str, kind: str) -> None:
    assert preview(text, NOW, "Europe/Berlin")["kind"] == kind


def test_a_preview_shows_the_rule_the_next_times_and_the_last_one() -> None:
    found = preview("every day at 8 until Friday call Bob", NOW, "Europe/Berlin")
    assert found["next"] == [f"2027-02-{day}T08:00:00+01:00" for day in (10, 11, 12)]
    assert found["last"] == "2027-02-12T08:00:00+01:00"
    assert found["when"] == "every day at 08:00 Europe/Berlin, until 12 February 2027"
    assert preview("every day at 8 call Bob", NOW, "Europe/Berlin")["last"] is None


def test_each_line_of_a_batch_is_answered_with_one() -> None:
    texts = ("call Bob tomorrow at 9", "call Bob soon")
    lines = [json.dumps({"text": text, "now": NOW.isoformat(), "zone": "Europe/Berlin"}) for text in texts]
    read, refused = (json.loads(line) for line in previews(lines))
    assert (read["instruction"], read["next"]) == ("Call Bob", ["2027-02-10T09:00:00+01:00"])
    assert "no time was understood" in refused["refused"]


ODD = {
    "no JSON": "no JSON object",
    "": "no JSON object",
    "[" * 100_000: "no JSON object",
    "[]": "no JSON object",
    "{}": "text is null",
    '{"text": 5, "now": "2027-02-09T14:20:00+01:00", "zone": "UTC"}': "text is 5",
    '{"text": "x", "now": "2027-02-09T14:20:00+01:00", "zone": 5}': "zone is 5",
    '{"text": "x", "now": "2027-02-09T14:20:00", "zone": "UTC"}': "now is",
    '{"text": "\\ud800 at 9", "now": "2027-02-09T14:20:00+01:00", "zone": "UTC"}': "halves of characters",
    '{"text": "x", "now": "2027-02-09T14:20:00+01:00", "zone": "Nowhere"}': "zone",
}


@pytest.mark.parametrize("line", ODD, ids=[line[:60] for line in ODD])
def test_a_line_of_a_batch_that_is_no_question_is_refused_and_the_next_one_answered(line: str) -> None:
    right = json.dumps({"text": "call Bob tomorrow at 9", "now": NOW.isoformat(), "zone": "UTC"})
    refused, read = (json.loads(found) for found in previews([line, right]))
    assert ODD[line] in refused["refused"]
    assert read["instruction"] == "Call Bob"


def test_the_command_shows_what_is_read_and_fails_for_what_is_refused() -> None:
    read = CliRunner().invoke(command, ["every", "other", "Friday", "call", "Bob", *SAID])
    assert read.exit_code == 0
    assert read.output.splitlines()[:2] == [
        "periodic task: Call Bob",
        "  when  every 2 weeks on Friday at 09:00 Europe/Berlin, starting on 12 February 2027",
    ]
    refused = CliRunner().invoke(command, ["tommorow at 9 call Bob", *SAID])
    assert refused.exit_code == 1
    assert "did you mean `tomorrow`?" in refused.output
    as_json = CliRunner().invoke(command, ["tommorow at 9 call Bob", "--json", *SAID])
    assert (as_json.exit_code, list(json.loads(as_json.output))) == (1, ["refused"])
