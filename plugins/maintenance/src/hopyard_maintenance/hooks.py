"""Hooks of this plugin's own, which other plugins implement: who makes keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hopyard import hookspec
from hopyard.errors import SpecError
from pydantic import SecretStr


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """Which key it is about.

    `label` names the new key on the other side: it is the same whenever the same key is asked for again, and
    another for each rotation. `options` are the operator's, from the settings.
    """

    name: str
    label: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key: `id` is by what its provider knows it, and is shown to people; `secret` never is."""

    id: str
    secret: SecretStr


@dataclass(frozen=True, slots=True)
class KeyProvider:
    """Who makes, tries and revokes keys of a kind; errors as in tasks, without the key in their texts.

    create(request)       makes a key; called once for each label, unless `repeatable`
    verify(request, key)  raises unless the key works; a `TransientError` is tried again
    revoke(request, id)   ends a key; one that is gone already is fine
    find(request)         the id of the key with that label, None if there is none: what a `create` has left
                          whose worker died. It is revoked, since its secret is lost, and another one is made
    publish(request, key) has others take the key, where they do not ask for it; repeated, it must not mind

    `repeatable`: `create` with the same label gives the same key again. Without that and without `find` a
    rotation whose worker dies in `create` stops, and a person must look. Raises `SpecError`.
    """

    name: str
    create: Callable[[KeyRequest], Awaitable[ApiKey]]
    verify: Callable[[KeyRequest, ApiKey], Awaitable[None]]
    revoke: Callable[[KeyRequest, str], Awaitable[None]]
    find: Callable[[KeyRequest], Awaitable[str | None]] | None = None
    publish: Callable[[KeyRequest, ApiKey], Awaitable[None]] | None = None
    repeatable: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise SpecError(f"key provider: found the name {self.name!r:.80}, expected a word")
        for step in ("create", "verify", "revoke", "find", "publish"):
            given = getattr(self, step)
            if not callable(given) and not (given is None and step in ("find", "publish")):
                raise SpecError(
                    f"key provider `{self.name}`: {step}: found {given!r:.80}, expected an async function"
                )


class MaintenanceHooks:
    """Collect: data, checked by the maintenance plugin."""

    @hookspec
    def register_key_providers(self) -> Iterable[KeyProvider]:  # type: ignore[empty-body]
        """Return who makes, tries and revokes keys of a kind, for `maintenance.rotate_api_keys`."""
