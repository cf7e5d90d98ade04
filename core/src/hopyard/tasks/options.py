"""Checks of a task's options and of those of a single call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hopyard import checks, current
from hopyard.errors import SpecError
from hopyard.ledger.values import utcnow
from hopyard.rules import moment_of, zone_of
from hopyard.specs import RetryPolicy, TaskOptions

#: The longest id that a caller may give a job, in characters.
MAX_ID: Final = 500
#: Of a task's endpoint, below `/api/background`.
_PATH: Final = re.compile("[a-z0-9]+(?:[-_][a-z0-9]+)*(?:/[a-z0-9]+(?:[-_][a-z0-9]+)*){1,5}").fullmatch
_LONGEST: Final = 100 * checks.YEAR
_USUAL: Final = TaskOptions("default")


def check_options(
    what: str,
    queue: str | None,
    retry: RetryPolicy | None,
    time_limit: float | None,
    priority: int | None,
    resources: Mapping[str, int] | None = None,
) -> None:
    """Raise `SpecError` unless those that are given may be the options of a task (`specs.TaskOptions`)."""
    given: dict[str, Any] = {"queue": queue, "retry": retry, "time_limit": time_limit, "priority": priority}
    given["resources"] = resources
    try:
        replace(_USUAL, **{name: value for name, value in given.items() if value is not None})
    except SpecError as error:
        raise SpecError(f"{what}: {error}", expected=error.expected, nearest=error.nearest) from None


def check_path(what: str, path: Any) -> None:
    """Raise `SpecError` for what is no path of an endpoint below `/api/background`; None is its name's."""
    if path is not None and not (isinstance(path, str) and _PATH(path)):
        checks.refuse(f"{what}: path", path, "a path such as `files/extract-pdf-text`, without a / around it")


def check_queue(what: str, queue: str) -> None:
    """Raise `SpecError`, with the nearest name, for a queue that nobody declares: no worker serves it."""
    queues = current.get().plugins.queues
    if queue not in queues:
        near = checks.nearest(queue, queues)
        checks.refuse(what, queue, f"a queue that a plugin declares: {', '.join(sorted(queues))[:300]}", near)


def later(what: str, delay: float | timedelta) -> datetime:
    """Return the moment after a delay; one that has passed is now."""
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
    checks.number(what, seconds, -_LONGEST, _LONGEST, " seconds, or a timedelta")
    return utcnow() + timedelta(seconds=max(0.0, seconds))


def moment_with_zone(what: str, eta: Any) -> datetime:
    """Return an eta with a zone: without one of its own it is a wall time of the configured zone."""
    if not isinstance(eta, datetime):
        checks.refuse(what, eta, "a datetime (seconds from now: `delay`)")
    if not 1900 <= eta.year <= utcnow().year + 100:
        checks.refuse(what, eta, "a moment within the next hundred years")
    try:
        aware = None if eta.utcoffset() is None else eta.astimezone(UTC)
    except (Exception, SystemExit) as error:  # a zone is code: it may raise anything
        raise SpecError(f"{what}: its zone raised {type(error).__name__}, expected one that works") from error
    if aware is None:
        return moment_of(eta.replace(tzinfo=None), zone_of(current.get().settings.time_zone))
    return aware
