"""Who makes keys: what plugins have registered, and random keys of our own."""

from __future__ import annotations

import logging
import secrets
from typing import Final

from hopyard import Hopyard
from hopyard.errors import InvalidInput
from pydantic import SecretStr

from hopyard_maintenance.hooks import ApiKey, KeyProvider, KeyRequest

log = logging.getLogger("hopyard.task.maintenance")

_BYTES: Final = 32


def provider(name: str) -> KeyProvider:
    """Return a provider by name.

    Raises `InvalidInput` with those that there are, and where two plugins say that they are this one.
    """
    known = {RANDOM.name: RANDOM}
    owners = {RANDOM.name: "maintenance"}
    for plugin, one in Hopyard.current().plugins.collect("register_key_providers"):
        if not isinstance(one, KeyProvider):
            log.warning("%s registers %.80r as a key provider, expected a KeyProvider", plugin, one)
        elif one.name == name and name in owners:
            raise InvalidInput(f"both {owners[name]} and {plugin} register the key provider `{name}`")
        else:
            known[one.name], owners[one.name] = one, plugin
    if name not in known:
        raise InvalidInput(
            f"no plugin has registered the key provider `{name}`; there are: {', '.join(known)}"
        )
    return known[name]


async def _create(request: KeyRequest) -> ApiKey:
    return ApiKey(request.label, SecretStr(secrets.token_urlsafe(_BYTES)))


async def _verify(request: KeyRequest, key: ApiKey) -> None:
    """Nobody else has to know it."""


async def _revoke(request: KeyRequest, id_: str) -> None:
    """It ends by being forgotten."""


#: Keys that nobody but their readers has to know, such as one that signs. Nothing is left of a lost one.
RANDOM: Final = KeyProvider("random", _create, _verify, _revoke, repeatable=True)
