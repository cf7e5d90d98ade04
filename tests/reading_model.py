"""A server of models that reads: it answers by what it is shown, and can be told to fail."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from typing import Any

from hopyard.testing import FakeModel

Answerer = Callable[[str, str], Any]
"""Takes the instructions and the text shown; returns JSON, a text, or (status, body)."""


class ReadingModel(FakeModel):
    """Each request is answered by `answerer`; embeddings are of the texts' first letters."""

    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer
        self._lock = threading.Lock()
        #: Texts that the embeddings' side does not take.
        self.refused: set[str] = set()
        super().__init__()

    def answer(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Return status and JSON."""
        with self._lock:
            self.requests.append(request)
        if "input" in request:
            return self._vectors(request["input"])
        told = "\n".join(_text(one) for one in request["messages"] if one["role"] in ("system", "developer"))
        shown = "\n".join(_text(one) for one in request["messages"] if one["role"] == "user")
        made = self._answerer(told, shown)
        if isinstance(made, tuple):
            status, body = made
            return status, body
        content = made if isinstance(made, str) else json.dumps(made)
        message = {"role": "assistant", "content": content}
        return 200, {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "reads",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 90, "completion_tokens": 10, "total_tokens": 100},
        }

    def _vectors(self, texts: list[str]) -> tuple[int, Any]:
        if bad := self.refused.intersection(texts):
            return 400, {"error": {"message": f"this model takes no {sorted(bad)}"}}
        data = [
            {"object": "embedding", "index": n, "embedding": _letters(text)} for n, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": 7, "total_tokens": 7}
        return 200, {"object": "list", "model": "letters", "data": data, "usage": usage}

    @property
    def shown(self) -> list[str]:
        """What the model was shown, one text a request."""
        return [
            "\n".join(_text(one) for one in request["messages"] if one["role"] == "user")
            for request in self.requests
            if "messages" in request
        ]


def _letters(text: str) -> list[float]:
    found = [float(text.lower().count(letter)) for letter in "abcdefghijklmnopqrstuvwxyz"]
    return found if any(found) else [1.0] * 26


def _text(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def read(told: str, shown: str) -> Any:
    """Answer as a model that reads would: names in capitals, the first words as the summary."""
    names = re.findall(r"\b[A-Z]{3,}\b", shown)
    first = " ".join(re.sub(r"<[^>]*>", " ", shown).split()[:5])
    if "Name persons" in told:
        return {
            "summary": first,
            "entities": [{"name": name, "kind": "person", "mentions": 1} for name in names],
            "categories": ["letters"],
            "key_points": [first],
            "language": "en",
        }
    if "Summarize" in told or "plainly" in told:
        return first
    return {"text": first, "points": names}
