"""Hooks of this plugin's own, which other plugins implement: who makes keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hopyard import conceal, hookspec
from hopyard.errors import SpecError
from pydantic import SecretStr

#: Of a secret: a shorter one could not be masked, since it occurs in other texts by chance.
_FEWEST: Final = 6
#: Of an id and of a secret, in characters.
_LONGEST_ID: Final = 500
_LONGEST_SECRET: Final = 100_000


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
    """A key: `id` is by what its provider knows it, and is shown to people; `secret` never is.

    The id is a line of printable text, of at most 500 characters; a service that counts its keys wants
    `str(number)`. The secret is text of 6 to 100,000 characters, which may have several lines. From here on
    it is masked in all that this process logs, tells and shows. Raises `SpecError`, which never has it.
    """

    id: str
    secret: SecretStr

    def __post_init__(self) -> None:
        found = self.secret.get_secret_value() if isinstance(self.secret, SecretStr) else self.secret
        if isinstance(found, str):
            conceal(found)  # before anything is said about it
        check_id(self.id)
        if not isinstance(self.secret, SecretStr) or not isinstance(found, str):
            held = f"a SecretStr of {_kind(found)}" if isinstance(self.secret, SecretStr) else _kind(found)
            raise SpecError(f"key `{self.id}`: the secret is {held}, expected a SecretStr of text")
        if not _FEWEST <= len(found) <= _LONGEST_SECRET:
            raise SpecError(
                f"key `{self.id}`: the secret has {len(found)} characters, expected {_FEWEST} to "
                f"{_LONGEST_SECRET:,}: a shorter one could not be masked in logs"
            )
        if not found.strip() or not _is_text(found):
            raise SpecError(f"key `{self.id}`: the secret is blank or has characters that are no text")


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


def check_id(id_: object) -> None:
    """Raise `SpecError` unless this can be the id of a key."""
    if not isinstance(id_, str):
        hint = ": give str(id)" if isinstance(id_, int) else ""
        raise SpecError(f"the id of a key is {_kind(id_)}, expected text{hint}")
    if not id_.strip() or len(id_) > _LONGEST_ID or not id_.isprintable():
        raise SpecError(
            f"found the id {id_[:80]!a} of a key, expected a line of 1 to {_LONGEST_ID} printable characters"
        )


def _kind(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"


def _is_text(value: str) -> bool:
    """Whether both databases can store it: without NUL and halves of characters."""
    return "\0" not in value and not any("\ud800" <= one <= "\udfff" for one in value)


class MaintenanceHooks:
    """Collect: data, checked by the maintenance plugin."""

    @hookspec
    def register_key_providers(self) -> Iterable[KeyProvider]:  # type: ignore[empty-body]
        """Return who makes, tries and revokes keys of a kind, for `maintenance.rotate_api_keys`."""
