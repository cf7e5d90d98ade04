"""What makes vectors: the offline embedder, a local model, or a provider's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakKeyDictionary

from hopyard.errors import InvalidInput

from hopyard_ai.agent import providers
from hopyard_ai.agent.gate import Gate
from hopyard_ai.agent.metering import bounded, price
from hopyard_ai.content import vectors
from hopyard_ai.content.settings import LEXICAL
from hopyard_ai.content.texts import tokens
from hopyard_ai.health import settings

if TYPE_CHECKING:
    from pydantic_ai.embeddings import EmbeddingModel

#: A loop that made vectors so long lets others run, in seconds.
_TURN: Final = 0.05


@dataclass(frozen=True, slots=True)
class Made:
    """Vectors, one for each text, in order; what they took in tokens and US dollars, if that is known.

    `wrong` says why an answer, which has been paid for all the same, cannot be used: an `UnusableAnswer`.
    """

    vectors: Sequence[Sequence[float]]
    tokens: int = 0
    cost: float | None = None
    requests: int = 1
    wrong: str | None = None


class Embedder(Protocol):
    """Makes vectors of texts. Those of a `query` may be others than those of what is searched."""

    async def embed(self, texts: Sequence[str], *, query: bool = False) -> Made:
        """Return the texts' vectors. Raises the task errors of `providers.classify`."""


class Lexical:
    """By the words of the texts, without a model."""

    async def embed(self, texts: Sequence[str], *, query: bool = False) -> Made:
        """Return the texts' vectors."""
        made, since = [], time.monotonic()
        for text in texts:
            made.append(vectors.lexical(text))
            if time.monotonic() - since > _TURN:
                await asyncio.sleep(0)
                since = time.monotonic()
        return Made(made, cost=0.0, requests=0)


class ByModel:
    """By a model, near or far."""

    def __init__(self, model: EmbeddingModel, gate: Gate | None, seconds: float) -> None:
        self._model = model
        self._gate = gate
        self._seconds = seconds

    async def embed(self, texts: Sequence[str], *, query: bool = False) -> Made:
        """Return the texts' vectors. Raises the task errors of `providers.classify`."""
        from hopyard_ai.agent.patience import patiently

        kind: Any = "query" if query else "document"
        found = await patiently(
            lambda: self._model.embed([*texts], input_type=kind), seconds=self._seconds, gate=self._gate
        )
        taken = bounded(found.usage.total_tokens) or sum(tokens(text) for text in texts)
        return Made(found.embeddings, taken, price(found), wrong=_wrong(found.embeddings, len(texts)))


def _wrong(made: Sequence[Sequence[float]], expected: int) -> str | None:
    lengths = {len(vector) for vector in made}
    if len(made) == expected and len(lengths) == 1 and 0 not in lengths:
        return None
    return (
        f"the model's answer cannot be used: expected {expected} vectors of one length, found "
        f"{len(made)} of {sorted(lengths)[:5]}"
    )


#: One client, with its connections, for each model and event loop.
_Key = tuple[str, providers.Endpoint]
_known: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, Embedder]] = WeakKeyDictionary()


def embedder() -> Embedder:
    """Return the configured embedder. Raises `InvalidInput` where its extra is not installed."""
    own = settings().embeddings
    key = own.model, providers.Endpoint(own.api_key, own.base_url, own.api_version, own.timeout)
    known = _known.setdefault(asyncio.get_running_loop(), {})
    if key not in known:
        known[key] = _made(*key)
    return known[key]


def _made(name: str, endpoint: providers.Endpoint) -> Embedder:
    provider, _, model = name.partition(":")
    if name == LEXICAL:
        return Lexical()
    if provider == "local":
        return ByModel(_on_this_machine(model), None, endpoint.timeout)
    from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel

    from hopyard_ai.content.ordering import in_order

    served = providers.openai_provider(provider, endpoint, settings().embeddings.batch)
    served.client.embeddings = in_order(served.client)
    made = OpenAIEmbeddingModel(model, provider=served)
    gate = Gate(f"embeddings {name}", settings().embeddings.requests_per_minute)
    return ByModel(made, gate, endpoint.timeout)


def _on_this_machine(path: str) -> EmbeddingModel:
    try:
        from pydantic_ai.embeddings.sentence_transformers import SentenceTransformerEmbeddingModel
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise InvalidInput(
            f"embeddings by local:{path} need the extra: pip install 'hopyard-ai[local-embeddings]'"
        ) from None
    # Nothing is looked up elsewhere: the model is what is at the path.
    return SentenceTransformerEmbeddingModel(SentenceTransformer(path, local_files_only=True))
