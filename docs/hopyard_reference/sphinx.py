"""The extension that puts the reference into its pages."""

from __future__ import annotations

from typing import Any

from hopyard_reference import MARK, PAGES


def setup(app: Any) -> dict[str, Any]:
    """Be asked for each page that is read."""
    app.connect("source-read", _fill)
    # The code may change without its page: a page of the reference is always read anew.
    app.connect("env-get-outdated", lambda *_: [f"reference/{name}" for name in PAGES])
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _fill(app: Any, docname: str, source: list[str]) -> None:
    folder, _, name = docname.rpartition("/")
    if folder == "reference" and name in PAGES:
        source[0] = source[0].replace(MARK, PAGES[name]())
