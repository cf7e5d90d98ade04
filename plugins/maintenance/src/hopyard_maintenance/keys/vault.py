"""Keys on a Vault or OpenBao server, in a KV engine of version 2, over its HTTP API.

    <mount>/<prefix>/<name>/versions/<version>   each version, written once (check-and-set 0)
    <mount>/<prefix>/<name>/current              the current one, for whoever asks the server itself

`current` is written with check-and-set on what was read before, so that of two writers one is refused.
"""

from __future__ import annotations

from typing import Any, Final

from hopyard import Egress, conceal
from hopyard.errors import InvalidInput, TransientError
from pydantic import SecretStr

from hopyard_maintenance.hooks import ApiKey
from hopyard_maintenance.settings import VaultSettings

_MAX_BYTES: Final = 1_000_000
_SECONDS: Final = 15.0


class VaultStore:
    """A `KeyStore` on such a server."""

    def __init__(self, settings: VaultSettings, egress: Egress) -> None:
        self._settings = settings
        self._egress = egress

    async def keep(self, name: str, version: str, key: ApiKey) -> None:
        await self._write(f"{name}/versions/{version}", version, key, 0)

    async def read(self, name: str, version: str) -> ApiKey | None:
        found, _ = await self._read(f"{name}/versions/{version}")
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
        await self._request("DELETE", "metadata", f"{name}/versions/{version}")

    async def _read(self, place: str) -> tuple[tuple[str, ApiKey] | None, int]:
        """Return version and key at a place, None for none, and the number to check and set by."""
        answer = await self._request("GET", "data", place)
        if answer is None:
            return None, await self._number(place)
        data, number = answer["data"]["data"], int(answer["data"]["metadata"]["version"])
        try:
            conceal(data["secret"])
            return (data["version"], ApiKey(data["id"], SecretStr(data["secret"]))), number
        except (KeyError, TypeError):
            raise InvalidInput(f"what stands at {place} on the server is no key of ours") from None

    async def _number(self, place: str) -> int:
        """Return the number of the latest version where that was deleted; 0 where there never was one."""
        answer = await self._request("GET", "metadata", place)
        return int(answer["data"]["current_version"]) if answer is not None else 0

    async def _write(self, place: str, version: str, key: ApiKey, number: int) -> None:
        """Write a key; where the number is another by now nothing happens."""
        told = {"version": version, "id": key.id, "secret": key.secret.get_secret_value()}
        try:
            await self._request("POST", "data", place, {"options": {"cas": number}, "data": told})
        except InvalidInput as error:
            if "check-and-set" not in str(error):
                raise

    async def _request(self, method: str, kind: str, place: str, body: Any = None) -> Any:
        """Return the JSON answer, None where the server has nothing there. Raises as `Egress.request`."""
        settings = self._settings
        headers = {"X-Vault-Token": settings.token.get_secret_value(), "X-Vault-Request": "true"}
        if settings.namespace is not None:
            headers["X-Vault-Namespace"] = settings.namespace
        url = f"{settings.url.rstrip('/')}/v1/{settings.mount}/{kind}/{settings.prefix}/{place}"
        try:
            response = await self._egress.request(
                method, url, json=body, headers=headers, max_bytes=_MAX_BYTES, timeout=_SECONDS
            )
        except InvalidInput as error:
            if " answered 404" in str(error):  # the status is in the text alone
                return None
            raise
        try:
            return response.json() if response.content else {}
        except ValueError:
            raise InvalidInput(f"the server at {settings.url} answers with no JSON") from None
