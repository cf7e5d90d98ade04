"""Connectors of strangers: what is wrong with one costs its own connections, and is seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hopyard.errors import InvalidInput
from hopyard_sync import Connector, Run
from hopyard_sync.engine import runner, state
from hopyard_sync.health import connections_well
from paged_api import Scripted
from sync_sites import sync_site


async def nothing(run: Run) -> None:
    """Do nothing."""


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have strangers register these."""

    def register(*contributed: Any) -> None:
        def collect(self: Any, hook: str) -> list[tuple[str, Any]]:
            return [("strange", one) for one in contributed]

        monkeypatch.setattr("hopyard.loading.Plugins.collect", collect)

    return register


async def test_a_taken_kind_and_a_nonsense_stop_nobody(tmp_path: Path, registered: Any) -> None:
    with Scripted(lambda *_: (200, {}, [{"id": 1}])) as api:
        shop = {"url": api.url, "streams": {"things": {"path": "/things"}}}
        async with sync_site(tmp_path, {"apis": {"shop": shop}}) as site:
            registered(Connector("rest", nothing, nothing), 42)
            assert (await site.sync("shop")).added == 1
            told = await connections_well()
            assert not told.ok
            assert "which is taken" in told.detail
            assert "registers 42" in told.detail


async def test_a_kind_that_nobody_brings_is_recorded(tmp_path: Path) -> None:
    async with sync_site(tmp_path, {"others": {"odd": {"kind": "gone"}}}) as site:
        with pytest.raises(InvalidInput, match="expected one of"):
            await site.sync("odd")
        stands = await state.standing("odd")
        assert stands.state == "failed"
        assert "'gone'" in str(stands.error)
        assert not (await connections_well()).ok


@pytest.mark.parametrize("error", [SystemExit(3), KeyError("x"), RecursionError()])
async def test_whatever_a_connector_raises_its_connection_is_free_again(
    tmp_path: Path, registered: Any, error: BaseException
) -> None:
    async def raises(run: Run) -> None:
        raise error

    async with sync_site(tmp_path, {"others": {"odd": {"kind": "odd"}}}) as site:
        registered(Connector("odd", raises, nothing))
        with pytest.raises(type(error)):
            await site.sync("odd")
        stands = await state.standing("odd")
        assert (stands.state, stands.running) == ("failed", False)
        assert type(error).__name__ in str(stands.error)


async def test_of_several_one_that_raises_anything_holds_up_no_other(tmp_path: Path, registered: Any) -> None:
    async def raises(run: Run) -> None:
        if run.name == "a":
            raise ValueError("odd")

    from hopyard.storage import new_id
    from sync_child import OneJob

    async with sync_site(tmp_path, {"others": {"a": {"kind": "odd"}, "b": {"kind": "odd"}}}):
        registered(Connector("odd", raises, nothing))
        job: Any = OneJob(new_id())
        reports = await runner.sync_all(job, {"odd"}, "", dry_run=False, force=False, full=False)
        assert {one.connection: one.state for one in reports} == {"a": "failed", "b": "ok"}
