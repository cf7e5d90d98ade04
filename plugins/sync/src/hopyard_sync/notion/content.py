"""What Notion's objects say: titles, parents, the text of blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hopyard.errors import InvalidInput

from hopyard_sync.texts import storable

__all__ = ["checked", "parent_of", "text_of", "title_of"]


def checked(value: Any) -> Mapping[str, Any]:
    """Return an object of a list. Raises `InvalidInput` unless it has an id and says when it was edited."""
    if not isinstance(value, Mapping):
        raise InvalidInput(f"found {type(value).__name__}, expected an object of Notion's")
    for name in ("object", "id", "last_edited_time"):
        text = value.get(name)
        if not isinstance(text, str) or len(text) > 100 or text != storable(text):
            raise InvalidInput(f"found an object without {name}, expected one of Notion's")
    return value


def title_of(page: Mapping[str, Any]) -> str:
    """Return the title of a page, or of a data source."""
    if isinstance(page.get("title"), list):
        return plain(page["title"])
    properties = page.get("properties")
    for value in properties.values() if isinstance(properties, Mapping) else ():
        if isinstance(value, Mapping) and value.get("type") == "title":
            return plain(value.get("title"))
    return ""


def parent_of(page: Mapping[str, Any]) -> str | None:
    """Return the id of what a page is in; None at the top of a workspace."""
    parent = page.get("parent")
    if not isinstance(parent, Mapping):
        return None
    value = parent.get(str(parent.get("type")))
    return storable(value)[:100] if isinstance(value, str) else None


def plain(rich_text: Any) -> str:
    """Return rich text without its style."""
    if not isinstance(rich_text, list):
        return ""
    return "".join(str(part.get("plain_text", "")) for part in rich_text if isinstance(part, Mapping))


def text_of(blocks: Sequence[Mapping[str, Any]]) -> str:
    """Return the text of blocks, a line each, children indented by two spaces more."""
    return "\n".join(_lines(blocks, 0))


def _lines(blocks: Sequence[Mapping[str, Any]], depth: int) -> Iterator[str]:
    for block in blocks:
        body = block.get(str(block.get("type")))
        if isinstance(body, Mapping):
            cells = body.get("cells")
            text = plain(body.get("rich_text")) or str(body.get("title") or body.get("expression") or "")
            if isinstance(cells, list):
                text = " | ".join(plain(cell) for cell in cells)
            if text:
                yield f"{'  ' * depth}{text}"
        children = block.get("children")
        yield from _lines(children if isinstance(children, list) else (), depth + 1)
