"""How `make docs` builds the documentation."""

from __future__ import annotations

import sys
from importlib.metadata import version as _version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "Hopyard"
author = "The authors of Hopyard"
copyright = f"2026, {author}"  # noqa: A001 - Sphinx's name
release = version = _version("hopyard")

extensions = ["myst_parser", "hopyard_reference.sphinx"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]

html_theme = "furo"
html_title = f"Hopyard {release}"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
# The blocks of a shell session and of a file tree are no Python.
highlight_language = "none"
