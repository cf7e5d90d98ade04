"""A service that makes keys, with faults on demand, and an installation with one managed key of it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest
from hopyard.errors import AuthenticationError
from hopyard_maintenance import ApiKey, KeyProvider, KeyRequest, Maintenance
from hopyard_maintenance.keys import ledger, managing
from pydantic import SecretStr

MASTER = "A" * 43 + "="


class Died(BaseException):
    """A worker is gone."""


class Service:
    """Whoever makes the keys: what it has, what it does wrong, and what it was asked."""

    def __init__(self) -> None:
        self.keys: dict[str, tuple[str, str]] = {}
        """Label and secret by id."""
        self.installed: list[str] = []
        self.made = 0
        self.asked: list[str] = []
        self.faults: dict[str, BaseException] = {}
        """Raised once before a call, or behind it: `create` and `create done`."""

    def _meets(self, moment: str) -> None:
        fault = self.faults.pop(moment, None)
        if fault is not None:
            raise fault

    async def _does(self, what: str, work: Callable[[], Any]) -> Any:
        self.asked.append(what)
        self._meets(what)
        answer = work()
        self._meets(f"{what} done")
        return answer

    async def create(self, request: KeyRequest) -> ApiKey:
        def make() -> ApiKey:
            self.made += 1
            id_, secret = f"k{self.made}", f"CANARY-{secrets.token_hex(8)}"
            self.keys[id_] = (request.label, secret)
            return ApiKey(id_, SecretStr(secret))

        key: ApiKey = await self._does("create", make)
        return key

    async def verify(self, request: KeyRequest, key: ApiKey) -> None:
        def look() -> None:
            if self.keys.get(key.id, ("", ""))[1] != key.secret.get_secret_value():
                raise AuthenticationError(f"{key.secret.get_secret_value()} is no key of ours")

        await self._does("verify", look)

    async def revoke(self, request: KeyRequest, id_: str) -> None:
        await self._does("revoke", lambda: self.keys.pop(id_, None))

    async def find(self, request: KeyRequest) -> str | None:
        def look() -> str | None:
            return next((id_ for id_, (label, _) in self.keys.items() if label == request.label), None)

        found: str | None = await self._does("find", look)
        return found

    async def publish(self, request: KeyRequest, key: ApiKey) -> None:
        await self._does("publish", lambda: self.installed.append(key.id))

    def provider(self, *, find: bool = True, publish: bool = True, repeatable: bool = False) -> KeyProvider:
        return KeyProvider(
            "acme",
            self.create,
            self.verify,
            self.revoke,
            find=self.find if find else None,
            publish=self.publish if publish else None,
            repeatable=repeatable,
        )


class World:
    """An installation with one managed key, and the service that makes it."""

    def __init__(self, installed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.installed = installed
        self.service = Service()
        self.offered = self.service.provider()
        self._by_name: dict[str, KeyProvider] = {}
        monkeypatch.setattr(managing, "provider", lambda name: self._by_name.get(name, self.offered))
        self.job = installed.job(person="ada")
        installed.set(master_keys=[MASTER], keys={"acme": {"provider": "acme"}})

    def offer(self, providers: dict[str, KeyProvider]) -> None:
        """Have other providers, by name."""
        self._by_name = providers

    async def rotate(self, *, force: bool = False) -> str:
        """Have the job rotate; return what it says of the key, empty for nothing."""
        report = await managing.rotate(self.job, None, force=force, dry_run=False)
        return report.done.get("acme") or report.problems.get("acme") or ""

    async def dies(self, *, force: bool = False) -> None:
        """Have the worker of the job die where the service's fault says."""
        with pytest.raises(Died):
            await self.rotate(force=force)

    async def overlap_ends(self) -> None:
        """Let the time pass in which both keys work."""
        d = self.installed.hopyard.client().database.dialect
        await self.installed.execute(
            f"UPDATE maintenance_rotation SET revoke_at = {d.minus('revoke_at', '90000')}"
        )

    async def current(self) -> str | None:
        """Return the id of the key that is in use."""
        found = await ledger.current("acme")
        return found.id if found else None

    async def state(self) -> str:
        (state,) = await managing.states()
        return state.state

    async def steps(self) -> list[str]:
        """Return the audit, the oldest first."""
        return [one["step"] for one in (await ledger.events("acme", 1000))[::-1]]

    async def works(self) -> bool:
        """Whether the key that others read is one of the service's."""
        secret = (await Maintenance.current().read_key("acme")).get_secret_value()
        return secret in [one[1] for one in self.service.keys.values()]
