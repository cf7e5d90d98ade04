"""What the content tasks take and give."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

Operation = Literal["summarize", "analyze", "categorize", "extract_insights"]
EntityKind = Literal["person", "organization", "place", "date", "amount", "product", "contact", "other"]


class Spent(BaseModel):
    """What a job's answers took. `cost` in US dollars, None where a model's prices are not known.

    `cached` answers were given before and cost nothing; `offline` ones were made here, without a model.
    """

    model: str
    requests: int = 0
    cached: int = 0
    tokens: int = 0
    cost: float | None = None
    offline: bool = False


class Entity(BaseModel):
    """Something that a text names, and how often at least."""

    name: str
    kind: EntityKind = "other"
    mentions: int = Field(1, ge=1)


class Analysis(BaseModel):
    """What is in a text. `language` is an ISO 639-1 code; `parts` is how many pieces it was read in."""

    summary: str
    entities: list[Entity]
    categories: list[str]
    key_points: list[str]
    language: str | None = None
    parts: int = 1
    spent: Spent


class Processed(BaseModel):
    """The answer about a text: in words, and in points where the operation is for several things.

    `template` names the template and its version, as `weekly@3`; None for the operations that are built in.
    """

    text: str
    points: list[str]
    operation: str
    template: str | None = None
    parts: int = 1
    spent: Spent


class Item(BaseModel):
    """One thing to be sorted or embedded; `key` is the caller's name for it."""

    key: str = Field(min_length=1, max_length=300)
    text: str
    meta: dict[str, Any] = {}


class Suggestion(BaseModel):
    """A category for an item; `confidence` from 0 to 1 is the model's own estimate."""

    category: str
    confidence: float = Field(ge=0, le=1)


class Sorted(BaseModel):
    """The categories suggested for one item, the best first; none may fit. `error`: why there are none."""

    key: str
    suggestions: list[Suggestion]
    error: str | None = None


class Sorting(BaseModel):
    """What became of all items. `learned`: the categories were made from the items themselves."""

    taxonomy: str
    categories: list[str]
    learned: bool
    items: list[Sorted]
    failed: int
    spent: Spent


class Embedded(BaseModel):
    """What became of texts that were to be embedded.

    `unchanged` stood there already; `reused` had a vector from elsewhere; `embedded` are new vectors.
    """

    collection: str
    model: str
    dimensions: int
    stored: int
    unchanged: int
    reused: int
    embedded: int
    failed: int = 0
    """How many texts have no vector."""
    errors: dict[str, str]
    """By key, why a text has none, of the first thousand."""
    spent: Spent


class Hit(BaseModel):
    """A stored text that is near a query; `score` is the cosine of both vectors, at most 1.

    Of a long `text` it has the beginning. `meta_left_out`: it has a meta for which the result had no room.
    """

    key: str
    score: float
    text: str
    meta: dict[str, Any]
    meta_left_out: bool = False


class Hits(BaseModel):
    """What was found, the nearest first. `lexical`: by words in common, not by meaning.

    `left_out`: how many texts were not compared, because their vectors are of another model or length.
    """

    collection: str
    model: str
    lexical: bool
    searched: int
    left_out: int = 0
    hits: list[Hit]
