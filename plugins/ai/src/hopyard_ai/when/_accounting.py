"""That no word about time is left over: each is read, or left where it is for a reason, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hopyard_ai.when import _phrases as phrases
from hopyard_ai.when._edges import COUNTED_DAYS, UNITS, check_edge, number
from hopyard_ai.when._phrases import Phrase
from hopyard_ai.when._refusals import left_over, unclear
from hopyard_ai.when._tokens import Tokens
from hopyard_ai.when._typing import meant, meant_before, meant_hour
from hopyard_ai.when._values import Spec
from hopyard_ai.when._words import (
    OCCASIONS,
    OFTEN,
    PARTS,
    SHORTENED,
    TIMELY,
    words,
)

_SMALL_WORDS = words("""
    as well no not never only even also both either neither if it it's is isn't when unless while
    effective from of on at in a an the any some all but and or nor plus except with this these those so
    long provided except , ( - – — ; one two three day date end start coming following next
""")


@dataclass(frozen=True, slots=True)
class Choice:
    """What the sentence says about when, and the tokens that say it."""

    spec: Spec
    spans: tuple[tuple[int, int], ...]


def account(text: str, tokens: Tokens, found: Sequence[Phrase], choice: Choice) -> None:
    """Raise ScheduleError for a word about time that is neither read nor, for a reason, left where it is."""
    taken = {index for first, end in choice.spans for index in range(first, end)}
    kept = {index for one in found for index in range(one.first, one.end)} - taken
    for first, end in choice.spans:
        check_edge(text, tokens, first - 1, -1, choice.spec, taken | kept)
        check_edge(text, tokens, end, 1, choice.spec, taken | kept)
    for one in found:
        beside = any(_beside(tokens, one, span) for span in choice.spans)
        led = bool(one.why) and choice.spec.joined(one.spec) is not None
        near = bool(one.spec.given() - {"span", "count", "zone"}) and any(
            _linked(tokens, one, span) for span in choice.spans
        )
        listed = one.first not in taken and (_listed(tokens, one, choice) or _lent(tokens, one, choice.spec))
        if listed or (one.first not in taken and (near or (beside and (led or not one.why)))):
            raise left_over(text, tokens, one.first - 1, one.end)  # `call Bob before 5pm tomorrow`
        counted = (
            one.spec.given() & {"count", "often"}
            and choice.spec.repeat is not None
            and one.first not in taken
        )
        if counted and tokens.word(one.first - 1) in words("to than most max maximum only just about and"):
            raise left_over(text, tokens, one.first, one.end)
    _check_tail(text, tokens, found, choice)
    for index in range(len(tokens)):
        if index in taken or index in kept:
            continue
        word = tokens.word(index)
        if word in ("every", "each") and index <= phrases.opening(tokens):  # `every TuTh at 9`
            raise left_over(text, tokens, index, index + 2)
        if word in SHORTENED and (phrases.opening(tokens) == index or {index - 1, index + 1} & taken):
            raise unclear(f"`{word}` is not read: did you mean `{SHORTENED[word]}`?", text)
        if tokens.word(index - 1) == "at" and (intended := meant_hour(word)) is not None:
            raise unclear(f"`{word}` is not read: did you mean `{intended}`?", text)
        if (intended := meant(word)) is not None:
            raise unclear(f"`{word}` is not read: did you mean `{intended}`?", text)
        if (intended := _mistyped_lead(tokens, index, taken)) is not None:
            raise unclear(f"`{word}` is not read: did you mean `{intended}`?", text)
        if word in UNITS and (lead := _lead(tokens, index, taken)) is not None:
            raise left_over(text, tokens, lead, index + 1)
        if word in ("every", "each") and _every_unit(tokens, index):
            raise left_over(text, tokens, index, index + 3)
        if word in TIMELY and not _explained(tokens, index, taken):
            raise left_over(text, tokens, index, index + 1)


def _check_tail(text: str, tokens: Tokens, found: Sequence[Phrase], choice: Choice) -> None:
    """Refuse what bounds or corrects the time behind what is to be done: `call Bob, after 1 March`."""
    end = max(last for _, last in choice.spans)
    spans = {first for first, _ in choice.spans}
    for one in found:
        if one.first < end or one.first in spans:
            continue
        before = [tokens.word(place) for place in range(max(one.first - 5, end), one.first)]
        corrects = _CORRECTIONS & set(before)
        near = before[-1:] == ["("] or _TAIL & set(before[-3:]) or tokens.word(one.first) == "during"
        bounds = choice.spec.repeat is not None and phrases.at_tail(tokens, one) and near
        behind = choice.spec.repeat is not None and tokens.word(one.end) in _BEHIND
        if corrects or bounds or behind:
            raise left_over(text, tokens, max(one.first - 1, 0), one.end)
    for index in range(end, len(tokens)):
        if choice.spec.repeat is not None and _ends_with(tokens, index):
            raise left_over(text, tokens, index, index + 2)  # `until I feel better`
        three = tuple(tokens.word(place) for place in range(index, index + 3))
        corrected = three[0] == "make" and three[1] in ("that", "it") and number(tokens, index + 2)
        stops = three[0] in _STOPS and three[1] in ("after", "on", "at", "in") and number(tokens, index + 2)
        counted = three[0] in ("×", "*") and number(tokens, index + 1)
        only = three[0] == "only" and any(
            tokens.word(place) in UNITS | TIMELY for place in range(index + 1, index + 5)
        )
        if corrected or (choice.spec.repeat is not None and (stops or counted or only)):
            raise left_over(text, tokens, index, index + 3)


def _ends_with(tokens: Tokens, index: int) -> bool:
    """Whether an end is said that nobody can know, other than that of `wait until he comes`."""
    until = tokens.word(index) in ("until", "till", "til") and tokens.word(index + 1) in _SOMEBODY
    return until and tokens.word(index - 1) not in _WAITS


_SOMEBODY = words("i we he she they it you i'm it's he's she's they're we're")
_WAITS = words("wait waits stay stays hold keep sit rest cook bake")
_STOPS = words("stop stops stopping end ends")
_CORRECTIONS = words("sorry actually instead rather correction no make")
# `e` and `f` are those of `w.e.f.`.
_TAIL = words("""
    after effective beginning starting start starts stop stops end ends last first only during except
    excluding excl than onwards e f
""")
_BEHIND = words("excluded excepted onwards onward exempt excl off free")


def _lent(tokens: Tokens, one: Phrase, spec: Spec) -> bool:
    """Whether it is a time of day, and the day that was found has none: `Monday train at 11`."""
    daily = spec.day is not None or (spec.repeat is not None and bool(spec.repeat.freq))
    bare = tokens.word(one.first) == "at" or one.end == len(tokens)
    clock = one.spec.given() - {"span"} == {"clocks"}
    return bare and clock and daily and not spec.given() & _CLOCKED


_CLOCKED = {"clocks", "part", "instant", "delay", "window", "same_clock", "shift"}


def _listed(tokens: Tokens, one: Phrase, choice: Choice) -> bool:
    """Whether it is one more entry of a list of times: `9:00 Bob 10:00 Ann`."""
    ends = [(end, tokens.kind(end - 1), tokens.word(end - 2)) for _, end in choice.spans]
    bare = any(kind == "time" and before != "at" and end < one.first for end, kind, before in ends)
    before = tokens.kind(one.first - 1) == "word" and tokens.word(one.first - 1) not in _INTRODUCE
    return bare and before and tokens.kind(one.first) == "time" and one.first + 1 == one.end


_INTRODUCE = words("""
    the a an my our your his her their its this that at for from to till until of by before after about
    and or is was in on
""")


def _linked(tokens: Tokens, one: Phrase, span: tuple[int, int]) -> bool:
    """Whether only small words stand between a phrase and the time: `but never on a Sunday`."""
    first, end = (span[1], one.first) if one.first >= span[1] else (one.end, span[0])
    between = [tokens.word(place) for place in range(first, end)]
    return bool(between) and all(word in _SMALL_WORDS for word in between)


def _beside(tokens: Tokens, one: Phrase, span: tuple[int, int]) -> bool:
    other = Phrase(*span, Spec())
    return phrases.beside(tokens, one, other) or phrases.beside(tokens, other, one)


def _lead(tokens: Tokens, index: int, taken: set[int]) -> int | None:
    """Where the preposition is that makes a unit beside the time, or at the beginning, a time of its own.

    `on Mother's Day at 10`, `feed it on even days at 9`, `in the first week at 9`: an instruction does not
    begin with such words, and beside the time they may well change it.
    """
    for place in range(index - 1, max(index - 6, -1), -1):
        if place in taken or tokens.word(place) in phrases.STOPS:
            return None
        if tokens.word(place) in _UNIT_LEADS:
            bare = place + 1 == index  # `be on time tomorrow`
            near = index + 1 in taken or place - 1 in taken or place <= phrases.opening(tokens)
            return place if near and not bare else None
    return None


_UNIT_LEADS = words("on in at during every each ever within by until till after before from over since")


def _mistyped_lead(tokens: Tokens, index: int, taken: set[int]) -> str | None:
    """What is meant by `ech` before a day: words that are too short to be found wherever they stand."""
    follows = tokens.word(index + 1)
    timely = follows in COUNTED_DAYS | UNITS | PARTS.keys() | TIMELY
    return meant_before(tokens.word(index)) if timely else None


def _explained(tokens: Tokens, index: int, taken: set[int]) -> bool:
    """Whether a word about time that the grammar does not know plainly belongs to what is to be done."""
    before, further = tokens.word(index - 1), tokens.word(index - 2)
    beside = bool({index - 1, index + 1} & taken)
    owned = before in _OWNS or before.endswith(("'s", "s'"))
    occasion = tokens.word(index) in OCCASIONS
    if tokens.word(index) in OFTEN and index <= phrases.opening(tokens):
        return False  # `biweekly sync on Monday`
    if (further if owned else before) in _WHEN and (owned or beside or occasion):
        return False  # `on my birthday`, `until the summer`
    if occasion and _lead(tokens, index, taken) is not None:
        return False  # `at eleven in the early hours of my birthday`
    if occasion and index - 1 not in taken and (phrases.noun_at(tokens, index - 1) or not beside):
        return True  # `wish Ann a happy birthday on 12 June`
    led = owned or before in words("of about for since")
    return (
        led or (phrases.noun_at(tokens, index + 1) and not beside) or bool(phrases.clause_of(tokens, index))
    )


_OWNS = words("the a an my our your his her their its this these those")
_WHEN = words("on at in until till before after over by every each from during")


def _every_unit(tokens: Tokens, index: int) -> bool:
    """Whether `every` leads, a few words on, to a unit of time: `every odd day`."""
    near = [tokens.word(place) for place in range(index + 1, index + 6)]
    led = tokens.word(index - 1) in words("of for in about during") or phrases.clause_of(tokens, index)
    return not led and any(word in UNITS or word in TIMELY for word in near)
