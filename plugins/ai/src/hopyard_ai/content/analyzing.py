"""What is in a text: summary, entities, categories, key points."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, Field

from hopyard_ai.content import extracting
from hopyard_ai.content.asking import Asker, each, offline_spent, standing_in_line
from hopyard_ai.content.combining import NO_ORDER, Answer, combined
from hopyard_ai.content.labels import check_labels, quoted
from hopyard_ai.content.texts import checked, framed, pieces
from hopyard_ai.content.values import Analysis, Entity
from hopyard_ai.health import settings

if TYPE_CHECKING:
    from hopyard import Job

_MOST_ENTITIES: Final = 100
_LONGEST_NAME: Final = 300
_MOST_MENTIONS: Final = 1_000_000
_MOST_POINTS: Final = 20
_MOST_CATEGORIES: Final = 10
_CODE: Final = re.compile("[A-Za-z]{2}")
_READ: Final = (
    "Read the text and say what is in it. The summary has at most five sentences. Name persons, "
    "organizations, places, dates, amounts and products that matter, with how often they occur. "
    "{categories} Write in the "
    f"text's own language. {NO_ORDER}"
)
_COMBINE: Final = (
    "Summaries and key points of the parts of one text follow, in order. Make of them one summary of "
    "the whole, the text, in at most five sentences, and its most important key points."
)


class Read(BaseModel):
    """What a model finds in a text, or in a part of one."""

    summary: str
    entities: list[Entity] = []
    categories: list[str] = []
    key_points: list[str] = []
    language: str | None = Field(None, description="ISO 639-1 code, such as en.")


async def analysis_of(job: Job, content: str, categories: Sequence[str], fresh: bool) -> Analysis:
    """Return what is in a text. Raises `InvalidInput` for one that is empty or too long; as `Asker.ask`."""
    own = settings()
    text = checked(content, own.content.max_tokens)
    if categories:
        check_labels(categories)
    if own.offline:
        return await asyncio.to_thread(_offline, text, categories)  # of a long text it takes a while
    asker, parts = Asker(job, fresh=fresh), pieces(text, own.content.part_tokens)

    async def read(part: str) -> Read:
        return await asker.ask(
            Read, framed(part), instructions=_told(categories), check=lambda found: _wrong(found, categories)
        )

    async with standing_in_line(job):
        found = await each(read, parts, job, "parts read:")
        told = [Answer(text=one.summary, points=one.key_points) for one in found]
        whole = await combined(asker, told, _COMBINE, points=True)
    return Analysis(
        summary=whole.text,
        entities=_merged(found),
        categories=_commonest(found),
        key_points=whole.points[:_MOST_POINTS],
        language=_language(found),
        parts=len(parts),
        spent=await asker.spent(),
    )


def _language(found: Sequence[Read]) -> str | None:
    """Return the code that most parts have; a model's other words for a language are none."""
    codes = [one.language.lower() for one in found if one.language and _CODE.fullmatch(one.language)]
    return Counter(codes).most_common(1)[0][0] if codes else None


def _told(categories: Sequence[str]) -> str:
    wanted = (
        f"Categories: those that fit out of {quoted(categories)}."
        if categories
        else "Categories: at most five, short."
    )
    return _READ.format(categories=wanted)


def _wrong(found: Read, categories: Sequence[str]) -> str | None:
    others = [one for one in found.categories if categories and one not in categories]
    return f"{others[0][:60]!r} is none of the categories" if others else None


def _merged(found: Sequence[Read]) -> list[Entity]:
    """Return the parts' entities, each once, with its mentions in all parts."""
    known, mentioned = dict[str, Entity](), Counter[str]()
    for entity in (entity for one in found for entity in one.entities):
        name = entity.name[:_LONGEST_NAME]
        known.setdefault(name.casefold(), Entity(name=name, kind=entity.kind))
        mentioned[name.casefold()] += min(entity.mentions, _MOST_MENTIONS)
    for key, entity in known.items():
        entity.mentions = mentioned[key]
    return sorted(known.values(), key=lambda one: -one.mentions)[:_MOST_ENTITIES]


def _commonest(found: Sequence[Read]) -> list[str]:
    counted = Counter(name[:_LONGEST_NAME] for one in found for name in dict.fromkeys(one.categories))
    return [category for category, _ in counted.most_common(_MOST_CATEGORIES)]


def _offline(text: str, categories: Sequence[str]) -> Analysis:
    fitting = [label for label, _ in extracting.fitting(text, categories, _MOST_CATEGORIES)]
    return Analysis(
        summary=" ".join(extracting.telling(text, 3)),
        entities=extracting.entities(text),
        categories=fitting if categories else extracting.keywords(text, 3),
        key_points=extracting.telling(text, 5),
        language=None,
        spent=offline_spent(),
    )
