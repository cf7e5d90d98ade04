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
    """Return the configured model, or the evaluator's. Raises `AuthenticationError` without its key."""
    own = settings()
    name = (own.evaluator_model if evaluator else None) or own.model
    endpoint = providers.Endpoint(own.api_key, own.base_url, own.api_version, own.timeout)
    known = _models.setdefault(asyncio.get_running_loop(), {})
    if (name, endpoint) not in known:
        known[name, endpoint] = providers.resolve_model(name, endpoint)
    return known[name, endpoint]


async def connections(timeout: float) -> list[Connection]:
    """Ask each configured model for a word."""
    from hopyard.errors import TaskError

    own = settings()
    found = []
    for name, evaluator in {
        own.model: False,
        own.evaluator_model or own.model: own.evaluator_model is not None,
    }.items():
        try:
            ok, seconds, detail = await providers.check(model(evaluator=evaluator), timeout)
        except TaskError as error:
            ok, seconds, detail = False, 0.0, str(error)
        found.append(Connection(model=name, ok=ok, seconds=round(seconds, 3), detail=detail))
    return found


async def model_reachable() -> Health:
    """Health: the configured model's server answers and accepts the key. Costs no tokens."""
    from hopyard.errors import TaskError

    name = settings().model
    try:
        return Health(True, f"{name}: {await providers.reach(model())}")
    except TaskError as error:
        return Health(False, f"{name}: {error}")
