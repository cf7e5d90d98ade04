"""The configured models, and whether they answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from hopyard import Health

from hopyard_ai.agent import providers
from hopyard_ai.models import Connection

if TYPE_CHECKING:
    from pydantic_ai.models import Model

    from hopyard_ai.settings import AISettings


def settings() -> AISettings:
    """Return the plugin's settings in this process."""
    from hopyard_ai import AI

    return AI.current().settings


#: One client, with its connections, for each model and event loop.
_models: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, providers.Endpoint], Model]] = (
    WeakKeyDictionary()
)


def model(*, evaluator: bool = False) -> Model:
    """Return the configured model, or the evaluator's, with the fallbacks behind it.

    Raises `AuthenticationError` without its key.
    """
    own = settings()
    first = _first((own.evaluator_model if evaluator else None) or own.model)
    return providers.chain([first, *(found for _, found in _fallbacks())])


def _first(name: str) -> Model:
    own = settings()
    return _resolved(name, providers.Endpoint(own.api_key, own.base_url, own.api_version, own.timeout))


def _fallbacks() -> list[tuple[str, Model]]:
    return [
        (
            one.model,
            _resolved(one.model, providers.Endpoint(one.api_key, one.base_url, one.api_version, one.timeout)),
        )
        for one in settings().fallbacks
    ]


def _resolved(name: str, endpoint: providers.Endpoint) -> Model:
    from hopyard_ai.agent.gate import Gate

    known = _models.setdefault(asyncio.get_running_loop(), {})
    if (name, endpoint) not in known:
        own = settings()
        gate = Gate(name, own.requests_per_minute, own.tokens_per_minute)
        known[name, endpoint] = providers.resolve_model(name, endpoint, gate)
    return known[name, endpoint]


def _all_models() -> list[tuple[str, Model]]:
    own = settings()
    names = dict.fromkeys([own.model, own.evaluator_model or own.model])
    return [*((name, _first(name)) for name in names), *_fallbacks()]


async def connections(timeout: float) -> list[Connection]:
    """Ask each configured model for a word."""
    from hopyard.errors import TaskError

    found = []
    for name, one in _all_models():
        try:
            ok, seconds, detail = await providers.check(one, timeout)
        except TaskError as error:
            ok, seconds, detail = False, 0.0, str(error)
        found.append(Connection(model=name, ok=ok, seconds=round(seconds, 3), detail=detail))
    return found


async def model_reachable() -> Health:
    """Health: the configured model's server answers and accepts the key, or that of a fallback does.

    Costs no tokens.
    """
    from hopyard.errors import TaskError

    told, ok = [], False
    for name, one in [(settings().model, _first(settings().model)), *_fallbacks()]:
        try:
            told.append(f"{name}: {await providers.reach(one)}")
            ok = True
        except TaskError as error:
            told.append(f"{name}: {error}")
    return Health(ok, "; ".join(told))
