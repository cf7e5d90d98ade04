"""Which category an error belongs to, and when to try again."""

from __future__ import annotations

import errno
import logging
import random
import socket
from typing import Any, Final

from hopyard.checks import shown
from hopyard.errors import (
    AuthenticationError,
    BrokerError,
    EgressRefused,
    HopyardError,
    InvalidInput,
    LedgerUnavailable,
    PayloadError,
    RateLimited,
    ResourceError,
    TimeLimitExceeded,
    TransientError,
    UnknownTask,
)
from hopyard.redaction import redact
from hopyard.retry import MAX_RETRY_AFTER, Category, RetryPolicy, Verdict, seconds_to_wait

log = logging.getLogger("hopyard.retry")

_KINDS: Final[tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Category], ...]] = (
    (RateLimited, Category.RATE_LIMITED),
    ((TimeLimitExceeded, TimeoutError), Category.TIMEOUT),
    ((InvalidInput, PayloadError, UnknownTask, EgressRefused), Category.INVALID_INPUT),
    (AuthenticationError, Category.AUTHENTICATION),
    ((ResourceError, MemoryError), Category.RESOURCE),
    (
        (
            TransientError,
            LedgerUnavailable,
            BrokerError,
            ConnectionError,
            InterruptedError,
            BlockingIOError,
            socket.gaierror,
        ),
        Category.TRANSIENT,
    ),
)
_UNREACHABLE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})
_SHORT_OF: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT})


def classify(error: BaseException) -> Verdict:
    """Return the core's own opinion, for errors that no plugin has one of."""
    for kind, category in _KINDS:
        if isinstance(error, kind):
            return Verdict(category, _retry_after(error))
    remote = getattr(error, "category", None)
    if isinstance(error, HopyardError) and remote is not None:  # of another job, or of a child process
        return Verdict(_category(remote), _retry_after(error))
    if isinstance(error, OSError):
        if error.errno in _SHORT_OF:
            return Verdict(Category.RESOURCE)
        if error.errno in _UNREACHABLE:
            return Verdict(Category.TRANSIENT)
    return Verdict(Category.BUG)


def _category(value: Any) -> Category:
    """Return another job's category; what is none is a bug."""
    try:
        return Category(value)
    except ValueError:
        return Category.BUG


def _retry_after(error: BaseException) -> float | None:
    """Return the seconds to wait that an error asks for, at most a day, and say so where it asks for more."""
    asked = getattr(error, "retry_after", None)
    seconds = seconds_to_wait(asked)
    if seconds == MAX_RETRY_AFTER:
        log.warning(
            "the other side asks to wait for %s: it is asked again after %g s", shown(asked), MAX_RETRY_AFTER
        )
    elif seconds is None and asked is not None:
        log.warning("the other side asks to wait for %s, which is no time", shown(asked))
    return seconds


def said(error: BaseException) -> str:
    """Return what an error says, without secrets and as any database can store it."""
    try:
        text = str(error)
    except BaseException as broken:  # noqa: BLE001 - the error's own code may do anything
        text = f"(its text cannot be had: {type(broken).__name__})"
    return redact(text).replace("\0", "\ufffd").encode(errors="replace").decode()


def delay(policy: RetryPolicy, verdict: Verdict, failures: int) -> float | None:
    """Return the seconds until the next try after the `failures`-th failure; None for no more tries."""
    if verdict.category not in policy.on or failures > policy.max_retries:
        return None
    try:
        wait = min(policy.backoff * policy.factor ** (failures - 1), policy.max_backoff)
    except OverflowError:  # after a thousand doublings
        wait = policy.max_backoff
    wait *= 1 + random.uniform(-policy.jitter, policy.jitter)  # noqa: S311 - spreads load, keeps no secret
    return max(wait, verdict.retry_after or 0.0)
