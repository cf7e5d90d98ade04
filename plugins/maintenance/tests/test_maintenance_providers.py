"""Key providers of other plugins: found by name, refused where they are wrong."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hopyard import Plugin, PluginSettings, hookimpl
from hopyard.errors import HopyardError, InvalidInput, SpecError
from hopyard.testing import Hop
from hopyard_maintenance import ApiKey, KeyProvider, KeyRequest, Maintenance
from hopyard_maintenance.keys.providers import RANDOM, provider
from pydantic import SecretStr

SETTINGS: dict[str, Any] = {
    "plugins.maintenance.settings": {
        "master_keys": ["A" * 43 + "="],
        "keys": {"bank": {"provider": "bank", "options": {"account": 7}}},
    }
}
ASKED: list[tuple[str, Any]] = []


async def create(request: KeyRequest) -> ApiKey:
    ASKED.append(("create", request.options["account"]))
    return ApiKey(request.label, SecretStr("CANARY-of-the-bank"))


async def verify(request: KeyRequest, key: ApiKey) -> None:
    ASKED.append(("verify", key.id == request.label))


async def revoke(request: KeyRequest, id_: str) -> None:
    ASKED.append(("revoke", id_))


class Bank(Plugin[PluginSettings]):
    """Makes keys."""

    @hookimpl
    def register_key_providers(self) -> Iterable[KeyProvider]:
        return [KeyProvider("bank", create, verify, revoke)]


class Thief(Plugin[PluginSettings]):
    """Would like to make the keys of others."""

    @hookimpl
    def register_key_providers(self) -> Iterable[Any]:
        return [KeyProvider("bank", create, verify, revoke), KeyProvider("random", create, verify, revoke), 7]


def test_a_plugin_makes_keys(tmp_path: Path) -> None:
    ASKED.clear()
    with Hop({"maintenance": Maintenance, "bank": Bank}, folder=tmp_path, settings=SETTINGS) as hop:
        outcome = hop.run("maintenance.rotate_api_keys")
        assert outcome.result().summary == "bank: the first key is in use."
        assert ASKED == [("create", 7), ("verify", True)]
        assert "CANARY" not in str(outcome) + str(hop.events) + str(hop.fetch("SELECT * FROM job_history"))
        assert provider("random") is RANDOM
        with pytest.raises(InvalidInput, match="no plugin has registered the key provider `none`"):
            provider("none")


def test_no_plugin_takes_the_place_of_another(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plugins: Any = {"maintenance": Maintenance, "bank": Bank, "thief": Thief}
    with Hop(plugins, folder=tmp_path, settings=SETTINGS):
        for name, owner in (("bank", "bank"), ("random", "maintenance")):
            with pytest.raises(InvalidInput, match=f"both {owner} and thief register"):
                provider(name)
        with pytest.raises(InvalidInput, match="no plugin"):
            provider("other")
        assert "thief registers 7 as a key provider" in caplog.text


def test_keys_whose_provider_is_gone_say_so(tmp_path: Path) -> None:
    with Hop(Maintenance, folder=tmp_path, settings=SETTINGS) as hop:
        report = hop.run("maintenance.rotate_api_keys").result()
        assert report.problems == {
            "bank": "no plugin has registered the key provider `bank`; there are: random"
        }


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"create": None}, {"verify": "x"}, {"revoke": 7}, {"find": 7}, {"publish": "x"}]
)
def test_a_provider_checks_itself(wrong: dict[str, Any]) -> None:
    given: dict[str, Any] = {"name": "bank", "create": create, "verify": verify, "revoke": revoke} | wrong
    with pytest.raises(SpecError, match="key provider"):
        KeyProvider(**given)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"master_keys": []}, "expected `master_keys`"),
        ({"keys": {"bank": {"provider": "bank", "store": "vault"}}}, "expected a section `vault`"),
        ({"keys": {"Bank": {"provider": "bank"}}}, "keys"),
        ({"vault": {"url": "ftp://x", "token": "t"}}, "vault.url"),
        ({"vault": {"url": "https://x", "token": "t", "prefix": "../sys"}}, "vault.prefix"),
        ({"vault": {"url": "https://x", "token": ""}}, "vault.token"),
        ({"optimize": {"database_url": "garbage"}}, "expected the address of the same database"),
        ({"optimize": {"database_url": "mysql://h/d"}}, "expected the address of the same database"),
        ({"keys": {"bank": {"provider": "bank", "every_days": 1, "overlap_hours": 25}}}, "expected at most"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, more: dict[str, Any], expected: str) -> None:
    given = SETTINGS["plugins.maintenance.settings"] | more
    with pytest.raises(HopyardError, match=expected):
        Hop(Maintenance, folder=tmp_path, settings={"plugins.maintenance.settings": given})
