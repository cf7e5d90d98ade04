"""What a rule of the contract is, and where all of them are kept."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from hopyard.testing.contract._subject import Subject

Needs = Literal["sources", "import", "load", "examples"]


@dataclass(frozen=True, slots=True)
class Violation:
    """Where a plugin breaks a rule. Look at `file` and `line`, which is 0 where there is no one line."""

    message: str
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.line else f"{self.file}: " if self.file else ""
        return place + self.message


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: its name, why it is one, what it needs, and what finds violations."""

    name: str
    reason: str
    needs: Needs
    find: Callable[[Subject], Iterable[Violation]]

    def check(self, subject: Subject) -> list[Violation]:
        """Return all violations, by place."""
        return sorted(self.find(subject), key=lambda one: (one.file, one.line, one.message))


#: All rules by name, in the order in which they are checked.
RULES: dict[str, Rule] = {}

Find = Callable[["Subject"], Iterator[Violation]]


def rule(name: str, reason: str, needs: Needs) -> Callable[[Find], Find]:
    """Make a generator of violations a rule."""

    def keep(find: Find) -> Find:
        RULES[name] = Rule(name, reason, needs, find)
        return find

    return keep


def at(thing: Any, message: str) -> Violation:
    """Return a violation where a function or class is written."""
    thing = inspect.unwrap(thing) if callable(thing) else thing
    try:
        file = inspect.getsourcefile(thing) or ""
        line = inspect.getsourcelines(thing)[1]
    except (OSError, TypeError):
        return Violation(message)
    return Violation(message, shortened(file), line)


def shortened(path: str | Path) -> str:
    """Return a path as one reads it: from the working directory where it lies below."""
    whole = Path(path)
    try:
        return str(whole.relative_to(Path.cwd()))
    except ValueError:
        return str(whole)
