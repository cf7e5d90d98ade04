"""Which category an error belongs to, and when to try again."""

from __future__ import annotations

import errno
import random
import socket
from typing import Final

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
from hopyard.specs import Category, RetryPolicy, Verdict

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
            return Verdict(category, getattr(error, "retry_after", None))
    remote = getattr(error, "category", None)
    if isinstance(error, HopyardError) and remote is not None:  # of another job, or of a child process
        return Verdict(Category(remote), getattr(error, "retry_after", None))
    if isinstance(error, OSError):
        if error.errno in _SHORT_OF:
            return Verdict(Category.RESOURCE)
        if error.errno in _UNREACHABLE:
            return Verdict(Category.TRANSIENT)
    return Verdict(Category.BUG)


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
