"""What becomes of a job whose attempt failed: another try after a pause, or its end."""

from __future__ import annotations

import json
import logging
import traceback
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from hopyard.engine.processes.pool import RemoteError
from hopyard.engine.processes.process import ProcessDied
from hopyard.errors import JobFailed
from hopyard.ledger import stored
from hopyard.ledger.crashes import MAX_CRASHES
from hopyard.ledger.values import Again, Claim, Done, utcnow
from hopyard.redaction import named_secrets, redact, without
from hopyard.specs import Category, RetryPolicy, State, Verdict
from hopyard.tasks.classify import classify, delay, said

if TYPE_CHECKING:
    from hopyard.loading import Plugins

log = logging.getLogger("hopyard.engine")

_MESSAGE_CHARACTERS: Final = 2000
_TRACEBACK_CHARACTERS: Final = 20_000


class Retry:
    """Decides by the task's retry policy and the category of its error."""

    def __init__(self, plugins: Plugins) -> None:
        self._plugins = plugins

    def after(self, claim: Claim, error: BaseException, seconds: float, worker: int) -> Done | Again:
        """Return what the ledger records of an attempt that failed after so many seconds.

        Never raises, whatever the error: a task's own exception may not even have a text.
        """
        try:
            return self._after(claim, error, seconds, worker)
        except BaseException as broken:
            log.exception("job %s: how it failed cannot be told", claim.id)
            return failed_here(claim, broken)

    def _after(self, claim: Claim, error: BaseException, seconds: float, worker: int) -> Done | Again:
        verdict = self._plugins.classify(claim.task, error) or classify(error)
        wait = self._wait(claim, verdict, isinstance(error, ProcessDied))
        if isinstance(error, ProcessDied) and claim.crashes + 1 >= MAX_CRASHES:
            wait = None
            error = ProcessDied(f"{error}; {MAX_CRASHES} times what ran it died", error.evidence)
        described = describe(error, verdict.category, seconds, claim)
        entry = json.dumps(_entry(claim, described, error, seconds, worker))
        what = (claim.task, claim.id, verdict.category)
        if wait is None:
            log.error("%s %s ended dead (%s): %s: %s", *what, described["kind"], described["message"])
            return Done(claim.id, claim.claim, State.DEAD, None, json.dumps(described), entry)
        log.warning(
            "%s %s failed (%s), again in %.1f s: %s: %s",
            *what,
            wait,
            described["kind"],
            described["message"],
        )
        reason = f"attempt {claim.attempt} failed: {described['kind']}: {described['message']}"[:500]
        crashes = int(isinstance(error, ProcessDied))
        return Again(claim.id, claim.claim, utcnow() + timedelta(seconds=wait), reason, entry, crashes)

    def _wait(self, claim: Claim, verdict: Verdict, died: bool) -> float | None:
        options = self._plugins.running_options(claim.task)
        policy = options.retry if options else RetryPolicy(max_retries=0)
        return delay(policy, verdict, claim.attempt if died else max(1, claim.attempt - claim.crashes))


def describe(
    error: BaseException, category: str, seconds: float | None, claim: Claim | None = None
) -> dict[str, Any]:
    """Return what the ledger keeps of an error: kind, category, message, traceback, seconds.

    Of a claimed job's error without what its arguments call a password, a token and the like.
    """
    secrets = named_secrets(stored.arguments(claim.body)) if claim is not None else ()
    remote = isinstance(error, RemoteError | JobFailed) and error.kind
    trace = getattr(error, "remote_traceback", None) or _trace(error)
    return {
        "kind": remote or type(error).__name__,
        "category": str(category),
        "message": without(said(error), secrets)[:_MESSAGE_CHARACTERS],
        "traceback": without(redact(trace[-2 * _TRACEBACK_CHARACTERS :]), secrets)[-_TRACEBACK_CHARACTERS:],
        "seconds": seconds,
    }


def _trace(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except BaseException as broken:  # noqa: BLE001 - the error's own code may do anything
        return f"(its traceback cannot be had: {type(broken).__name__})"


def _entry(
    claim: Claim, described: dict[str, Any], error: BaseException, seconds: float, worker: int
) -> dict[str, Any]:
    now = utcnow()
    entry = {
        "attempt": claim.attempt,
        "outcome": "failed",
        "worker": worker,
        "began": (now - timedelta(seconds=seconds)).isoformat(),
        "at": now.isoformat(),
    }
    entry |= {key: value for key, value in described.items() if key != "traceback"}
    return entry | ({"evidence": error.evidence} if isinstance(error, ProcessDied) else {})


def failed_here(claim: Claim, error: BaseException) -> Done:
    """Return the end of a job that failed outside its task, which nobody can be asked about."""
    described = {"kind": type(error).__name__, "category": Category.BUG, "message": said(error)}
    return Done(claim.id, claim.claim, State.DEAD, None, json.dumps(described), None)
