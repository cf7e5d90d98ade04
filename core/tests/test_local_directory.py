"""The data directory: its own, for its owner only, or refused in a line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hopyard import current
from hopyard.app import Hopyard
from hopyard.errors import HopyardError
from hopyard.local import directory
from hopyard.local.directory import prepare


def refused(path: Path) -> str:
    mode = path.stat().st_mode if path.exists() else 0
    with pytest.raises(HopyardError) as caught:
        prepare(path)
    if path.exists():
        assert path.stat().st_mode == mode, "who may read it is changed of one's own directory only"
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_new_one_is_for_its_owner_only(tmp_path: Path) -> None:
    made = prepare(tmp_path / "a" / "b")
    assert made.stat().st_mode & 0o777 == 0o700
    (made / "stack.lock").touch()
    (made / "anything").touch()
    made.chmod(0o755)
    assert prepare(made).stat().st_mode & 0o777 == 0o700


def test_the_working_directory_and_those_around_it_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir(mode=0o755)
    monkeypatch.chdir(project)
    assert ".hopyard" in refused(Path())
    assert "working directory" in refused(tmp_path)


def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir(mode=0o755)
    (project / "pyproject.toml").touch()
    assert "pyproject.toml" in refused(project)


def test_a_file_and_what_cannot_be_made_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "a file where a directory is needed" in refused(tmp_path / "file")
    assert "a file where a directory is needed" in refused(tmp_path / "file" / "below")


def test_links_in_it_are_refused(tmp_path: Path) -> None:
    data = prepare(tmp_path / "data")
    (data / "hopyard.db").symlink_to(tmp_path / "elsewhere")
    assert "a link in it (`hopyard.db`)" in refused(data)


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = prepare(tmp_path / "data")
    owner = os.geteuid()
    monkeypatch.setattr(directory.os, "geteuid", lambda: owner + 1)
    assert f"a directory of user {owner}" in refused(data)


async def test_a_ledger_in_a_directory_with_links_is_not_opened(tmp_path: Path) -> None:
    """Whoever can write into the directory of a stranger's data could lead it anywhere."""
    data = prepare(tmp_path / "data")
    (tmp_path / "elsewhere.db").touch()
    (data / "hopyard.db").symlink_to(tmp_path / "elsewhere.db")
    (tmp_path / "hopyard.toml").write_text("[plugins]\nallow = []\n")
    hopyard = Hopyard.load(config=tmp_path / "hopyard.toml", data=data)
    try:
        with pytest.raises(HopyardError, match="a link in it"):
            hopyard.open_database()
    finally:
        current.set_instance(None)


def test_a_file_in_its_place_is_refused_before_a_ledger_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(HopyardError, match="a file where a directory is needed"):
        Hopyard.load(data=tmp_path / "file").open_database()
    current.set_instance(None)
