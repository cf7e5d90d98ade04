"""Installations with this plugin and no other, and a directory for the files of a test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hopyard.testing import FakeModel, Hop
from hopyard_file import File


@pytest.fixture
def hop_plugins() -> Sequence[Any]:
    """What `hop` has."""
    return [File]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The directory of the root `in`, to which tasks may write."""
    made = tmp_path / "in"
    made.mkdir()
    return made


@pytest.fixture
def roots(folder: Path) -> dict[str, Any]:
    """The settings of that root."""
    return {"plugins.file.settings.roots.in": {"path": str(folder), "writable": True}}


@pytest.fixture
def hop_settings(roots: dict[str, Any]) -> Mapping[str, Any]:
    """The settings of `hop`."""
    return roots


@pytest.fixture
def hop(hop_plugins: Sequence[Any], hop_settings: Mapping[str, Any], tmp_path: Path) -> Iterator[Hop]:
    """An installation with only the given plugins, for one test."""
    with Hop(*hop_plugins, folder=tmp_path / "hopyard", settings=hop_settings) as made:
        yield made


@pytest.fixture
def put(folder: Path) -> Callable[[str, bytes], str]:
    """Put a file into the root `in`; returns its way."""

    def write(way: str, content: bytes) -> str:
        target = folder / way
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return way

    return write


@pytest.fixture
def fake_model() -> Iterator[FakeModel]:
    """A server that speaks the chat protocol of LLMs and answers what the test has written down."""
    with FakeModel() as made:
        yield made


def has_ocr() -> bool:
    """Whether the data of English is there for OCR."""
    from hopyard_file.parsing import faults, ocr

    try:
        ocr.language_data("eng")
    except faults.Missing:
        return False
    return True


@pytest.fixture
def ocr() -> None:
    """Skip a test where OCR has no language data; in CI it fails instead."""
    if not has_ocr():
        if os.environ.get("CI") == "true":
            pytest.fail("install tesseract-ocr-eng: `make setup-test-servers`")
        pytest.skip("tesseract-ocr-eng is not installed")
