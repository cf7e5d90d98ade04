"""Prompt templates that the operator keeps: each change is a new version; jobs say which they used."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from string import Template
from typing import Any, Final

from hopyard import storage
from hopyard.errors import InvalidInput
from hopyard.storage import Row
from pydantic import BaseModel

from hopyard_ai.agent.answers import clean

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,59}")
_LONGEST: Final = 20_000
_LONGEST_VALUE: Final = 2_000
_LONGEST_ABOUT: Final = 500
_COLUMNS: Final = "name, version, text, about, created"


class PromptTemplate(BaseModel):
    """One version of a template. `variables` are the names that its text has as `$name`."""

    name: str
    version: int
    text: str
    about: str
    variables: list[str]
    created: datetime


def filled(template: PromptTemplate, values: Mapping[str, str]) -> str:
    """Return a template's text with its variables' values. Raises `InvalidInput` for missing ones."""
    wanted = set(template.variables)
    if wanted != values.keys():
        missing, unknown = sorted(wanted - values.keys()), sorted(values.keys() - wanted)
        found = [f"missing {', '.join(missing)}"] if missing else []
        found += [f"unknown {', '.join(unknown)}"] if unknown else []
        raise InvalidInput(
            f"the template {template.name}@{template.version}: {'; '.join(found)}; "
            f"expected {', '.join(template.variables) or 'no variables'}"
        )
    for name, value in values.items():
        if len(value) > _LONGEST_VALUE:
            raise InvalidInput(
                f"the variable {name}: found {len(value):,} characters, expected at most {_LONGEST_VALUE:,}; "
                "long texts are given as the content"
            )
    return Template(template.text).substitute({name: clean(value) for name, value in values.items()})


async def put(name: str, text: str, about: str = "") -> PromptTemplate:
    """Keep a template; return its newest version, a new one if the text is. Raises `InvalidInput`."""
    if _NAME.fullmatch(name) is None:
        raise InvalidInput(f"the template {name[:80]!r}: expected a name such as weekly-report")
    text, about = clean(text).strip(), clean(about)
    if len(about) > _LONGEST_ABOUT:
        raise InvalidInput(f"about: found {len(about):,} characters, expected at most {_LONGEST_ABOUT:,}")
    _variables(text)
    async with storage.transaction() as tx:
        rows = await tx.fetch(
            f"SELECT {_COLUMNS}, withdrawn FROM ai_template WHERE name = $1 ORDER BY version DESC LIMIT 1",
            name,
        )
        newest = rows[0] if rows else None
        if newest is None or newest["text"] != text or newest["withdrawn"] is not None:
            await tx.execute(
                "INSERT INTO ai_template (name, version, text, about, created) "
                f"VALUES ($1, $2, $3, $4, {tx.sql.now})",
                name,
                newest["version"] + 1 if newest else 1,
                text,
                about,
            )
    return await get(name)


async def get(reference: str) -> PromptTemplate:
    """Return a template: the newest of `weekly`, or the third of `weekly@3`. Raises `InvalidInput`."""
    name, at, version = reference.partition("@")
    if _NAME.fullmatch(name) is None or (at and not re.fullmatch(r"[0-9]{1,6}", version)):
        raise InvalidInput(
            f"the template {reference[:80]!r}: expected NAME or NAME@VERSION, such as weekly@3"
        )
    chosen = f" AND version = {int(version)}" if at else ""
    rows = await storage.fetch(
        f"SELECT {_COLUMNS} FROM ai_template WHERE name = $1 AND withdrawn IS NULL{chosen} "
        "ORDER BY version DESC LIMIT 1",
        name,
    )
    if not rows:
        known = ", ".join(one.name for one in await newest()) or "none"
        raise InvalidInput(
            f"there is no template {reference[:80]}: known are {known}; `hopyard ai templates put` adds one"
        )
    return _template(rows[0])


async def newest() -> Sequence[PromptTemplate]:
    """Return the newest version of each template, by name."""
    rows = await storage.fetch(
        f"SELECT {_COLUMNS} FROM ai_template t WHERE withdrawn IS NULL AND version = "
        "(SELECT max(version) FROM ai_template o WHERE o.name = t.name AND o.withdrawn IS NULL) ORDER BY name"
    )
    return [_template(row) for row in rows]


async def withdraw(name: str) -> None:
    """Have a template used no more; its versions stay for the record. Raises `InvalidInput`."""
    changed = await storage.execute(
        f"UPDATE ai_template SET withdrawn = {storage.sql().now} WHERE name = $1 AND withdrawn IS NULL", name
    )
    if not changed:
        raise InvalidInput(f"there is no template {name[:80]}")


def _template(row: Row) -> PromptTemplate:
    created: Any = storage.moment(row["created"])
    return PromptTemplate(
        name=row["name"],
        version=row["version"],
        text=row["text"],
        about=row["about"],
        variables=_variables(row["text"]),
        created=created,
    )


def _variables(text: str) -> list[str]:
    """Return the names that a text has as `$name`. Raises `InvalidInput` for a text that is no template."""
    if not text or len(text) > _LONGEST or "\0" in text:
        raise InvalidInput(f"a template: found {len(text):,} characters, expected 1 to {_LONGEST:,}")
    template = Template(text)
    if not template.is_valid():
        raise InvalidInput("a template: expected variables as $name or ${name}, and $$ for a dollar sign")
    return sorted(template.get_identifiers())
