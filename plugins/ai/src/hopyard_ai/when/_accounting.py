"""That no word about time is left over: each is read, or left where it is for a reason, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hopyard_ai.when import _phrases as phrases
from hopyard_ai.when._bounds import PIECES
from hopyard_ai.when._clocks import MEASURES
from hopyard_ai.when._numbers import GRAMMAR
from hopyard_ai.when._phrases import Phrase
from hopyard_ai.when._refusals import left_over, unclear
from hopyard_ai.when._tokens import Tokens
from hopyard_ai.when._typing import meant, meant_after, meant_before, meant_hour
from hopyard_ai.when._values import Spec
from hopyard_ai.when._words import (
    DAYS,
    FOREIGN,
    OCCASIONS,
    OFTEN,
    ORDINALS,
    PARTS,
    PLURAL_DAYS,
    SHORTENED,
    SMALL,
    TENS,
    TIMELY,
    words,
)

_ORDINARY = words("""
    & ' + , . - – — 0 12 7 @ _ a about after again all alternate an and annual another any as aside at bank
    bar barring before between bi blue boxing breakfast business but by christmas close couple d di
    dinner do during each effect effective eight eleven end eve even every exception f fall few fifth
    first five fools for four fourth fr from full further h if immediately in inside is it it's just
    last leap less local lunch m march may mi mid mo moon more most my new next nine no not notice now o
    odd of office often on once one only or other out outside over past position possible public
    remainder rest s sa same sat save school season second semi seven several since single six skip
    skipping so some soon sooner standard start starting su sun supper tea ten th than the then thing
    third this three through time times to total tu twelve two under up very w we wed when while with
    without work working x xmas
""")
"""Words of the grammar that an instruction may as well begin or end with; all others are about time."""
_ABOUT_TIME = GRAMMAR.vocabulary(PIECES) - _ORDINARY
_MEASURED = GRAMMAR.vocabulary(["measure", "genitive"])
_BOUNDS = _ABOUT_TIME | words("""
    until till til except excluding unless starting beginning ending within apart past per / minus ish
    max maximum excl exc early late inclusive included including coming following gone ends end ended stops
    hundred thousand million dozen stopping starts begins lasting lasts expires expiring
""")
_COUNTED_DAYS = (
    DAYS.keys()
    | PLURAL_DAYS.keys()
    | words("""
    working business work weekday weekdays workday workdays weekend weekends
    mornings afternoons evenings nights
""")
)
_FEW = words("few couple several many some both most alternate even odd more less half")
_BOUNDS_BEFORE = _ABOUT_TIME | words("""
    until till til except excluding unless starting beginning ending between within from by before after
    around past every each next last other alternate not never about roughly since early earlier late
    later ends end starts begins lasting
""")
_LETTERS = words("m t w f s mo tu we th fr sa su")
_UNITS = words("seconds minute minutes hour hours day days week weeks month months year years")
_EDGES = words("from before after by during since around through throughout between")
_LOOSE = _EDGES | words("""
    to over but or not never nor only beyond every each other next last this and for in on at - – —
    within all any the
""")
_PREPOSITIONS = words("on at in during before after until when if while every so")
_SMALL_WORDS = words("""
    as well no not never only even also both either neither if it it's is isn't when unless while
    effective from of on at in a an the any some all but and or nor plus except with this these those so
    long provided except , ( - – — ; one two three day date end start coming following next
""")
_QUALIFIERS = words("""
    any the of rest remainder public bank school national local federal state a an this next coming
    following few several whole entire remaining all first last every each other same both many odd even
    alternate some most certain until for about at least most up to no more than
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
        _check_edge(text, tokens, first - 1, -1, choice.spec, taken | kept)
        _check_edge(text, tokens, end, 1, choice.spec, taken | kept)
    for one in found:
        beside = any(_beside(tokens, one, span) for span in choice.spans)
        led = bool(one.why) and choice.spec.joined(one.spec) is not None
        near = bool(one.spec.given() - {"span", "count", "zone"}) and any(
            _linked(tokens, one, span) for span in choice.spans
        )
        listed = one.first not in taken and _listed(tokens, one, choice)
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
        if word in _UNITS and (lead := _lead(tokens, index, taken)) is not None:
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
        three = tuple(tokens.word(place) for place in range(index, index + 3))
        corrected = three[0] == "make" and three[1] in ("that", "it") and _number(tokens, index + 2)
        stops = three[0] in _STOPS and three[1] in ("after", "on", "at", "in") and _number(tokens, index + 2)
        counted = three[0] in ("×", "*") and _number(tokens, index + 1)
        only = three[0] == "only" and any(
            tokens.word(place) in _UNITS | TIMELY for place in range(index + 1, index + 5)
        )
        if corrected or (choice.spec.repeat is not None and (stops or counted or only)):
            raise left_over(text, tokens, index, index + 3)


_STOPS = words("stop stops stopping end ends")
_CORRECTIONS = words("sorry actually instead rather correction no make")
# `e` and `f` are those of `w.e.f.`.
_TAIL = words("""
    after effective beginning starting start starts stop stops end ends last first only during except
    excluding excl than onwards e f
""")
_BEHIND = words("excluded excepted onwards onward exempt excl off free")


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


def _check_edge(text: str, tokens: Tokens, index: int, step: int, spec: Spec, known: set[int]) -> None:
    """Check the word beside the time: one that could bound or change it must have been read."""
    while tokens.word(index) in (",", "(", ")", "[", "]", ":", ";"):
        index += step
    word = tokens.word(index)
    if step < 0 and _leading_code(tokens, index):
        raise left_over(text, tokens, index, index + 1)
    if 0 <= index < len(tokens) and tokens[index].text.startswith("\0"):
        raise left_over(text, tokens, index, index + 1)  # `tomorrow not before 9`
    if not word or index in known:
        return
    if word in SHORTENED:
        raise unclear(f"`{word}` is not read: did you mean `{SHORTENED[word]}`?", text)
    if step > 0 and _goes_on(tokens, index):
        raise left_over(text, tokens, index, index + 2)
    if step > 0 and (intended := meant_after(word)) is not None:
        raise unclear(f"`{word}` is not read: did you mean `{intended}`?", text)
    foreign = word in FOREIGN or (tokens.kind(index) == "word" and _other_script(word))
    bounds = _bounds_after(tokens, index, spec, known) if step > 0 else _bounds_before(tokens, index, spec)
    if foreign or bounds:
        raise left_over(text, tokens, index, index + 1)


def _goes_on(tokens: Tokens, index: int) -> bool:
    """Whether the time goes on in what was not read: `9’30`, `10:00+02:00`, `9p`, `9 +2`, `9 ×3`."""
    word, follows = tokens.word(index), tokens.word(index + 1)
    if tokens.touches(index):
        return word not in _PUNCTUATION or (tokens.touches(index + 1) and _number(tokens, index + 1))
    initials = len(word) == 1 and follows == "." and tokens.touches(index + 1)  # `9 p.m. E.S.T.`
    return initials or (
        word in _SIGNS and (_number(tokens, index + 1) or follows in MEASURES or follows in ("a", "an"))
    )


_PUNCTUATION = words(". , ; : ! ? ) ] } ' ’ ” - – — … / >") | {'"'}
_SIGNS = words("+ × * plus minus less ' ’")
_AT = words("on at in from by @ < ~")


def _leading_code(tokens: Tokens, index: int) -> bool:
    """Whether nothing but a number or code leads to the time: `2027-W09-3 at 10:00`, `on 3-3-27 at 10`."""
    if not _coded(tokens, index):
        return False
    begin, first = phrases.opening(tokens), index
    while first > begin and (_coded(tokens, first - 1) or tokens.touches(first)):
        first -= 1
    return first <= begin or (tokens.word(first - 1) in _AT and first - 1 <= begin)


def _bounds_before(tokens: Tokens, index: int, spec: Spec) -> bool:
    """Whether the word before the time says something about it, or joins it to a part that was not read."""
    word, before = tokens.word(index), tokens.word(index - 1)
    if word in _AT and tokens.kind(index + 1) in ("time", "number") and spec.clocks is not None:
        return True  # `in 1:30`
    if word in _BOUNDS_BEFORE:
        return not (word in PARTS and before == "good")  # `say good night at 22:00`
    if _number(tokens, index) and spec.clocks is None and (spec.part or index <= phrases.opening(tokens)):
        return True  # `9 at night on the 30th`
    if _number(tokens, index):  # `two Mondays`, `no later than 9 tomorrow`
        numbers = _number(tokens, index + 1)  # `forty two o two`
        return numbers or tokens.word(index + 1) in _COUNTED_DAYS or before in _BOUNDS_BEFORE | {"than"}
    if word in _MEASURED and (_number(tokens, index - 1) or before in ("a", "an", "half")):
        return True  # `half a d, …`
    if word in ORDINALS and tokens.word(index + 1) in _COUNTED_DAYS:  # `third Thursdays`
        return True
    joined = before in ("/", "&", "+", "and") or (before == "," and len(word) > 1)
    if word in _LETTERS and joined:  # `M/W/F at 9`
        return True
    if word in ("march", "may") and before == "of":  # `on the ides of March at 9`
        return True
    if word in _FEW:  # `in a few working days`
        return tokens.word(index + 1) in _COUNTED_DAYS
    if word in _JOINING:  # `on 1 and 2 March`
        return _number(tokens, index - 1) or before in TIMELY | DAYS.keys() | _ABOUT_TIME | _MEASURED
    return word in _UNITS | {"time"} and before in _WHOLE  # `all day tomorrow`


def _bounds_after(tokens: Tokens, index: int, spec: Spec, known: set[int]) -> bool:
    """Whether the word after the time says something about it: a bound, an exception, a number."""
    word, follows = tokens.word(index), tokens.word(index + 1)
    if word in _BOUNDS or word in _UNITS:
        return True
    if word in _REGIONS and spec.clocks is not None:  # `9 o'clock Pacific`
        return True
    if word in ("no", "wait", "sorry") and (follows in (",", "-", "–", "—") or _number(tokens, index + 1)):
        return True  # `at 9, no, 10`
    if _number(tokens, index) and follows == "times":
        return True
    if word in _LOOSE:
        far = index + 1
        while (tokens.word(far) in _QUALIFIERS or tokens.word(far) in _MARKS) and far not in known:
            far += 1
        leads = tokens.word(far) in TIMELY | _UNITS | PARTS.keys() | _FURTHER
        counted = tokens.word(far + 1) in MEASURES or _plural(tokens.word(far + 1))
        numbered = tokens.kind(far) in ("number", "time", "ordinal", "date")
        timed = leads or (numbered and not (counted and word in ("for", "on", "and", "or", "in")))
        bare = spec.clocks is None and spec.delay is None and word in _EDGES
        return far in known or timed or follows in _PREPOSITIONS or bare
    if word == "same" and follows in ("time", "hour", "day", "date"):  # `tomorrow same time`
        return True
    if word == "as" and follows in ("long", "soon", "often"):  # `every day at 8 as long as it rains`
        return True
    if word in ("a", "an") and follows in _MEASURED:  # `in half an hour an hour before lunch`
        return True
    if word == "of":
        return phrases.reminded(tokens) < 0
    counted = follows in MEASURES or _plural(follows)
    return _number(tokens, index) and not counted


def _coded(tokens: Tokens, index: int) -> bool:
    """Whether a number stands there, or a code with digits in it."""
    if tokens.kind(index) == "opaque":
        return any(char.isdigit() for char in tokens[index].text) and ":" not in tokens[index].text[:8]
    return tokens.kind(index) in ("number", "ordinal", "time", "date")


def _number(tokens: Tokens, index: int) -> bool:
    return tokens.kind(index) in ("number", "ordinal", "time", "date") or tokens.word(index) in SMALL | TENS


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
    timely = follows in _COUNTED_DAYS | _UNITS | PARTS.keys() | TIMELY
    return meant_before(tokens.word(index)) if timely else None


def _plural(word: str) -> bool:
    """Whether it may name several things, but no times."""
    return word.endswith("s") and word not in _UNITS | TIMELY


_FURTHER = words("march may half time am pm")
_REGIONS = words("eastern pacific central mountain atlantic")
_MARKS = words("- < > ~")
_JOINING = words("and or to - – & / plus")
_WHOLE = words("all whole entire same any some")


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
    return not led and any(word in _UNITS or word in TIMELY for word in near)


def _other_script(word: str) -> bool:
    return any(ord(char) > 0x24F for char in word if char.isalpha())
