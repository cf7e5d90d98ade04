"""What can be said of a text without a model: its telling sentences, its words, what it plainly names.

Sentences are ranked by how often their words occur in the text (H. P. Luhn, The automatic creation of
literature abstracts, 1958).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Final

from hopyard_ai.content.values import Entity, EntityKind
from hopyard_ai.offline._request import name_words, stem

#: A longer text is judged by its beginning, in characters.
_LOOKED_AT: Final = 400_000
_MOST_SENTENCES: Final = 4_000
_LONGEST_SENTENCE: Final = 500
_LONGEST_WORD: Final = 60
_MOST_ENTITIES: Final = 50
#: The commonest words of English, which tell nothing of a text.
_COMMON: Final = frozenset(
    """
    a about above after again all also am an and any are as at be because been before being below
    between both but by can could did do does doing down during each few for from further had has have
    having he her here hers him his how however i if in into is it its itself just may me might more
    most must my no nor not now of off on once only or other our out over own per same shall she should
    since so some such than that the their them then there these they this those through to too under
    until up upon us very was we were what when where which while who whom why will with within without
    would you your
    """.split()  # noqa: SIM905 - a list of a hundred words is read more easily so
)
#: Latin sentences end before a space; those of Chinese, Japanese, Hindi and Urdu end at their own marks.
_SENTENCE: Final = re.compile(r"[^.!?\n。！？।۔]+(?:[.!?]+(?!\s)[^.!?\n。！？।۔]*)*[.!?。！？।۔]*")
_NO_PROSE: Final = re.compile(r"^```.*?(?:^```|\Z)|^[|#<][^\n]*$", re.DOTALL | re.MULTILINE)
_WORD: Final = re.compile(r"[^\W\d_][\w'’-]*")
#: Each repetition has a bound: from each of n places a pattern would else look at all that follows.
_NAMED: Final[tuple[tuple[EntityKind, re.Pattern[str]], ...]] = (
    ("contact", re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}|https?://[^\s<>\"')]{3,200}")),
    ("date", re.compile(r"\b\d{4}-\d\d-\d\d\b|\b\d{1,2}[./]\d{1,2}[./]\d{4}\b")),
    ("amount", re.compile(r"[$€£]\s?\d[\d.,]{0,30}\d|\b\d[\d.,]{0,30}\s?(?:€|(?:EUR|USD|GBP|CHF)\b)")),
    # Two to four capitalised words in a row; what kind of thing it is nobody can tell without a model.
    ("other", re.compile(r"\b[A-Z][\w’'-]{1,60}(?: (?:of |de |von |van )?[A-Z][\w’'-]{1,60}){1,3}")),
)


def sentences(text: str) -> list[str]:
    """Return the first sentences of a text, each on one line; programs and tables of Markdown have none."""
    found: list[str] = []
    for match in _SENTENCE.finditer(_NO_PROSE.sub("\n", text[:_LOOKED_AT])):
        one = " ".join(match.group().split())
        if _WORD.search(one):
            found.append(one[:_LONGEST_SENTENCE])
        if len(found) == _MOST_SENTENCES:
            break
    return found


def frequencies(text: str) -> Counter[str]:
    """Return how often each word occurs, by its stem; the commonest English words are left out."""
    words = (word.lower() for word in _WORD.findall(text[:_LOOKED_AT]))
    return Counter(stem(word) for word in words if word not in _COMMON and len(word) > 2)


def telling(text: str, count: int) -> list[str]:
    """Return the most telling sentences, in their order in the text."""
    known, counted = sentences(text), frequencies(text)

    def weight(sentence: str) -> float:
        stems = [stem(word.lower()) for word in _WORD.findall(sentence)]
        return sum(counted[one] for one in stems) / (len(stems) + 4)

    best = sorted(range(len(known)), key=lambda n: (-weight(known[n]), n))[:count]
    return [known[n] for n in sorted(best)]


def keywords(text: str, count: int) -> list[str]:
    """Return the commonest words of a text as they are first written, without endless ones."""
    written: dict[str, str] = {}
    for word in _WORD.findall(text[:_LOOKED_AT]):
        if len(word) <= _LONGEST_WORD:
            written.setdefault(stem(word.lower()), word.lower())
    common = (one for one, _ in frequencies(text).most_common() if one in written)
    return [written[one] for one in islice(common, count)]


def entities(text: str) -> list[Entity]:
    """Return what a text plainly names: addresses, dates, amounts, and names of several words."""
    found: Counter[tuple[str, EntityKind]] = Counter()
    for kind, pattern in _NAMED:
        found.update((match.group(), kind) for match in pattern.finditer(text[:_LOOKED_AT]))
    return [
        Entity(name=name[:300], kind=kind, mentions=mentions)
        for (name, kind), mentions in found.most_common(_MOST_ENTITIES)
    ]


def fitting(text: str, labels: Sequence[str], count: int) -> list[tuple[str, float]]:
    """Return the labels whose words a text has, with the share that they have of all that was found."""
    said = Counter(stem(word.lower()) for word in _WORD.findall(text[:_LOOKED_AT]))
    scores = {label: min((said[stem(word)] for word in _words(label)), default=0) for label in labels}
    total = sum(scores.values())
    best = sorted((label for label in labels if scores[label]), key=lambda label: -scores[label])
    return [(label, scores[label] / total) for label in best[:count]]


def _words(label: str) -> list[str]:
    """Return a label's words in any script, those of a name such as `systemHealth` one by one."""
    return name_words(label) if label.isascii() else _WORD.findall(label.lower())
