"""What kind of failure an error is, and when its job is tried again."""

from __future__ import annotations

import errno
import random
import socket
from typing import Any

import pytest
from hopyard.engine.processes.pool import RemoteError
from hopyard.errors import (
    AuthenticationError,
    BrokerError,
    EgressRefused,
    HopyardError,
    InvalidInput,
    JobFailed,
    LedgerUnavailable,
    PayloadError,
    RateLimited,
    ResourceError,
    TimeLimitExceeded,
    TransientError,
    UnknownTask,
)
from hopyard.specs import RETRYABLE, Category, RetryPolicy, Verdict
from hopyard.tasks.classify import classify, delay

POLICY = RetryPolicy(max_retries=3, backoff=60, factor=2, max_backoff=200, jitter=0)
TRANSIENT = Verdict(Category.TRANSIENT)


class Oops(HopyardError):
    """An error of somebody's that is of no kind."""


@pytest.mark.parametrize(
    ("error", "category"),
    [
        (TransientError("blip"), "transient"),
        (LedgerUnavailable("away"), "transient"),
        (BrokerError("away"), "transient"),
        (ConnectionResetError(), "transient"),
        (BrokenPipeError(), "transient"),
        (socket.gaierror(socket.EAI_AGAIN, "name"), "transient"),
        (OSError(errno.EHOSTUNREACH, "no route"), "transient"),
        (RateLimited("slower"), "rate_limited"),
        (TimeLimitExceeded("long"), "timeout"),
        (TimeoutError(), "timeout"),
        (OSError(errno.ETIMEDOUT, "timed out"), "timeout"),
        (InvalidInput("no"), "invalid_input"),
        (PayloadError("no"), "invalid_input"),
        (UnknownTask("no"), "invalid_input"),
        (EgressRefused("no"), "invalid_input"),
        (AuthenticationError("who"), "authentication"),
        (ResourceError("full"), "resource"),
        (MemoryError(), "resource"),
        (OSError(errno.ENOSPC, "disk"), "resource"),
        (OSError(errno.EMFILE, "files"), "resource"),
        (OSError(errno.EACCES, "not yours"), "bug"),
        (FileNotFoundError(), "bug"),
        (ValueError("bug"), "bug"),
        (Oops("bug"), "bug"),
    ],
)
def test_each_error_has_a_category(error: BaseException, category: str) -> None:
    assert classify(error).category == category


def test_the_category_of_another_job_or_a_child_is_kept() -> None:
    assert classify(JobFailed("dead", kind="X", category="authentication")).category == "authentication"
    described = {"kind": "X", "category": "rate_limited", "retry_after": 7.0, "message": "", "traceback": ""}
    assert classify(RemoteError(described)) == Verdict(Category.RATE_LIMITED, 7.0)


def test_a_category_on_somebody_elses_error_means_nothing() -> None:
    error = ValueError()
    error.category = "transient"  # type: ignore[attr-defined]
    assert classify(error).category is Category.BUG


def test_the_server_says_how_long_to_wait() -> None:
    assert classify(RateLimited("slower", retry_after=30)) == Verdict(Category.RATE_LIMITED, 30)
    assert classify(RateLimited("slower")).retry_after is None


# --- delay


def test_pauses_grow_up_to_the_longest() -> None:
    assert [delay(POLICY, TRANSIENT, n) for n in (1, 2, 3)] == [60, 120, 200]


def test_no_more_tries_than_the_policy_has() -> None:
    assert delay(POLICY, TRANSIENT, 4) is None
    assert delay(RetryPolicy(max_retries=0), TRANSIENT, 1) is None


@pytest.mark.parametrize("category", Category)
def test_only_the_policys_categories_are_tried_again(category: Category) -> None:
    assert (delay(POLICY, Verdict(category), 1) is not None) is (category in RETRYABLE)
    assert delay(RetryPolicy(on=frozenset({category})), Verdict(category), 1) is not None


def test_retry_after_is_a_lower_bound() -> None:
    limited = Category.RATE_LIMITED
    assert delay(POLICY, Verdict(limited, 90), 1) == 90
    assert delay(POLICY, Verdict(limited, 30), 1) == 60
    assert delay(POLICY, Verdict(limited, 5000), 1) == 5000, "also over the longest pause"
    spread = RetryPolicy(backoff=10, jitter=0.5)
    assert all((delay(spread, Verdict(limited, 9), 1) or 0) >= 9 for _ in range(100))


def test_jitter_spreads_within_its_bounds() -> None:
    random.seed(7)
    policy = RetryPolicy(backoff=100, jitter=0.1)
    waits = [delay(policy, TRANSIENT, 1) or 0 for _ in range(200)]
    assert all(90 <= wait <= 110 for wait in waits)
    assert min(waits) < 95
    assert max(waits) > 105


def test_a_patient_policy_waits_its_longest_pause_forever() -> None:
    """Also where the doubled pause is no longer a number."""
    policy = RetryPolicy(max_retries=1000, max_backoff=3600, factor=99, jitter=0)
    assert delay(policy, TRANSIENT, 999) == 3600


@pytest.mark.parametrize("asked", [1e12, "9" * 400, "soon", "120", object(), float("nan")])
def test_what_another_side_asks_for_never_hides_the_error(
    asked: Any, caplog: pytest.LogCaptureFixture
) -> None:
    verdict = classify(RateLimited("slower", retry_after=asked))
    assert verdict.category is Category.RATE_LIMITED
    wait = delay(RetryPolicy(jitter=0), verdict, 1)
    assert wait is not None
    assert 60 <= wait <= 86400
    if asked != "120":
        assert "asks to wait" in caplog.text
