"""Where keys are kept: in the plugin's own table, sealed, or on a Vault server (`vault.py`).

A store keeps versions side by side; which of them is current stands in `maintenance_key`.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from hopyard import Hopyard, storage
from hopyard.errors import InvalidInput

from hopyard_maintenance.hooks import ApiKey
from hopyard_maintenance.keys.sealing import Seal
from hopyard_maintenance.settings import MaintenanceSettings

_BATCH = 100


class KeyStore(Protocol):
    """All calls may be repeated. They raise `TransientError` and `AuthenticationError`."""

    async def keep(self, name: str, version: str, key: ApiKey) -> None:
        """Keep a version; one that is kept already stays as it is."""

    async def read(self, name: str, version: str) -> ApiKey | None:
        """Return a version; None where there is none."""

    async def publish(self, name: str, version: str, key: ApiKey) -> None:
        """Have those who ask the store itself find this version."""

    async def remove(self, name: str, version: str) -> None:
        """Forget a version for good."""


def store_of(name: str, settings: MaintenanceSettings) -> KeyStore:
    """Return a store by name: `table` or `vault`. Raises `InvalidInput` where the settings lack it."""
    if name == "vault":
        from hopyard_maintenance.keys.vault import VaultStore

        if settings.vault is None:
            raise InvalidInput(
                "the key is kept on a vault, and there is none: set plugins.maintenance.settings.vault"
            )
        return VaultStore(settings.vault, Hopyard.current().egress)
    return TableStore(Seal(settings.master_keys))


class TableStore:
    """Keys in `maintenance_secret`, each sealed."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    async def keep(self, name: str, version: str, key: ApiKey) -> None:
        await storage.execute(
            "INSERT INTO maintenance_secret (name, version, sealed, sealed_by, created) "
            f"VALUES ($1, $2, $3, $4, {storage.sql().now}) ON CONFLICT DO NOTHING",
            name,
            version,
            self._seal.close(name, version, key),
            self._seal.mark,
        )

    async def read(self, name: str, version: str) -> ApiKey | None:
        rows = await storage.fetch(
            "SELECT sealed FROM maintenance_secret WHERE name = $1 AND version = $2", name, version
        )
        return self._seal.open(name, version, rows[0]["sealed"]) if rows else None

    async def publish(self, name: str, version: str, key: ApiKey) -> None:
        """Nobody but this plugin reads the table."""

    async def remove(self, name: str, version: str) -> None:
        await storage.execute(
            "DELETE FROM maintenance_secret WHERE name = $1 AND version = $2", name, version
        )


class Resealed(NamedTuple):
    """How many keys were sealed anew by the first master key, and the names of those that nobody opens."""

    done: int
    unreadable: list[str]


async def reseal(seal: Seal) -> Resealed:
    """Seal anew what another master key has sealed: afterwards the others are needed no more."""
    done, unreadable, after = 0, list[str](), ("", "")
    while True:
        rows = await storage.fetch(
            "SELECT name, version, sealed FROM maintenance_secret WHERE sealed_by <> $1 "
            "AND (name, version) > ($2, $3) ORDER BY name, version LIMIT $4",
            seal.mark,
            *after,
            _BATCH,
        )
        anew = [(row, seal.reseal(row["sealed"])) for row in rows]
        unreadable += [row["name"] for row, sealed in anew if sealed is None]
        done += await _replace([(row, sealed) for row, sealed in anew if sealed is not None], seal.mark)
        if len(rows) < _BATCH:
            return Resealed(done, sorted({*unreadable}))
        after = (rows[-1]["name"], rows[-1]["version"])


async def _replace(anew: list[tuple[Any, str]], mark: str) -> int:
    """Replace texts that are still as they were read."""
    async with storage.transaction() as tx:
        await tx.execute_many(
            "UPDATE maintenance_secret SET sealed = $1, sealed_by = $2 "
            "WHERE name = $3 AND version = $4 AND sealed = $5",
            [(sealed, mark, row["name"], row["version"], row["sealed"]) for row, sealed in anew],
        )
    return len(anew)
