"""What goes wrong in a command, in a line or a few on standard error.

Status 1: it failed. 2: what was typed or set cannot be used. 70: a bug in Hopyard or in a plugin.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from typing import Final

import click

from hopyard.cli._streams import say
from hopyard.errors import (
    ConfigError,
    Fault,
    HopyardError,
    InvalidInput,
    PayloadError,
    PluginError,
    ScheduleError,
    UnknownJob,
    UnknownTask,
)

FAILED: Final = 1
UNUSABLE: Final = 2
BUG: Final = 70
_LONGEST: Final = 1_000  # characters of a line: what was typed may be of any length

#: What was typed or set cannot be used, whatever is tried.
_TYPED: Final = (ConfigError, InvalidInput, PayloadError, ScheduleError, UnknownJob, UnknownTask)

_log = logging.getLogger("hopyard.cli")


def check_words(words: Iterable[str]) -> None:
    """Raise UsageError for words that are no text: other bytes than UTF-8, or a NUL."""
    for word in words:
        if "\0" in word or any("\ud800" <= letter <= "\udfff" for letter in word):
            found = os.fsencode(word) if _from_bytes(word) else word.encode(errors="backslashreplace")
            raise click.UsageError(f"{cut(str(found)[1:])} is no text in UTF-8 without NUL")


def tell(error: Exception) -> int:
    """Tell an error on standard error; return the status to end with."""
    if isinstance(error, click.Abort):
        say("Aborted", err=True)
        return FAILED
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return error.exit_code
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        hint = f"\n`{context.command_path} --help` shows what is expected." if context else ""
        say(f"Error: {cut(error.format_message())}{hint}", err=True)
        return error.exit_code
    if isinstance(error, HopyardError):
        say("\n".join(map(cut, message(error).splitlines())), err=True)
        return UNUSABLE if isinstance(error, _TYPED) else FAILED
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        say(f"Error: {cut(f'{where}{error.strerror or error}')}", err=True)
        return FAILED
    return _tell_bug(error)


def _tell_bug(error: Exception) -> int:
    text = " ".join(str(error).split())
    if logging.getLogger().handlers:  # a worker or a scheduler, whose log is read afterwards
        _log.critical("ended by an error that nobody expected", exc_info=error)
    else:
        say(cut(f"Error: a bug, {type(error).__name__}: {text}"), err=True)
        say("HOPYARD_INTERNAL_DEBUG=1 in the environment shows the traceback.", err=True)
    return BUG


def message(error: HopyardError) -> str:
    """An error as a person reads it."""
    if isinstance(error, ConfigError):
        return fault_list(error.faults)
    hint = error.hint if isinstance(error, PluginError) else ""
    return f"Error: {error}" + (f"\n{hint}" if hint else "")


def fault_list(faults: Sequence[Fault]) -> str:
    """All faults in one message."""
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    return "\n".join([f"{count} in the settings:", *(_fault(fault) for fault in faults)])


def _fault(fault: Fault) -> str:
    head = f"\n  {fault.key}  ({fault.source})" if fault.key else f"\n  {fault.source}"
    lines = [head, f"      found     {fault.found}", f"      expected  {fault.expected}"]
    if fault.nearest:
        lines.append(f"      did you mean `{fault.nearest}`?")
    return "\n".join(lines)


def cut(line: str) -> str:
    """Return a line that is not overlong."""
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}… ({len(line):,} characters)"


def _from_bytes(word: str) -> bool:
    """Whether a word is what Python makes of bytes on the command line."""
    try:
        os.fsencode(word)
    except UnicodeEncodeError:
        return False
    return True
