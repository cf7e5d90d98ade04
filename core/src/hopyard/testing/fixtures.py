"""Fixtures for the tests of plugins. A `conftest.py` has `pytest_plugins = ["hopyard.testing.fixtures"]`.

Override `hop_plugins` (and `hop_settings`) to say what the installation has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from hopyard.testing.hop import Hop
from hopyard.testing.model import FakeModel

__all__ = ["fake_model", "hop", "hop_plugins", "hop_settings"]


@pytest.fixture
def hop_plugins() -> Sequence[Any]:
    """The plugins of `hop`: classes, names of installed ones, or mappings of names to classes."""
    raise pytest.UsageError(
        "the fixture `hop` does not know your plugin: define a fixture `hop_plugins` in conftest.py that "
        "returns it, for example `return [Weather]`"
    )


@pytest.fixture
def hop_settings() -> Mapping[str, Any]:
    """The settings of `hop`, as in the settings file: nested, or by dotted key."""
    return {}


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
