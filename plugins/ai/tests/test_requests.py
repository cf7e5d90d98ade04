"""Hundreds of sentences with their right readings: none is read wrong, hardly any refused that is plain.

`data/*.tsv`: `requests` are hard ones, `fresh` and its like were written from the page on
requests alone, by somebody who had not seen the grammar; `hostile` must all be refused. In `next` the right
due times (one; the first three; fewer, where it ends earlier), `refuse` where it must not be scheduled
without asking, several right answers apart by ` | `; in `instruction` what is left to do.
"""

from __future__ import annotations

import csv
import json
import re
import unicodedata
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hopyard.errors import ScheduleError
from hopyard_ai.previewing import previews
from hopyard_ai.when import parse

DATA = Path(__file__).parent / "data"
CONVENTIONS = {
    "f4_032": "a preview shows the time of a request that says nothing else; asked for, it is refused",
    "f4_112": "`around 5pm` is taken as 5pm, and shown",
    "f234": "a wall time that a change of clocks leaves out is its first moment after it, for all schedules",
}
"""Rows that another convention would be right for, with ours."""
ESCAPES = {"n": "\n", "t": "\t", "\\": "\\"}


def cases(name: str) -> list[dict[str, str]]:
    with (DATA / f"{name}.tsv").open(encoding="utf-8", newline="") as lines:
        found = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        rows = [row for row in found if row["id"] not in CONVENTIONS]
    for row in rows:
        row["text"] = re.sub(r"\\(.)", lambda found: ESCAPES[found[1]], row["text"])
    return rows


def judged(case: dict[str, str], answer: dict[str, Any]) -> str:
    answers = case["next"].split(" | ")
    if "refused" in answer:
        return "refused in order" if "refuse" in answers else "refused though everyday"
    times = moments(answer["next"])
    readings = [moments(reading.split(",")) for reading in answers if reading != "refuse"]
    if not any((times[:3] if len(reading) == 3 else times) == reading for reading in readings):
        return "silently wrong"
    ends = re.search(r"\bends (\S+?)(?:;|$)", case["note"])
    if ends is not None and (answer["last"] is None or not same_moment(answer["last"], ends[1].split("/"))):
        return "silently wrong"
    wanted = [words(one) for one in case["instruction"].split(" | ")] if case["instruction"] else None
    return "right" if wanted is None or words(answer["instruction"]) in wanted else "text mangled"


def moments(texts: list[str]) -> list[datetime]:
    return [datetime.fromisoformat(text) for text in texts]


def same_moment(text: str, others: list[str]) -> bool:
    return datetime.fromisoformat(text) in moments(others)


def words(instruction: str) -> str:
    """Words without case and punctuation; empty brackets are what a cut has left, and stay."""
    text = "" if instruction == "-" else unicodedata.normalize("NFKC", instruction).casefold()
    scars = re.findall(r"\(\s*\)|\[\s*\]|\{\s*\}", text)
    return " ".join(re.findall(r"\w+", re.sub("['\u2019]", "", text)) + scars)


@pytest.mark.parametrize("name", ["requests", "fresh", "fresh2", "fresh3", "fresh4", "hostile"])
def test_no_sentence_is_read_wrong_and_hardly_any_is_refused_that_a_person_is_sure_of(name: str) -> None:
    rows = cases(name)
    lines = (json.dumps({name: row[name] for name in ("text", "now", "zone")}) for row in rows)
    found = [judged(row, json.loads(line)) for row, line in zip(rows, previews(lines), strict=True)]
    wrong = [row["text"] for row, kind in zip(rows, found, strict=True) if kind == "silently wrong"]
    count = Counter(found)
    assert wrong == []
    assert count["right"] + count["refused in order"] >= 0.97 * len(rows), count
    assert count["refused though everyday"] <= 0.02 * len(rows), count
    assert count["text mangled"] <= 0.01 * len(rows), count


PAGE = Path(__file__).parents[3] / "docs" / "requests.md"
EXAMPLES = re.findall(r"^- `(.+)`\n  ([→✗]) (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
SAID = datetime.fromisoformat("2027-02-09T14:20:00+01:00")


@pytest.mark.parametrize(("text", "sign", "words"), EXAMPLES, ids=[text for text, _, _ in EXAMPLES])
def test_the_page_on_requests_tells_the_truth(text: str, sign: str, words: str) -> None:
    if sign == "✗":
        with pytest.raises(ScheduleError) as caught:
            parse(text, now=SAID, zone="Europe/Berlin")
        assert words in str(caught.value)
        return
    found = parse(text, now=SAID, zone="Europe/Berlin")
    phrase, _, instruction = words.partition(": “")
    assert found.phrase == phrase
    assert not instruction or found.instruction == instruction.removesuffix("”")
