"""The phrases about time in a sentence, and why some belong to what is to be done.

A phrase is a row of pieces that the grammar knows, side by side. It belongs to what is to be done, not to
when that is wanted, for one of these reasons:

* it describes a thing: `the 7pm show`, `my Monday report`, `the daily report`, `every minute detail`;
* a word leads it that makes it a topic or a bound: `the plan for Monday`, `by Friday`, `of each month`;
* it is what the verb is about: `cancel Tuesday on Monday at 9`;
* it stands in a clause of its own: `that the meeting is at 3`, `whether we meet every Monday`.

(A fifth one is in `_choice`: the sentence begins with another time, and both cannot be meant together.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from hopyard_ai.when._bounds import PIECES
from hopyard_ai.when._days import PAST
from hopyard_ai.when._numbers import GRAMMAR, rule
from hopyard_ai.when._parser import Parse
from hopyard_ai.when._tokens import Tokens
from hopyard_ai.when._values import Spec
from hopyard_ai.when._words import SMALL, TIMELY, words

_JOINS = words(", and then also again - – — ; : ( ) [ ] the on at in")
_LEADS = words("""
    of about for to by since during than regarding as per with without between until till before after
    from past over re concerning like
""")
_COPULAS = words("is was are were be 's being")
_OWNS = words("the a an my our your his her their its these those that some any no another next last this")
_PREPOSITIONS = words("at @ on in around")
_CLAUSES = words("""
    that whether because if when while what who whom whose which where why how although though unless
    whenever
""")
_NO_NOUNS = words("""
    at on in to of for and or but from by until till with about please that then if is was be not every
    each remind tell call except me us i you thanks thank via per so because whether what who how as the
    a an my our your his her their it him them starting
""")
_UNITS = words("""
    days day hours hour minutes weeks months years time left long remaining seconds nights countdown
""")
_TAIL = words(". ! ? pls plz thx cheers please thanks thank you , ) ] ; : so much")
STOPS = words(". ! ? ;")


_REMINDERS = words("reminder reminders alarm alarms alert notification")
_EVENTS = words("""
    meeting appointment flight train party concert conference webinar interview exam lecture class
    course show match game wedding birthday presentation demo standup deadline event ceremony session
    talk trip workshop visit call rehearsal trial hearing seminar briefing review anniversary tournament
    festival reservation
""")
_PREPARING = words("""
    prepare cancel move reschedule postpone plan organise organize announce confirm discuss mention
    advertise rsvp research practise practice pack
""")
_BOOKING = words("book reserve")
_BOOKED = _EVENTS | words("table room seat seats ticket tickets taxi cab hotel court slot place")
_PEOPLE = words("people persons adults guests of us")

rule(
    "opening",
    "please|kindly|hey|hi|hello|ok|okay|also|so|and|then|just|,|.|!|:|(|[|- ; can|could|would|will you",
    to=lambda *_: True,
)
rule(
    "opening",
    "i'd|i would? like|want|need you? to ; let me|us know ; don't|do not let me|us forget",
    to=lambda *_: True,
)
rule(
    "opening",
    "remind|notify|ping|message|text|alert|tell|email|wake|nudge me|us up? ; reminder|alarm :?",
    to=lambda *_: True,
)
rule(
    "opening",
    "set|create|make|add|schedule|give|send|put|need|want me|us? a|an|the|my|another? <adverb>? "
    "reminder|alarm|timer|alert|note",
    to=lambda *_: True,
)


@lru_cache(maxsize=64)
def opening(tokens: Tokens) -> int:
    """Where the words that open a request (`could you please remind me`) end."""
    parse, end = Parse(GRAMMAR, tokens), 0
    while (found := parse.longest("opening", end)) is not None:
        end = found[0]
    return end


@dataclass(frozen=True, slots=True)
class Phrase:
    """Tokens `first` up to, not including, `end`, that say `spec` together."""

    first: int
    end: int
    spec: Spec
    why: str = ""
    """Why it belongs to what is to be done; empty where nothing says so."""


def phrases(tokens: Tokens, parse: Parse) -> list[Phrase]:
    """All phrases about time, in order."""
    pieces = _pieces(tokens, parse)
    if not any(piece.spec.repeat for piece in pieces):  # `run for 30 minutes`, `knock 3 times`
        pieces = [
            one
            for one in pieces
            if one.spec.given() not in ({"span"}, {"count"}) or one.spec.count == 1 or at_head(tokens, one)
        ]
    found: list[Phrase] = []
    for piece in pieces:
        before = found[-1] if found else None
        joined = _joined(tokens, before, piece) if before is not None else None
        loose = piece.spec.given() == {"part"} and piece.spec.weak and not at_head(tokens, piece)
        if joined is not None:
            found[-1] = joined
        elif not loose or piece.why:  # `say good night at 22:00`
            found.append(piece)
    return [replace(one, why=one.why or _object(tokens, one, found)) for one in found]


def _pieces(tokens: Tokens, parse: Parse) -> list[Phrase]:
    found: list[Phrase] = []
    index = 0
    while index < len(tokens):
        piece = _piece(tokens, parse, index)
        if piece is not None:
            found.append(replace(piece, why=_described(tokens, piece, found[-1] if found else None)))
        index = piece.end if piece is not None else index + 1
    return found


def _piece(tokens: Tokens, parse: Parse, index: int) -> Phrase | None:
    best: Phrase | None = None
    for name in PIECES:
        longest = parse.longest(name, index)
        if longest is not None and (best is None or longest[0] > best.end):
            best = Phrase(index, longest[0], longest[1])
    if best is None:
        return None
    hyphened = tokens.word(index - 1) == "-" and tokens.touches(index) and tokens.touches(index - 1)
    if hyphened and tokens.kind(index - 2) == "word":
        return None  # `mid-June`, `non-daily`
    owned = tokens.word(index - 1) in _OWNS
    return None if owned and best.spec.weak and best.spec.day is not None else best  # `in the sun`


def _joined(tokens: Tokens, one: Phrase, other: Phrase) -> Phrase | None:
    """Two phrases that stand side by side and go together, as one."""
    if one.why or other.why or other.spec.shift or not beside(tokens, one, other):
        return None
    spec = one.spec.joined(other.spec)
    return Phrase(one.first, other.end, spec) if spec is not None else None


def beside(tokens: Tokens, one: Phrase, other: Phrase) -> bool:
    """Whether nothing stands between two phrases but marks and words that join them."""
    return one.end <= other.first and all(
        tokens.word(place) in _JOINS for place in range(one.end, other.first)
    )


def noun_at(tokens: Tokens, index: int) -> bool:
    """Whether a word stands there that can name a thing."""
    word = tokens.word(index)
    return tokens.kind(index) in ("word", "opaque") and word not in _NO_NOUNS


def _described(tokens: Tokens, piece: Phrase, previous: Phrase | None) -> str:
    """Why a piece describes something, by the word before it."""
    if previous is not None and previous.end == piece.first:
        return ""
    before, first = tokens.word(piece.first - 1), tokens.word(piece.first)
    if first in _PREPOSITIONS:
        statement = before in _COPULAS and reminded(tokens) < piece.end
        return f"`{before}` leads it" if statement else ""
    if "until" in piece.spec.given() and before in _UNITS:
        return f"`{before}` leads it"
    if before in _LEADS and not wrapped(tokens, piece):
        return f"`{before}` leads it"
    if before in _COPULAS:
        return f"`{before}` leads it"
    if tokens.word(piece.end) in _REMINDERS:
        return ""  # `a daily reminder`
    owned = before in _OWNS or before.endswith(("'s", "s'"))
    if owned and first not in ("every", "each", "the", "until", "starting", "once"):
        return f"it describes `{tokens.word(piece.end) or before}`"
    return ""


def wrapped(tokens: Tokens, piece: Phrase) -> bool:
    """`set an alarm for 7am`, `remind me for 8pm`: `for` leads to when it is wanted."""
    if tokens.word(piece.first - 1) != "for":
        return False
    return 0 < opening(tokens) == piece.first - 1


def _object(tokens: Tokens, phrase: Phrase, all_: Sequence[Phrase]) -> str:
    """Why a phrase is what the verb is about, or describes what follows, where another says the time."""
    others = [one for one in all_ if one is not phrase and one.spec.when and not one.why]
    first, given = tokens.word(phrase.first), phrase.spec.given()
    if not others or len(given) != 1 or first in _PREPOSITIONS or at_head(tokens, phrase):
        return ""
    if tokens.word(phrase.end) in _REMINDERS:
        return ""
    if phrase.spec.refused == PAST:
        return "it is past"
    apart = not any(
        beside(tokens, *pair) for one in all_ for pair in ((one, phrase), (phrase, one)) if one is not phrase
    )
    if apart and given & {"repeat", "day", "clocks", "delay"} and noun_at(tokens, phrase.end):
        return f"it describes `{tokens.word(phrase.end)}`"
    verb = phrase.first == opening(tokens) + 1 and first not in ("tomorrow", "today")
    if verb and given == {"day"} and any(one.first >= phrase.end and one.spec.day for one in others):
        return f"`{tokens.word(phrase.first - 1)}` is about it"
    return ""


def reminded(tokens: Tokens) -> int:
    """Where `remind me` stands; -1 if nowhere."""
    pairs = ((index, tokens.word(index), tokens.word(index + 1)) for index in range(len(tokens)))
    return next((index for index, one, other in pairs if one == "remind" and other in ("me", "us")), -1)


def at_head(tokens: Tokens, phrase: Phrase) -> bool:
    """Whether only words of courtesy, or those that open a reminder, stand before it."""
    return phrase.first <= opening(tokens) or wrapped(tokens, phrase)


def at_tail(tokens: Tokens, phrase: Phrase) -> bool:
    """Whether the sentence ends with it."""
    return all(tokens.word(index) in _TAIL for index in range(phrase.end, len(tokens)))


def clause_of(tokens: Tokens, index: int) -> str:
    """The word that opens a clause of its own, in which token `index` is; empty if it is in none."""
    for place in range(index - 1, -1, -1):
        word = tokens.word(place)
        if word in STOPS:
            return ""
        if word in _CLAUSES or _somebody_does(tokens, place):
            return word
    return ""


def _somebody_does(tokens: Tokens, index: int) -> bool:
    """Whether a clause without `that` begins: `tell Ann I will be there at 6`."""
    if index <= opening(tokens):
        return False
    word = tokens.word(index)
    return word in _CONTRACTED or (word in _SOMEBODY and tokens.word(index + 1) in _AUXILIARIES)


_SOMEBODY = words("i we he she they it")
_AUXILIARIES = words("will shall would can could may might must am is are was were have has had")
_CONTRACTED = words("i'll we'll he'll she'll they'll i'm we're they're he's she's i'd we'd i've we've")


def _counted_noun(tokens: Tokens, first: int) -> int:
    """Where the noun before a time stands; `for four people` may stand between."""
    place = first - 1
    while tokens.word(place) in _PEOPLE:
        place -= 1
    counted = tokens.kind(place) == "number" or tokens.word(place) in SMALL
    return place - 2 if counted and tokens.word(place - 1) == "for" else place


def event(tokens: Tokens, found: Sequence[Phrase], spans: Sequence[tuple[int, int]], spec: Spec) -> str:
    """`remind me about the meeting on Thursday at 3pm`: the event whose time it may be, or nothing."""
    start = opening(tokens)
    taken = {index for first, end in spans for index in range(first, end)}
    left = [index for index in range(start, len(tokens)) if index not in taken]
    leads = [tokens.word(index) for index in left[:3]]
    about = leads[:1] in (["about"], ["of"])
    # Of `the 7am flight on Thursday` the day may be the flight's as well.
    timed = spec.clocks is not None and any(
        one.why and one.spec.clocks and one.first >= start for one in found
    )
    owner = next((tokens.word(first - 2) for first, _ in spans if tokens.word(first - 1) in _EVENTS), "")
    if owner.endswith("'s") and owner[:-2] in TIMELY and spec.day is None:  # `Friday's meeting at 9`
        return tokens.word(spans[0][0] - 1)
    if next((word for word in leads if word != "to"), "") in _BOOKING:  # `book a table for two on Saturday`
        booked = [tokens.word(_counted_noun(tokens, first)) for first, _ in spans if first > start]
        return next((noun for noun in booked if noun in _BOOKED and not timed), "")
    # `after the meeting at 4pm call Bob`, `the evening before my exam on Friday`
    aside = next((index for index in left[:3] if tokens.word(index) in ("before", "after")), len(tokens))
    if about and spec.day is not None and spec.clocks is not None:  # `about the barbecue on Saturday at 2pm`
        nouns = [tokens.word(first - 1) for first, _ in spans if noun_at(tokens, first - 1)]
        return nouns[0] if nouns and spans[0][0] > start and not timed else ""
    nouns = [
        tokens.word(index)
        for first, end in spans
        for index in range(start, first)
        if tokens.word(end - 1) != "now"  # `10 days from now`
        and index not in taken
        and (index == first - 1 or about)
        and (tokens.word(index) in _EVENTS or (aside < index == first - 1))
    ]
    told = about or aside < len(tokens) or bool(_PREPARING & set(leads))
    return nouns[0] if nouns and told and not timed else ""
