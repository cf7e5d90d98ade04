"""What the offline model says: tools' results in a sentence or two, and what it needs a real model for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hopyard_ai.offline._request import name_words, stem, words_of

_LONGEST = 1_000
_MOST_ITEMS = 10
HOW_TO = (
    "To set one, write in hopyard.toml, under [plugins.ai.settings]: "
    'model = "openai:gpt-5-mini" and api_key = { env = "OPENAI_API_KEY" }.'
)


@dataclass(frozen=True, slots=True)
class Returned:
    """What a tool call came back with: `outcome` is success, failed or denied."""

    tool: str
    value: Any
    outcome: str


def value_of(content: Any) -> Any:
    """Return a tool's result as JSON-like values."""
    if not isinstance(content, str):
        return content
    try:
        return json.loads(content)
    except ValueError:
        return content.strip()


def answer(request: str, returned: Sequence[Returned], unclear: Sequence[str]) -> str:
    """Return the final message: a sentence for each call, and which parts of the request were not done."""
    wanted = {stem(word.text) for word in words_of(request) if word.kind == "word"}
    lines = [_sentence(item, wanted) for item in returned]
    return "\n".join([*lines, *([needs_a_model(unclear)] if unclear else [])])


def needs_a_model(parts: Sequence[str]) -> str:
    """Say that nothing was done about parts of a request, and what would help."""
    listed = " and ".join(f"“{part}”" for part in parts)
    return f"A model is needed for this: {listed}. Nothing was done about it. {HOW_TO}"


def _sentence(item: Returned, wanted: set[str]) -> str:
    title = _title(item.tool)
    if item.outcome == "denied":
        return f"{title}: not done, because it was not approved."
    value = item.value
    if item.outcome != "success" or (isinstance(value, str) and " failed: " in value):
        return f"{title} did not work: {str(value).partition(' failed: ')[2] or value}"
    reference = value.get("reference") if isinstance(value, Mapping) else None
    said = _told(value, wanted)
    said = said if _is_sentence(said) else f"{title}: {said}."
    said = said if len(said) <= _LONGEST else f"{said[:_LONGEST]} …"
    return f"{said} ({reference})" if reference else said


def _told(value: Any, wanted: set[str]) -> str:
    """Return the summary of the part of a result that the request names, else of all of it."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if wanted & {stem(word) for word in name_words(str(key))} and (said := _summaries(inner)):
                return said
    return _summaries(value) or _plain(value)


def _summaries(value: Any) -> str:
    """Return the sentences that a tool has written itself, in fields called `summary`."""
    if isinstance(value, Mapping):
        return str(value.get("summary") or "")
    if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
        return " ".join(filter(None, (str(one.get("summary") or "") for one in value[:_MOST_ITEMS])))
    return ""


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = [
            f"{' '.join(name_words(str(key)))} {_plain(inner)}"
            for key, inner in value.items()
            if key != "reference" and inner not in (None, "", [], {})
        ]
        return ", ".join(pairs) or "nothing"
    if isinstance(value, list):
        more = f" and {len(value) - _MOST_ITEMS} more" if len(value) > _MOST_ITEMS else ""
        return (", ".join(_plain(one) for one in value[:_MOST_ITEMS]) or "nothing") + more
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "nothing" if value is None else str(value)


def _is_sentence(text: str) -> bool:
    return " " in text.strip() and text.rstrip().endswith((".", "!", "?"))


def _title(tool: str) -> str:
    plain = " ".join(name_words(tool.rsplit("__", 1)[-1]))
    return plain[:1].upper() + plain[1:]
