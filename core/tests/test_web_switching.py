"""Disabling and enabling a plugin over HTTP, and on its page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fastapi import APIRouter
from hopyard import Plugin, PluginSettings, hookimpl
from hopyard.ledger import switches
from hopyard.web.api.deps import of_plugin

if TYPE_CHECKING:
    from web_lab import Web


class Other(Plugin[PluginSettings]):
    """Requires the site's plugin."""

    requires = ("site",)

    @hookimpl
    def register_routes(self) -> list[APIRouter]:
        return []


async def test_a_plugin_is_disabled_and_enabled_and_asking_twice_changes_nothing(web: Web) -> None:
    done = (await web.ask("POST", "/api/plugins/site/disable")).json()
    assert done["reason"].startswith("disabled by admin at ")
    assert done | {"reason": ""} == {
        "plugin": "site",
        "changed": True,
        "state": "disabled",
        "reason": "",
        "with_it": [],
    }
    again = (await web.ask("POST", "/api/plugins/site/disable")).json()
    assert again == done | {"changed": False}
    listed = (await web.ask("GET", "/api/plugins", "viewer")).json()["plugins"]
    (site,) = [one for one in listed if one["name"] == "site"]
    assert (site["state"], site["disabled"], site["reason"]) == ("disabled", True, done["reason"])
    refused = await web.ask("POST", "/api/background/site/add", json={"a": 1})
    assert refused.status_code == 404
    assert done["reason"] in refused.json()["detail"]
    document = (await web.ask("GET", "/api/openapi.json")).json()
    assert "/api/background/site/add" in document["paths"]
    back = (await web.ask("POST", "/api/plugins/site/enable")).json()
    assert (back["changed"], back["state"], back["reason"]) == (True, "enabled", "")
    assert not (await web.ask("POST", "/api/plugins/site/enable")).json()["changed"]
    assert (await web.ask("POST", "/api/background/site/add", json={"a": 1})).status_code == 202
    acts = (await web.ask("GET", "/api/audit")).json()["acts"]
    assert {(one["who"], one["act"], one["target"]) for one in acts} >= {
        ("admin", "disable plugin", "site"),
        ("admin", "enable plugin", "site"),
    }


@pytest.mark.parametrize("act", ["disable", "enable"])
@pytest.mark.parametrize(
    ("name", "status", "said"), [("sit", 404, "did you mean `site`?"), ("hopyard", 409, "the core's own")]
)
async def test_what_cannot_be_switched_is_refused_with_the_reason(
    web: Web, act: str, name: str, status: int, said: str
) -> None:
    answer = await web.ask("POST", f"/api/plugins/{name}/{act}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]
    assert not [one for one in (await web.ask("GET", "/api/audit")).json()["acts"] if act in one["act"]]


async def test_a_key_for_some_plugins_switches_none(web: Web) -> None:
    assert (await web.ask("POST", "/api/plugins/site/disable", "of-site")).status_code == 403
    page = (await web.ask("GET", "/plugins/site", "of-site")).text
    assert "Disable" not in page


async def test_what_is_disabled_elsewhere_is_seen_here(web: Web) -> None:
    """At the next look."""
    await switches.disable(web.ledger.database, "site", "bob")
    web.served.looked = float("-inf")
    listed = (await web.ask("GET", "/api/plugins")).json()["plugins"]
    assert next(one["reason"] for one in listed if one["name"] == "site").startswith("disabled by bob")
    found = await web.ask("GET", "/api/tasks/site.add")
    assert found.status_code == 404
    assert "disabled by bob" in found.json()["detail"]


async def test_its_page_says_by_whom_and_what_rests_with_it(web: Web) -> None:
    web.lab.plugin("other", Other)
    web.lab.hopyard.plugins._order.append("other")
    page = (await web.ask("GET", "/plugins/site")).text
    assert "and with it other?" in page
    assert "Disable" not in (await web.ask("GET", "/plugins/site", "operator")).text
    done = (await web.ask("POST", "/api/plugins/site/disable")).json()
    assert done["with_it"] == ["other"]
    page = (await web.ask("GET", "/plugins/site")).text
    assert done["reason"] in page
    assert "With it rest: other" in page
    assert 'data-url="/api/plugins/site/enable"' in page
    assert f"it requires the plugin `site`: {done['reason']}" in (await web.ask("GET", "/plugins/other")).text
    assert "Disable" not in (await web.ask("GET", "/plugins/hopyard")).text


async def test_routes_of_its_own_are_out_as_long(web: Web) -> None:
    web.app.include_router(_router(), prefix="/api/plugins/site", dependencies=[of_plugin("site")])
    assert (await web.ask("GET", "/api/plugins/site/weather")).json() == "sunny"
    reason = (await web.ask("POST", "/api/plugins/site/disable")).json()["reason"]
    answer = await web.ask("GET", "/api/plugins/site/weather")
    assert (answer.status_code, answer.json()["detail"]) == (503, f"plugin site is {reason}")
    await web.ask("POST", "/api/plugins/site/enable")
    assert (await web.ask("GET", "/api/plugins/site/weather")).json() == "sunny"


def _router() -> APIRouter:
    made = APIRouter()
    made.get("/weather")(lambda: "sunny")
    return made
