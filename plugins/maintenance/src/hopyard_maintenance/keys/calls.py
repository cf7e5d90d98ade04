"""Asking a provider: each call within a time limit, and its failures in words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from hopyard.errors import HopyardError, SpecError, TaskError, TimeLimitExceeded

from hopyard_maintenance.hooks import ApiKey, KeyProvider, KeyRequest, check_id

T = TypeVar("T")


class Stuck(TaskError):
    """A rotation cannot go on now; the message says why. The next run tries again, if that can help."""


async def within(seconds: float, asked: Awaitable[T]) -> T:
    """Wait so long for a provider's answer. Raises `TimeLimitExceeded`, and what the provider raises."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await asked
    except TimeoutError:
        if not limit.expired():  # one of the provider's own
            raise
        raise TimeLimitExceeded(f"the provider has not answered within {seconds:g} s") from None


async def made(provider: KeyProvider, request: KeyRequest) -> ApiKey:
    """Have a key made. Raises `SpecError` where the answer is none: there may be a key all the same."""
    answer: object = await provider.create(request)
    if not isinstance(answer, ApiKey):
        raise SpecError(f"`create` of {provider.name} returned {type(answer).__name__}, expected an ApiKey")
    return answer


async def found(provider: KeyProvider, request: KeyRequest) -> str | None:
    """Return the id of a key that was made, None for none. Raises `SpecError` for what is no id."""
    if provider.find is None:
        return None
    answer = await provider.find(request)
    if answer is not None:
        check_id(answer)
    return answer


def said(error: BaseException) -> str:
    """Return an error as text for people."""
    return str(error) if isinstance(error, HopyardError) else f"{type(error).__name__}: {error}"
