"""Installations with this plugin and no other, directories for recordings and for what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import media_samples as samples
import pytest
from hopyard import sandbox
from hopyard.testing import FakeModel, Hop
from hopyard_media import Media


@pytest.fixture
def hop_plugins() -> Sequence[Any]:
    """What `hop` has."""
    return [Media]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The directory of the root `in`."""
    made = tmp_path / "in"
    made.mkdir()
    return made


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The directory of the root `out`, where files are written."""
    made = tmp_path / "out"
    made.mkdir()
    return made


@pytest.fixture
def own_settings() -> Mapping[str, Any]:
    """The plugin's settings beside its roots."""
    return {}


@pytest.fixture
def hop_settings(folder: Path, out: Path, own_settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of `hop`."""
    roots = {"in": {"path": str(folder)}, "out": {"path": str(out), "writable": True}}
    return {"plugins.media.settings": {"roots": roots, "output": "out", **own_settings}}


@pytest.fixture
def hop(hop_plugins: Sequence[Any], hop_settings: Mapping[str, Any], tmp_path: Path) -> Iterator[Hop]:
    """An installation with only the given plugins, for one test."""
    with Hop(*hop_plugins, folder=tmp_path / "hopyard", settings=hop_settings) as made:
        yield made


@pytest.fixture
def fake_model() -> Iterator[FakeModel]:
    """A server that speaks the chat protocol of LLMs and answers what the test has written down."""
    with FakeModel() as made:
        yield made


@pytest.fixture
def speech() -> Path:
    """People who speak: recordings with what they say. In CI it fails where they are missing."""
    return samples.speech_folder()


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What child processes were told to do, in order: the operation and where in the recording it begins."""
    told: list[tuple[str, Any]] = []
    run_told = sandbox.run_told

    async def noted(package: Path, operation: str, order: Mapping[str, Any], *rest: Any) -> dict[str, Any]:
        answer = await run_told(package, operation, order, *rest)
        told.append((operation, order.get("start", order.get("at"))))
        return answer

    monkeypatch.setattr(sandbox, "run_told", noted)
    return told


Put = Callable[[str, bytes], str]
