"""The how-to guides, followed to the letter."""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import DOCS, Reader, environment
from servers import free_port


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("guide", sorted(path.stem for path in (DOCS / "how-to").glob("*.md")))
def test_a_guide(guide: str, tmp_path: Path) -> None:
    # An author's own tests have none of this project's plugins of pytest.
    clean = environment() | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ports = {port: str(free_port()) for port in ("8711", "8712", "8713")}
    with Reader(DOCS / "how-to" / f"{guide}.md", tmp_path, clean, instead=ports) as reader:
        reader.read()
