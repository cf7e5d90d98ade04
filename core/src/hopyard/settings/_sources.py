"""Where settings are from: the file, the environment, the command line."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from hopyard import files
from hopyard.checks import nearest
from hopyard.errors import Fault
from hopyard.settings._draft import Draft, Origin
from hopyard.settings._keys import join_names, parse
from hopyard.settings._model import Key, Settings
from hopyard.settings._section import Section

PREFIX = "HOPYARD_"
FILE_NAME = "hopyard.toml"
COMMAND_LINE = "command line"
RESERVED = ("HOPYARD_CONFIG", "HOPYARD_DATA")
RESERVED_PREFIX = "HOPYARD_INTERNAL_"

# Kubernetes gives every pod these variables for a Service whose name begins with `hopyard`.
_SERVICE_LINK = re.compile(
    r"HOPYARD_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)


def find_file(config: Path | None, environ: Mapping[str, str], directory: Path) -> tuple[Path | None, str]:
    """The settings file and who named it (`""`: nobody); a file that nobody named may be missing."""
    if config is not None:
        return (directory / config).absolute(), COMMAND_LINE
    if environ.get("HOPYARD_CONFIG"):
        return (directory / environ["HOPYARD_CONFIG"]).absolute(), "environment variable HOPYARD_CONFIG"
    path = (directory / FILE_NAME).absolute()
    return (path if os.path.lexists(path) else None), ""


def read_file(draft: Draft, path: Path, named_by: str) -> None:
    """Place the file's values, or the fault of a file that cannot be read."""
    try:
        values = tomllib.loads(files.read_text(path, files.MAX_SOURCE, "utf-8-sig"))
    except OSError as error:
        fault = Fault(
            named_by or str(path), "config", f"{path}: {error.strerror}", "a readable settings file"
        )
    except RecursionError:
        fault = Fault(str(path), "", "lists or tables that are hundreds of levels deep", "a settings file")
    except UnicodeDecodeError as error:
        fault = Fault(str(path), "", f"bytes that are not UTF-8 ({error.reason})", "a text file in UTF-8")
    except tomllib.TOMLDecodeError as error:
        fault = Fault(_located(path, str(error)), "", f"a syntax error: {error}", "TOML")
    except ValueError as error:  # a path with NUL, or a number of thousands of digits
        fault = Fault(named_by or str(path), "", f"{path}: {error}", "a readable settings file")
    else:
        draft.place((), values, Origin(str(path), path.parent, path))
        return
    draft.faults.append(((), fault))


def read_environment(draft: Draft, plugin_names: Collection[str], directory: Path) -> None:
    """Place what variables named `HOPYARD_…` say."""
    section = draft.values.get("plugins")
    in_file = (
        [name for name, value in section.items() if isinstance(value, dict)]
        if isinstance(section, dict)
        else []
    )
    plugins = {*plugin_names, *in_file, "site"}
    for name in sorted(draft.environ):
        if not name.startswith(PREFIX) or _not_ours(name, draft.environ[name]):
            continue
        origin = Origin(f"environment variable {name}", directory)
        key = _variable_key(name, plugins)
        if key is None:
            draft.faults.append(((), _unknown_variable(name, plugins)))
            continue
        try:
            draft.place(key, _text_value(draft.environ[name]), origin)
        except ValueError as error:
            fault = Fault(
                origin.source, ".".join(map(str, key)), f"text that is no JSON ({error})", _JSON_EXPECTED
            )
            draft.faults.append(((), fault))


def read_overrides(draft: Draft, overrides: Mapping[str, Any], directory: Path) -> None:
    """Place what the command line says, by dotted key."""
    origin = Origin(COMMAND_LINE, directory)
    for text, value in overrides.items():
        try:
            key = join_names([str(part) for part in parse(text)])
            draft.place(key, _text_value(value) if isinstance(value, str) else value, origin)
        except ValueError as error:
            draft.faults.append(
                ((), Fault(COMMAND_LINE, text, str(error), f"a dotted key; {_JSON_EXPECTED}"))
            )


_JSON_EXPECTED = "JSON, since the value begins with `[` or `{`"


def _not_ours(name: str, value: str) -> bool:
    if name in RESERVED or name.startswith(RESERVED_PREFIX) or _SERVICE_LINK.fullmatch(name):
        return True
    return name.endswith("_PORT") and value.startswith(("tcp://", "udp://", "sctp://"))


def _variable_key(name: str, plugins: Collection[str]) -> Key | None:
    """The key that a variable sets; None where it names nothing."""
    parts = name.removeprefix(PREFIX).lower().split("__")
    if not all(parts):
        return None
    if parts[0] in Settings.model_fields:
        return join_names(parts)
    if parts[0] in plugins and len(parts) > 1:
        return ("plugins", parts[0], "settings", *parts[1:])
    return None


def _unknown_variable(name: str, plugins: Collection[str]) -> Fault:
    expected = "a setting (e.g. HOPYARD_LOG__LEVEL) or one of an installed plugin (HOPYARD_NAME__KEY)"
    return Fault(
        "environment", name, "a variable that names no setting", expected, _right_name(name, plugins)
    )


def _right_name(name: str, plugins: Collection[str]) -> str | None:
    """The variable that was meant, as far as it can be guessed."""
    head, separator, rest = name.removeprefix(PREFIX).lower().partition("__")
    sections = [*plugins]
    for field, info in Settings.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            sections.append(field)
    for section in sections:  # one underscore where two belong
        if head.startswith(f"{section}_"):
            return f"{PREFIX}{section}__{head.removeprefix(section)[1:]}{separator}{rest}".upper()
    close = nearest(head, {*Settings.model_fields, *plugins, "config"})
    return f"{PREFIX}{close}{separator}{rest}".upper() if close else None


def _text_value(text: str) -> Any:
    if not text.lstrip().startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("hundreds of levels deep") from None


def _located(path: Path, message: str) -> str:
    line = re.search(r"at line (\d+)", message)
    return f"{path}:{line[1]}" if line else str(path)


def line_numbers(path: Path) -> dict[Key, int]:
    """The line of each key in a settings file, as far as a plain search finds it."""
    try:
        lines = files.read_text(path, files.MAX_SOURCE, "utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):  # only decoration: the fault goes without a line number
        return {}
    found: dict[Key, int] = {}
    table: Key = ()
    for number, line in enumerate(lines, 1):
        header = re.match(r"\s*\[([^\[\]]+)\]\s*(#.*)?$", line)
        assignment = re.match(r"\s*([^=#\[\]{},]+?)\s*=", line)
        try:
            if header:
                table = parse(header[1].strip())
                found.setdefault(table, number)
            elif assignment:
                found.setdefault((*table, *parse(assignment[1])), number)
        except ValueError:  # not a key but a line of some longer text
            continue
    return found
