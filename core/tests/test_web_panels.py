"""Panels of plugins: plain data that the core lays out; what is wrong with one costs that one."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hopyard import Panel, PanelData, Plugin, PluginSettings, conceal, hookimpl
from hopyard.errors import SpecError
from hopyard.ledger import leader
from hopyard.loading import PluginState, load_plugins
from hopyard.loading._contributions import gather
from hopyard.settings import Settings

if TYPE_CHECKING:
    from web_lab import Web

MARKUP = "<script>alert(1)</script>{{7*7}}"
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Shown:
    """What the panels of the tests do."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.reads = 0

    def plain(self) -> PanelData:
        self.reads += 1
        figures: dict[str, Any] = {"Open": 3, MARKUP: True, "Password": "hunter2", "Odd": float("nan")}
        rows = [[MARKUP, AT, None, n] for n in range(203)]
        return PanelData(
            figures, ["Name", "At", "Token", "Number"], rows, f"{MARKUP}\nkey: a-concealed-value"
        )

    async def asked(self) -> PanelData:
        from hopyard import Hopyard

        holder = await leader.holder(Hopyard.current().client().database, "nothing")
        return PanelData(text=f"held by {holder}")

    def hangs(self) -> PanelData:
        self.released.wait()
        return PanelData()

    async def raises(self) -> PanelData:
        raise SystemExit("gone, with a-concealed-value")

    def wrong(self) -> Any:
        return {"figures": {}}


@pytest.fixture
async def shown(web: Web) -> AsyncIterator[Shown]:
    """A plugin with panels beside the site's."""
    made = Shown()
    conceal("a-concealed-value")

    class Shop(Plugin[PluginSettings]):
        @hookimpl
        def register_panels(self) -> list[Panel]:
            return [
                Panel("plain", "In short", made.plain),
                Panel("hangs", "Slow", made.hangs, time_limit=0.05),
                Panel("raises", "Broken", made.raises),
                Panel("wrong", "Wrong", made.wrong),
                Panel("asked", "Of the ledger", made.asked),
            ]

    web.lab.plugin("shop", Shop)
    plugins = web.lab.hopyard.plugins
    plugins._loaded.contributions["shop"] = gather("shop", plugins._hooks)
    yield made
    made.released.set()


async def test_each_shows_its_data_or_its_own_fault(web: Web, shown: Shown) -> None:
    answer = await web.ask("GET", "/api/plugins/shop/panels", "viewer")
    found = {one["name"]: one for one in answer.json()["panels"]}
    assert [*found] == ["plain", "hangs", "raises", "wrong", "asked"]
    plain = found["plain"]
    assert plain["title"] == "In short"
    assert [one["value"] for one in plain["figures"]] == [3, True, "***", "nan"]
    assert (len(plain["rows"]), plain["more_rows"]) == (200, 3)
    assert plain["rows"][1] == [MARKUP, "2026-01-02T03:04:05Z", None, 1]
    assert plain["text"] == f"{MARKUP}\nkey: ***"
    assert found["asked"]["text"] == "held by None"
    assert found["hangs"]["error"] == "no answer within 0.05 s"
    assert found["raises"]["error"] == "SystemExit: gone, with ***"
    assert "expected a PanelData" in found["wrong"]["error"]


async def test_the_page_lays_them_out_as_text(web: Web, shown: Shown) -> None:
    page = (await web.ask("GET", "/plugins/shop", "viewer")).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;{{7*7}}" in page
    assert "3 more rows are not shown" in page
    assert 'datetime="2026-01-02T03:04:05' in page
    assert "This cannot be shown: no answer within 0.05 s" in page
    assert "a-concealed-value" not in page
    assert "hunter2" not in page


async def test_who_looks_at_the_same_time_is_shown_one_reading(web: Web, shown: Shown) -> None:
    for _ in range(3):
        await web.ask("GET", "/api/plugins/shop/panels")
    assert shown.reads >= 1
    web.served.panels._readings["shop", "plain"] = (
        float("-inf"),
        web.served.panels._readings["shop", "plain"][1],
    )
    before = shown.reads
    await web.ask("GET", "/api/plugins/shop/panels")
    assert shown.reads == before + 1


async def test_one_that_hangs_is_not_started_again_before_it_ends(web: Web, shown: Shown) -> None:
    def hanging() -> int:
        return sum(thread.name == "panel shop.hangs" for thread in threading.enumerate())

    for _ in range(3):
        web.served.panels._readings.clear()
        answer = await web.ask("GET", "/api/plugins/shop/panels")
    assert hanging() == 1
    assert "still hangs" in answer.json()["panels"][1]["error"]


async def test_only_of_plugins_that_concern_the_viewer_and_are_enabled(web: Web, shown: Shown) -> None:
    assert (await web.ask("GET", "/api/plugins/shop/panels", "of-site")).status_code == 404
    assert (await web.ask("GET", "/api/plugins/site/panels", "of-site")).json() == {"panels": []}
    assert (await web.ask("GET", "/api/plugins/shops/panels")).status_code == 404
    assert (await web.ask("GET", "/plugins/shop", "of-site")).status_code == 404
    web.lab.hopyard.plugins.switch({"shop": "disabled by ada"})
    web.served.looked = float("inf")
    assert (await web.ask("GET", "/api/plugins/shop/panels")).json() == {"panels": []}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"figures": [("a", 1)]}, "figures"),
        ({"figures": {f"n{n}": n for n in range(51)}}, "at most 50 values"),
        ({"columns": ["a"], "rows": [[1, 2]]}, "a list of 1 values"),
        ({"columns": ["a"], "rows": [[{}]]}, "column `a`"),
        ({"columns": ["a"], "rows": [[datetime(2026, 1, 1)]]}, "a moment with a zone"),
        ({"columns": ["a"], "rows": [[1]] * 10_001}, "at most 10000 rows"),
        ({"columns": ["a"] * 21}, "at most 20 names"),
        ({"text": "a" * 100_001}, "text"),
    ],
)
def test_what_cannot_be_shown_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        PanelData(**values)


def test_what_is_no_panel_quarantines_its_plugin_as_with_other_hooks() -> None:
    class Wrong(Plugin[PluginSettings]):
        @hookimpl
        def register_panels(self) -> Any:
            return [Panel("a", "A", PanelData), Panel("a", "B", PanelData)]

    plugins = load_plugins(Settings(), role="web", builtin={"wrong": Wrong}, distributions=[])
    record = plugins.record("wrong")
    assert record.state is PluginState.QUARANTINED
    assert "declared twice in `register_panels`" in record.reason
