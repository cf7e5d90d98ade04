"""Keys on a Vault or OpenBao server, in a KV engine of version 2, over its HTTP API.

    <mount>/<prefix>/<name>/versions/<version>   each version, written once (check-and-set 0)
    <mount>/<prefix>/<name>/current              the current one, for whoever asks the server itself

`current` is written with check-and-set on what was read before, so that of two writers one is refused.
"""

from __future__ import annotations

from typing import Any, Final

from hopyard import Egress
from hopyard.errors import InvalidInput, SpecError, TransientError
from pydantic import SecretStr

from hopyard_maintenance.hooks import ApiKey
from hopyard_maintenance.keys.vault_http import NotThere, Refused, VaultServer
from hopyard_maintenance.settings import VaultSettings

#: What the server says where a version is another by now.
_CHECK_AND_SET: Final = "check-and-set parameter did not match"


class VaultStore:
    """A `KeyStore` on such a server."""

    def __init__(self, settings: VaultSettings, egress: Egress) -> None:
        self._server = VaultServer(settings, egress)

    async def keep(self, name: str, version: str, key: ApiKey) -> None:
        place = f"{name}/versions/{version}"
        if not await self._write(place, version, key, 0) and await self.read(name, version) is None:
            raise TransientError(f"the server takes nothing at {place}, and there is nothing")

    async def read(self, name: str, version: str) -> ApiKey | None:
        place = f"{name}/versions/{version}"
        found, _ = await self._read(place)
        if found is not None and found[0] != version:
            raise InvalidInput(f"what stands at {place} on the server is another version of the key")
        return found[1] if found is not None else None

    async def publish(self, name: str, version: str, key: ApiKey) -> None:
        place = f"{name}/current"
        found, number = await self._read(place)
        if found is not None and found[0] == version:
            return
        await self._write(place, version, key, number)
        found, _ = await self._read(place)
        if found is None or found[0] != version:
            raise TransientError(f"somebody else has just changed the current key `{name}` on the server")

    async def remove(self, name: str, version: str) -> None:
        await self._server.request("DELETE", "metadata", f"{name}/versions/{version}")

    async def _read(self, place: str) -> tuple[tuple[str, ApiKey] | None, int]:
        """Return version and key at a place, None for none, and the number to check and set by."""
        try:
            answer = await self._server.request("GET", "data", place)
        except NotThere:
            await self._server.check_engine()
            return None, await self._number(place)
        data, number = _table(answer, "data", "data"), _number(_table(answer, "data", "metadata"), "version")
        try:
            version, id_, secret = (data[name] for name in ("version", "id", "secret"))
            if not all(isinstance(one, str) for one in (version, id_, secret)):
                raise TypeError
            return (version, ApiKey(id_, SecretStr(secret))), number
        except (KeyError, TypeError, SpecError):
            raise InvalidInput(f"what stands at {place} on the server is no key of ours") from None

    async def _number(self, place: str) -> int:
        """Return the number of the latest version where that was deleted; 0 where there never was one."""
        try:
            answer = await self._server.request("GET", "metadata", place)
        except NotThere:
            return 0
        return _number(_table(answer, "data"), "current_version")

    async def _write(self, place: str, version: str, key: ApiKey, number: int) -> bool:
        """Write a key; say whether it was written: where the number is another by now nothing happens."""
        told = {"version": version, "id": key.id, "secret": key.secret.get_secret_value()}
        try:
            answer = await self._server.request(
                "POST", "data", place, {"options": {"cas": number}, "data": told}
            )
        except Refused as error:
            if error.status == 400 and any(_CHECK_AND_SET in one for one in error.errors):
                return False
            raise
        _number(_table(answer, "data"), "version")
        return True


def _table(answer: Any, *names: str) -> dict[str, Any]:
    """Return the table at a path in an answer. Raises `InvalidInput` where it is none."""
    for name in names:
        answer = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(answer, dict):
        raise InvalidInput(
            f"the server's answer has no table {'.'.join(names)}: is its KV engine of version 2?"
        )
    return answer


def _number(answer: dict[str, Any], name: str) -> int:
    found = answer.get(name)
    if not isinstance(found, int) or isinstance(found, bool):
        raise InvalidInput(f"the server's answer has no number `{name}`: is its KV engine of version 2?")
    return found
