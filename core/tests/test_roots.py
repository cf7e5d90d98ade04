"""Tasks work in declared directories only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hopyard import roots
from hopyard.errors import InvalidInput
from hopyard.roots import Root
from pydantic import ValidationError


@pytest.fixture
def declared(tmp_path: Path) -> dict[str, Root]:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_text("inside")
    (tmp_path / "secret").write_text("outside")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")
    return {"docs": Root(path=str(tmp_path / "in")), "out": Root(path=str(tmp_path), writable=True)}


def test_a_file_below_a_root_is_opened(declared: dict[str, Root]) -> None:
    with os.fdopen(roots.open_file(declared, "docs", "a")) as file:
        assert file.read() == "inside"


@pytest.mark.parametrize(
    ("root", "way", "match"),
    [
        ("docs", "b", "there is no b in the root `docs`"),
        ("docs", "link", "is a link"),
        ("docs", "../secret", "names below the root"),
        ("docs", "/etc/passwd", "names below the root"),
        ("docs", "x" * 5000, "names below the root"),
        ("other", "a", "expected one of: docs, out"),
    ],
)
def test_nothing_else_is(declared: dict[str, Root], root: str, way: str, match: str) -> None:
    with pytest.raises(InvalidInput, match=match):
        roots.open_file(declared, root, way)


def test_files_are_made_only_where_that_is_said(declared: dict[str, Root]) -> None:
    assert roots.writable(declared, "out").writable
    with pytest.raises(InvalidInput, match="tasks only read"):
        roots.writable(declared, "docs")
    with pytest.raises(InvalidInput, match="none: declare it"):
        roots.chosen({}, "docs")


@pytest.mark.parametrize("path", ["relative", "/a/../b", "/", "/etc", "//etc", "/proc/self", "/tmp/", ""])
def test_a_root_is_a_directory_of_its_own(path: str) -> None:
    with pytest.raises(ValidationError):
        Root(path=path)
