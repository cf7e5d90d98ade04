"""What may stand right before and behind a time: words that bound or change it must have been read."""

from __future__ import annotations

import re

from hopyard_ai.when import _phrases as phrases
from hopyard_ai.when._bounds import PIECES
from hopyard_ai.when._clocks import MEASURES
from hopyard_ai.when._numbers import GRAMMAR
from hopyard_ai.when._refusals import left_over, unclear
from hopyard_ai.when._tokens import Tokens
from hopyard_ai.when._typing import meant_after
from hopyard_ai.when._values import Spec
from hopyard_ai.when._words import (
    DAYS,
    FOREIGN,
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
COUNTED_DAYS = (
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
UNITS = words("seconds minute minutes hour hours day days week weeks month months year years")
_EDGES = words("from before after by during since around through throughout between")
_LOOSE = _EDGES | words("""
    to over but or not never nor only beyond every each other next last this and for in on at - – —
    within all any the
""")
_PREPOSITIONS = words("on at in during before after until when if while every so")
_QUALIFIERS = words("""
    any the of rest remainder public bank school national local federal state a an this next coming
    following few several whole entire remaining all first last every each other same both many odd even
    alternate some most certain until for about at least most up to no more than not never
""")


def check_edge(text: str, tokens: Tokens, index: int, step: int, spec: Spec, known: set[int]) -> None:
    """Check the word beside the time: one that could bound or change it must have been read."""
    while tokens.word(index) in (",", "(", ")", "[", "]", ":", ";"):
        index += step
    word = tokens.word(index)
    if step < 0 and _leading_code(tokens, index):
        raise left_over(text, tokens, index, index + 1)
    if 0 <= index < len(tokens) and tokens[index].text.startswith("\0"):
        raise left_over(text, tokens, index, index + 1)  # `tomorrow not before 9`
    if step > 0 and index < len(tokens) and re.fullmatch("[x×][0-9]+", tokens[index].text):
        raise left_over(text, tokens, index, index + 1)  # `every hour x5`
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
        return word not in _PUNCTUATION or (tokens.touches(index + 1) and number(tokens, index + 1))
    initials = len(word) == 1 and follows == "." and tokens.touches(index + 1)  # `9 p.m. E.S.T.`
    return initials or (
        word in _SIGNS and (number(tokens, index + 1) or follows in MEASURES or follows in ("a", "an"))
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
    if number(tokens, index) and spec.clocks is None and (spec.part or index <= phrases.opening(tokens)):
        return True  # `9 at night on the 30th`
    if number(tokens, index):  # `two Mondays`, `no later than 9 tomorrow`
        numbers = number(tokens, index + 1)  # `forty two o two`
        return numbers or tokens.word(index + 1) in COUNTED_DAYS or before in _BOUNDS_BEFORE | {"than"}
    if word in _MEASURED and (number(tokens, index - 1) or before in ("a", "an", "half")):
        return True  # `half a d, …`
    if word in ORDINALS and tokens.word(index + 1) in COUNTED_DAYS:  # `third Thursdays`
        return True
    joined = before in ("/", "&", "+", "and") or (before == "," and len(word) > 1)
    if word in _LETTERS and joined:  # `M/W/F at 9`
        return True
    if word in ("march", "may") and before == "of":  # `on the ides of March at 9`
        return True
    if word in _FEW:  # `in a few working days`
        return tokens.word(index + 1) in COUNTED_DAYS
    if word in _JOINING:  # `on 1 and 2 March`
        return number(tokens, index - 1) or before in TIMELY | DAYS.keys() | _ABOUT_TIME | _MEASURED
    return word in UNITS | {"time"} and before in _WHOLE  # `all day tomorrow`


def _bounds_after(tokens: Tokens, index: int, spec: Spec, known: set[int]) -> bool:
    """Whether the word after the time says something about it: a bound, an exception, a number."""
    word, follows = tokens.word(index), tokens.word(index + 1)
    if word in _BOUNDS or word in UNITS:
        return True
    if word in _REGIONS and spec.clocks is not None:  # `9 o'clock Pacific`
        return True
    if word in ("no", "wait", "sorry") and (follows in (",", "-", "–", "—") or number(tokens, index + 1)):
        return True  # `at 9, no, 10`
    if number(tokens, index) and follows == "times":
        return True
    if word in _LOOSE:
        far = index + 1
        while (tokens.word(far) in _QUALIFIERS or tokens.word(far) in _MARKS) and far not in known:
            far += 1
        leads = tokens.word(far) in TIMELY | UNITS | PARTS.keys() | _FURTHER
        counted = tokens.word(far + 1) in MEASURES or _plural(tokens.word(far + 1))
        numbered = tokens.kind(far) in ("number", "time", "ordinal", "date")
        timed = leads or (numbered and not (counted and word in ("for", "on", "and", "or", "in")))
        bare = spec.clocks is None and spec.delay is None and word in _EDGES
        return far in known or timed or follows in _PREPOSITIONS or bare
    if word in _HOURS_OF and follows in ("hour", "hours", "time", "times"):  # `every hour office hours`
        return True
    if word == "same" and follows in ("time", "hour", "day", "date"):  # `tomorrow same time`
        return True
    if word == "as" and follows in ("long", "soon", "often"):  # `every day at 8 as long as it rains`
        return True
    if word in ("a", "an") and follows in _MEASURED:  # `in half an hour an hour before lunch`
        return True
    if word == "of":
        return phrases.reminded(tokens) < 0
    counted = follows in MEASURES or _plural(follows)
    return number(tokens, index) and not counted


def _coded(tokens: Tokens, index: int) -> bool:
    """Whether a number stands there, or a code with digits in it."""
    if tokens.kind(index) == "opaque":
        return any(char.isdigit() for char in tokens[index].text) and ":" not in tokens[index].text[:8]
    return tokens.kind(index) in ("number", "ordinal", "time", "date")


def number(tokens: Tokens, index: int) -> bool:
    return tokens.kind(index) in ("number", "ordinal", "time", "date") or tokens.word(index) in SMALL | TENS


def _plural(word: str) -> bool:
    """Whether it may name several things, but no times."""
    return word.endswith("s") and word not in UNITS | TIMELY


def _other_script(word: str) -> bool:
    return any(ord(char) > 0x24F for char in word if char.isalpha())


_FURTHER = words("march may half time am pm later earlier sooner")
_HOURS_OF = words("office business working opening peak rush school core daylight off-peak quiet")
_REGIONS = words("eastern pacific central mountain atlantic")
_MARKS = words("- < > ~")
_JOINING = words("and or to - – & / plus")
_WHOLE = words("all whole entire same any some")
