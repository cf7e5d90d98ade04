"""Which phrase says when the request is wanted."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from hopyard.errors import ScheduleError

from hopyard_ai.when import _phrases as phrases
from hopyard_ai.when._accounting import Choice, account
from hopyard_ai.when._phrases import Phrase
from hopyard_ai.when._refusals import left_over, said, unclear
from hopyard_ai.when._tokens import Tokens
from hopyard_ai.when._typing import meant
from hopyard_ai.when._values import Spec
from hopyard_ai.when._words import SHORTENED, TIMELY, words

_ANSWERABLE = words("what how which who where")
_COORDINATES = words("and but or then not also plus well additionally")
_BEGINS_ANEW = words(", . ; : ! ? / | • + - – — * well actually sorry rather")
"""What stands before a second time that is no part of the task: `call Bob at 9. At 10 call Ann`."""
_BOUND_WORDS = words("""
    max maximum most times except without excluding excl until till starting beginning effective only last
    stop stopping end ending
""")


def choose(text: str, tokens: Tokens, found: Sequence[Phrase]) -> Choice:
    """Find the phrases that say when. Raises ScheduleError if none or several do, or a word is left over."""
    found = _shifted(text, tokens, found)
    candidates = [one for one in found if one.spec.when and not one.why]
    free = [one for one in candidates if not phrases.clause_of(tokens, one.first)]
    pool = free or [one for one in candidates if _asked(tokens, one)]
    if not pool:
        raise _nothing(text, tokens, found)
    chosen = _chosen(text, tokens, pool)
    spec, spans = _joined([one.spec for one in chosen]) or Spec(), [(one.first, one.end) for one in chosen]
    for one in found:
        if one not in pool and not one.why and one.spec.refused and phrases.at_head(tokens, one):
            told = said(text, tokens, [(one.first, one.end)])
            raise unclear(f"`{told}`: {one.spec.refused},", text)  # `biweekly sync on Monday`
        if one not in pool and not one.why and _narrows(tokens, one, spec):
            next_ = one.spec.span is not None and "next" in (
                tokens.word(one.first + 1),
                tokens.word(one.first + 2),
            )
            loose = next_ and not phrases.at_head(tokens, one)  # `tell me the weather for the next 3 days`
            joined = spec.joined(one.spec) if not loose else None
            if joined is None:
                raise left_over(text, tokens, one.first, one.end)
            spec = joined
            spans.append((one.first, one.end))
    if phrases.reminded(tokens) > max(end for _, end in spans) and not phrases.at_head(tokens, chosen[0]):
        raise unclear("it is not clear whether the time is that of the reminder", text)
    if (event := phrases.event(tokens, found, spans, spec)) and spec.repeat is None:
        raise unclear(f"it is not clear whether the time is that of the {event} or that of the request", text)
    if spec.refused is not None:
        raise unclear(f"`{said(text, tokens, spans)}`: {spec.refused},", text)
    # `set an alarm for 7am`: the word that leads to the time goes with it.
    spans = [
        (first - phrases.wrapped(tokens, one), end)
        for one in found
        for first, end in spans
        if first == one.first
    ]
    choice = Choice(spec, tuple(sorted(spans)))
    account(text, tokens, found, choice)
    return choice


def _shifted(text: str, tokens: Tokens, found: Sequence[Phrase]) -> list[Phrase]:
    """`remind me 15 minutes before my 3pm meeting`: so much before what is named last."""
    result: list[Phrase] = []
    for place, one in enumerate(found):
        if one.spec.given() == {"shift"}:
            others = [other for other in found if other is not one and (other.spec.clocks or other.spec.day)]
            told = tokens.word(one.first - 1) in ("me", "us") or phrases.at_head(tokens, one)
            if not told or len(others) != 1 or others[0].spec.repeat:
                raise left_over(text, tokens, one.first, one.end)
            described = place + 1 < len(found) and found[place + 1] is others[0] and others[0].why
            one = replace(
                one, spec=others[0].spec if not described else replace(Spec(), clocks=others[0].spec.clocks)
            )
            shifted = one.spec.joined(replace(found[place].spec, weak=False))
            if shifted is None:
                raise left_over(text, tokens, one.first, one.end)
            one = replace(one, spec=replace(shifted, weak=False))
        result.append(one)
    return result


def _asked(tokens: Tokens, one: Phrase) -> bool:
    """`tell me how full the disk is every day at 9`: a clause that asks, and the time of asking."""
    often = one.spec.repeat is not None and (one.spec.clocks is not None or one.spec.part is not None)
    clause = phrases.clause_of(tokens, one.first)
    return clause in _ANSWERABLE and (often or one.spec.delay is not None) and phrases.at_tail(tokens, one)


def _joined(specs: Sequence[Spec]) -> Spec | None:
    whole: Spec | None = specs[0]
    for spec in specs[1:]:
        whole = whole.joined(spec) if whole is not None else None
    return whole


def _chosen(text: str, tokens: Tokens, pool: Sequence[Phrase]) -> list[Phrase]:
    if _joined([one.spec for one in pool]) is not None and _together(tokens, pool):
        return list(pool)
    first, others = pool[0], pool[1:]
    # A time at the very beginning belongs to the request's verb; the later one to what is to be done.
    # But of `daily standup tomorrow at 9` the first word may describe the standup.
    bare = first.end == first.first + 1 and first.spec.repeat is not None and tokens.word(first.end) != ","
    if phrases.at_head(tokens, first) and not first.spec.refused and not bare:
        apart = all(not phrases.beside(tokens, first, other) for other in others)
        between = [tokens.word(place) for place in range(first.end, others[-1].first)]
        again = any(tokens.word(other.first - 1) in _BEGINS_ANEW for other in others)
        again = again or any(tokens.kind(other.first) == "time" for other in others)
        joined = again or bool(_COORDINATES & set(between))
        if apart and not joined and not any(one.spec.refused for one in others):
            return [first]
    both = " and ".join(f"`{said(text, tokens, [(one.first, one.end)])}`" for one in pool)
    raise unclear(f"more than one time was found, {both}, and it is not clear which is meant,", text)


_ADVERBS = words("""
    today tomorrow tonight at on in @ every each daily weekly monthly yearly annually starting this next
    once
""")


def _together(tokens: Tokens, pool: Sequence[Phrase]) -> bool:
    """Whether phrases that stand apart are plainly about one time: `at 5pm play Manic Monday` is not."""
    reminded = phrases.reminded(tokens)
    for one, other in itertools.pairwise(pool):
        bare = any(tokens.word(phrase.first) not in _ADVERBS for phrase in (one, other))
        bare = bare and not phrases.wrapped(tokens, other)
        if (
            bare
            and not phrases.beside(tokens, one, other)
            and not (other.spec.repeat and other.spec.repeat.freq)
        ):
            return False
        before = one.end <= reminded <= other.first and not phrases.at_head(tokens, one)
        if before and not (other.spec.repeat and one.spec.day):
            return False  # `the train leaves tomorrow, remind me at 9`
    return True


def _narrows(tokens: Tokens, one: Phrase, spec: Spec) -> bool:
    """Whether a phrase that says no time by itself, apart from the others, narrows the time down."""
    given = one.spec.given()
    before = tokens.word(one.first - 1)
    if phrases.clause_of(tokens, one.first) or one.why:
        return False
    bound = any(tokens.word(place) in _BOUND_WORDS for place in range(one.first, one.end))
    if "refused" in given and (spec.clocks is not None or spec.delay is not None) and not bound:
        return False  # `be home before dinner`
    if spec.repeat is None:  # `tomorrow at 9 stay until 5pm` is no bound of something that comes once
        bound = bool(given & {"unless", "refused"}) and phrases.at_tail(tokens, one)
        return bound or "window" in given or (given == {"span"} and phrases.at_head(tokens, one))
    if given & {"until", "start", "unless", "refused"}:
        return True
    if given == {"span"}:
        long = one.spec.span is None or one.spec.span.calendar or not spec.repeat.freq
        return long and (phrases.at_tail(tokens, one) or phrases.at_head(tokens, one))
    return given == {"count"} and (before == "," or tokens.word(one.first) == "for")


def _nothing(text: str, tokens: Tokens, found: Sequence[Phrase]) -> ScheduleError:
    for index in range(len(tokens)):
        word = tokens.word(index)
        if (intended := SHORTENED.get(word) or meant(word)) is not None:
            return unclear(f"no time was understood: did you mean `{intended}` by `{word}`,", text)
    for one in found:
        told = said(text, tokens, [(one.first, one.end)])
        if one.spec.refused:
            return unclear(f"`{told}`: {one.spec.refused},", text)
        clause = phrases.clause_of(tokens, one.first)
        why = one.why or (f"it stands in the clause with `{clause}`" if clause else "")
        if why:
            return unclear(
                f"no time was understood: `{told}` seems to belong to what is to be done ({why}),", text
            )
    said_so = [said(text, tokens, [(one.first, one.end)]) for one in found]
    timely = [tokens.word(index) for index in range(len(tokens)) if tokens.word(index) in TIMELY]
    vague = next(iter(said_so + timely), None)
    return unclear(
        f"no time was understood{f': `{vague}` does not say exactly when,' if vague else ''}", text
    )
