"""Vectors in the order of the texts that they are of, in whatever order a server sends them."""

from __future__ import annotations

from typing import Any

from openai import AsyncOpenAI
from openai.resources.embeddings import AsyncEmbeddings


class _InOrder(AsyncEmbeddings):
    async def create(self, **options: Any) -> Any:
        """Return the server's answer, its vectors sorted by the number that each has."""
        answer = await super().create(**options)
        numbers = [one.index for one in answer.data]
        if all(isinstance(n, int) for n in numbers) and sorted(numbers) == [*range(len(numbers))]:
            answer.data.sort(key=lambda one: one.index)
        # Servers that number nothing, or each request's texts anew, keep the order.
        return answer


def in_order(client: AsyncOpenAI) -> AsyncEmbeddings:
    """Return the embeddings' side of a client: vectors are in the texts' order."""
    return _InOrder(client)
