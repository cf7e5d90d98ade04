"""What lies in the answers of transcription servers, and what subtitles are made of it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hopyard.errors import InvalidInput
from hopyard_media.models import Segment, Transcript
from hopyard_media.speech import answers, joining
from hopyard_media.speech.formats import text_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TEXT = st.text(st.sampled_from("ab -><>{}&\n\r\t\0\u2028\u202e\x1b"), max_size=30)


def transcript(texts: list[str], speaker: str | None = None) -> Transcript:
    told = [Segment(start=n, end=n + 1, text=text, speaker=speaker) for n, text in enumerate(texts)]
    whole = {
        "root": "in",
        "way": "a.wav",
        "sha256": "0",
        "duration": 9.0,
        "engine": "cloud",
    }
    facts = {"language": None, "draft": False, "isolated": False, "confidence": None, "parts": 1, "known": 0}
    return Transcript(**whole, **facts, segments=told)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(TEXT, max_size=4))
def test_a_text_neither_ends_a_subtitle_nor_begins_one(texts: list[str]) -> None:
    for shape in ("srt", "vtt"):
        blocks = text_of(transcript(texts), shape).split("\n\n")
        assert sum(1 for one in blocks if "-->" in one) == len(texts)
    made = text_of(transcript(texts), "srt")
    assert made.count("-->") == len(texts)
    assert not re.search(r"[<{}]", made)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"text": "x" * 100_000}, "found 100,000 characters"),
        ({"words": [{"word": "a", "start": 0, "end": 0}] * 50_000}, "found 50,000 words"),
        ({"segments": [{"text": "ab" * 40_000, "start": 0, "end": 1}]}, "found 80,000 characters"),
        ({"words": [{"word": "a", "start": 10**400, "end": 0}]}, "OverflowError"),
        ({"words": {"word": "a"}}, "found dict as words, expected a list"),
    ],
)
def test_an_answer_that_cannot_be_true_is_refused(answer: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        answers.utterances(json.loads(json.dumps(answer)), 0.0, 300.0)


def test_what_was_made_up_where_nobody_speaks_is_left_out_of_words_and_text_as_well() -> None:
    silent = {
        "start": 0.0,
        "end": 2.0,
        "text": "Thanks for watching!",
        "no_speech_prob": 0.9,
        "avg_logprob": -2.0,
    }
    words = [
        {"word": word, "start": n * 0.5, "end": n * 0.5 + 0.4} for n, word in enumerate(["Thanks", "for"])
    ]
    assert answers.utterances({"segments": [silent], "text": "Thanks for watching!"}, 0, 9) == []
    assert answers.utterances({"segments": [silent], "words": words}, 0, 9) == []


def test_words_out_of_order_are_put_in_order() -> None:
    words = [
        {"word": word, "start": at, "end": at + 0.5} for word, at in (("c", 2), ("a", 0), (" ", 1), ("b", 1))
    ]
    (found,) = joining.segments(answers.utterances({"words": words}, 0, 9), None)
    assert (found.text, found.start, found.end) == ("a b c", 0.0, 2.5)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), st.floats(15, 100))
def test_a_text_without_times_is_heard_once(lengths: list[int], duration: float) -> None:
    """A server that gives no times says of each part all that it heard, also before and after it."""
    said = [f"w{n}{'x' * length}" for n, length in enumerate(lengths)]
    each = duration / len(said)
    heard = []
    for part in joining.parts(duration, 10.0):
        mine = [n for n in range(len(said)) if part.first <= n * each < part.last]
        if mine:
            span = {"start": mine[0] * each, "end": (mine[-1] + 1) * each}
            heard += joining.own(part, [{**span, "text": " ".join(said[n] for n in mine)}])
    assert " ".join(one["text"] for one in heard).split() == said


def test_a_language_without_spaces_is_shared_as_well() -> None:
    first, second = joining.parts(20.0, 10.0)
    text = "\u8a00" * 100
    told = [joining.own(part, [{"start": 0.0, "end": 20.0, "text": text}])[0] for part in (first, second)]
    assert [len(one["text"]) for one in told] == [50, 50]
