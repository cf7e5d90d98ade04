"""Templates: Jinja2 in a sandbox, HTML escaped by itself, styles inlined, a text made where there is none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hopyard.errors import InvalidInput

from hopyard_email.composing.files import read_below
from hopyard_email.composing.markup import depth
from hopyard_email.composing.plaintext import to_text

if TYPE_CHECKING:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    from hopyard_email.settings import EmailSettings

#: The largest template file, in bytes, and what one part may become, in characters.
MAX_FILE: Final = 1_000_000
MAX_RENDERED: Final = 2_000_000
#: Elements within elements: the library that inlines styles calls itself for each, and its stack ends.
MAX_DEPTH: Final = 1_000
MAX_HTML: Final = 10_000_000
MAX_TAGS: Final = 200_000
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_PARTS: Final = ("subject", "html", "text")
_SUFFIX: Final = {"subject": "subject", "html": "html", "text": "txt"}


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a template became."""

    subject: str
    html: str | None
    text: str | None


def render(name: str, values: Mapping[str, Any], settings: EmailSettings) -> Rendered:
    """Return what a template becomes with these values.

    Raises `InvalidInput` for an unknown template, a value that it needs and does not get, an attempt to
    leave the sandbox, and a result that is too long.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"template: found {name[:100]!r}, expected letters, digits, `_`, `.` and `-`")
    from jinja2 import TemplateNotFound

    environment = _environment(settings)
    found: dict[str, str] = {}
    for part in _PARTS:
        try:
            template = environment.get_template(f"{name}.{_SUFFIX[part]}")
        except TemplateNotFound as error:
            if error.name != f"{name}.{_SUFFIX[part]}":
                raise InvalidInput(f"template {name}: there is no {error.name}") from None
            continue
        except Exception as error:
            raise _wrong(name, error) from error
        found[part] = _rendered(template, values, name)
    if not found.keys() & {"html", "text"}:
        raise InvalidInput(
            f"there is no template {name}: expected {name}.html or {name}.txt in `templates`, or an entry "
            f"in `inline_templates`; there are: {', '.join(names(settings)) or 'none'}"
        )
    return Rendered(" ".join(found.get("subject", "").split()), found.get("html"), found.get("text"))


def finish(html: str | None, text: str | None, most: int = MAX_HTML) -> tuple[str | None, str | None]:
    """Return HTML with its styles inlined, and a text part, made from the HTML unless there is one.

    Nothing is fetched: style sheets elsewhere are left alone. Raises `InvalidInput`, also for a part of more
    than `most` characters, and for HTML that is nested too deep.
    """
    for name, part in (("html", html), ("text", text)):
        if part is not None and len(part) > most:
            raise InvalidInput(
                f"{name}: found {len(part):,} characters, expected at most {most:,} (`max_bytes`)"
            )
    if html is None:
        return None, text
    if html.count("<") > MAX_TAGS:
        raise InvalidInput(f"html: found more than {MAX_TAGS:,} tags")
    if depth(html) > MAX_DEPTH:
        raise InvalidInput(f"html: its elements are nested deeper than {MAX_DEPTH:,}, or are not closed")
    import css_inline

    try:
        inlined = css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True).inline(html)
    except (css_inline.InlineError, ValueError) as error:
        raise InvalidInput(f"html: its styles cannot be inlined: {error}") from None
    return inlined, text if text is not None else to_text(html)


def faults(settings: EmailSettings) -> list[str]:
    """Return what is wrong with the syntax of templates, one line each."""
    environment, found = _environment(settings), []
    for name in names(settings):
        for suffix in _SUFFIX.values():
            try:
                source = _source(f"{name}.{suffix}", settings)
                environment.parse(source or "", f"{name}.{suffix}")
            except Exception as error:  # noqa: BLE001 - a file that cannot be read, or one that is no template
                found.append(f"{_wrong(name, error)}")
    return found


def names(settings: EmailSettings) -> list[str]:
    """Return the names of all templates, sorted."""
    found = set(settings.inline_templates)
    if settings.templates is not None and settings.templates.is_dir():
        files = [*settings.templates.glob("*.html"), *settings.templates.glob("*.txt")]
        found |= {file.stem for file in files}
    return sorted(found)


def _environment(settings: EmailSettings) -> ImmutableSandboxedEnvironment:
    from jinja2 import FunctionLoader, StrictUndefined

    from hopyard_email.composing.guarded import GuardedEnvironment

    return GuardedEnvironment(
        loader=FunctionLoader(lambda name: _source(name, settings)),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=StrictUndefined,
        keep_trailing_newline=False,
    )


def _source(name: str, settings: EmailSettings) -> str | None:
    """Return a template's source, also for `include` and `extends`; None where there is none."""
    stem, _, suffix = name.rpartition(".")
    inline = settings.inline_templates.get(stem)
    if inline is not None:
        part = next((part for part, one in _SUFFIX.items() if one == suffix), "")
        found = getattr(inline, part, None) if part else None
        return found or None
    if settings.templates is None or not _NAME.fullmatch(name):
        return None
    if not (settings.templates / name).exists():
        return None
    return read_below([settings.templates], name, MAX_FILE, f"template {stem}").decode()


def _rendered(template: Any, values: Mapping[str, Any], name: str) -> str:
    """Return what one part becomes; it stops as soon as it is too long."""
    pieces, length = [], 0
    try:
        for piece in template.generate(**values):
            length += len(piece)
            if length > MAX_RENDERED:
                raise InvalidInput(f"template {name}: it became longer than {MAX_RENDERED:,} characters")
            pieces.append(piece)
    except InvalidInput:
        raise
    except Exception as error:
        raise _wrong(name, error) from error
    return "".join(pieces)


def _wrong(name: str, error: Exception) -> InvalidInput:
    """Return the error for whatever a template did wrong: it runs others' code within the sandbox."""
    return InvalidInput(f"template {name}: {type(error).__name__}: {error}")
