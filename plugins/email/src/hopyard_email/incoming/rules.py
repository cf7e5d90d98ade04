"""Rules of the settings: which labels a mail gets, and what is done with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from hopyard_email.addresses import fits

if TYPE_CHECKING:
    from hopyard_email.incoming.parsing import Parsed
    from hopyard_email.incoming.reports import Kind
    from hopyard_email.settings import IncomingRule


class Decision(NamedTuple):
    """Labels, and what is done: a flag, and the folder that it is moved to."""

    labels: list[str]
    flag: str | None
    move: str | None


def decide(parsed: Parsed, kind: Kind, rules: Sequence[IncomingRule]) -> Decision:
    """Return what the rules say; the first one that flags or moves has its way."""
    labels: list[str] = []
    flag = move = None
    for rule in rules:
        if not _fits(parsed, kind, rule):
            continue
        if rule.label not in labels:
            labels.append(rule.label)
        flag, move = flag or rule.flag, move or rule.move
        if rule.stop:
            break
    return Decision(labels, flag, move)


def _fits(parsed: Parsed, kind: Kind, rule: IncomingRule) -> bool:
    tests = (
        rule.kind is None or rule.kind == kind,
        rule.sender is None or fits(rule.sender, parsed.sender),
        rule.to is None or any(fits(rule.to, one) for one in parsed.addresses("To", "Cc")),
        rule.subject is None or fits(rule.subject, parsed.value("Subject")),
        rule.text is None or rule.text.lower() in parsed.text.lower(),
        all(fits(pattern, parsed.value(name)) for name, pattern in rule.headers.items()),
    )
    return all(tests)
