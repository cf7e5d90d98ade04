"""The reference, made from the code: each page's text as Markdown, by the page's name.

A page under `docs/reference/` has a line `<!-- generated -->` where its text goes; `sphinx` puts it there
when the documentation is built, and a test compares it with the code.
"""

from __future__ import annotations

from collections.abc import Callable

from hopyard_reference import _api, _commands, _contract, _errors, _hooks, _settings

#: By page: what writes its text.
PAGES: dict[str, Callable[[], str]] = {
    "api": _api.page,
    "commands": _commands.page,
    "contract": _contract.page,
    "errors": _errors.page,
    "hooks": _hooks.page,
    "settings": _settings.page,
    "specs": _api.specs_page,
}

#: Where a page's text goes.
MARK = "<!-- generated -->"
