"""`hopyard jobs replay --edit`: what is edited must be what the task takes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from click.testing import CliRunner, Result
from engines import Lab
from hopyard.cli import main
from hopyard.specs import State


async def replay(folder: Path, *arguments: str) -> Result:
    command = ["--config", str(folder / "hopyard.toml"), "jobs", "replay", *arguments]
    return await asyncio.to_thread(CliRunner().invoke, main, command)


async def test_edited_arguments_are_checked_before_anything_is_stored(lab: Lab, tmp_path: Path) -> None:
    (await lab.worker()).fetch()
    dead = await lab.submit("site.typed", n=-1)
    await lab.ends(dead, State.DEAD)
    wrong = await replay(tmp_path, dead, "--edit", "n=many")
    assert wrong.exit_code == 2, wrong.output
    assert "site.typed" in wrong.output
    assert "found 'many'" in wrong.output
    unknown = await replay(tmp_path, dead, "--edit", "m=1")
    assert unknown.exit_code == 2, unknown.output
    assert await lab.ledger.database.fetch("SELECT id FROM job_live") == []
    right = await replay(tmp_path, dead, "--edit", "n=7", "--json")
    assert right.exit_code == 0, right.output
