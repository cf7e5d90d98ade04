"""Every error that Hopyard raises on purpose, as one tree.

HopyardError
├── ConfigError              a fault in settings: carries every fault found, not the first
├── PluginError              a plugin broke its contract: carries stage and hint
│   ├── UnknownPlugin        no plugin of this name is installed or named by the settings
│   └── SwitchRefused        a plugin that cannot be disabled or enabled at run time
├── PayloadError             arguments or a result that do not fit the task's types, or are too large
├── SpecError                a value handed in by a plugin, a caller or the settings is wrong
│   └── ScheduleError        a rule that is no rule: bad cron, bad zone, time in the past
├── NotAdmitted              a plugin refused the call of a task
├── UnknownTask              no enabled plugin declares this task
├── UnknownJob               no such job in the ledger
├── BrokerError              the broker cannot be reached or started
├── LedgerError              the database refused
│   ├── LedgerUnavailable    the database cannot be reached now; trying again makes sense
│   ├── MigrationMissing     the database is older than the code
│   ├── MigrationError       the database is newer than the code, or migrations are broken
│   └── StaleFence           the job was taken away from this worker: its writes are refused
├── EgressRefused            an outgoing address that is not allowed
├── NotifyError              a channel that cannot be used
├── ProviderError            a login provider that cannot be reached, or whose answer is not to be believed
├── LoginRefused             somebody whom the login provider knows, and who may not come in
├── EffectUnknown            an outside action may or may not have happened, and nobody can say
├── JobError                 what waiting for a job can end with
│   ├── JobFailed            the job ended dead
│   ├── JobCancelled         the job was cancelled
│   └── ResultTimeout        the job is still going on
└── TaskError                raised *by tasks* to say what kind of failure it is (see `Category`)
    ├── TransientError       try again: a network blip, a busy server
    │   └── LeaseLost        another job has taken over what this one works on: its writes are refused
    ├── RateLimited          try again, not before `retry_after`
    ├── TimeLimitExceeded    the job ran longer than its limit
    ├── InvalidInput         will never work with these arguments
    │   └── NotFound         what they name is not there, or not for whoever asks
    ├── AuthenticationError  will not work before somebody mends a credential
    └── ResourceError        out of memory, disk, sockets
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class HopyardError(Exception):
    """Base of all errors that Hopyard raises on purpose."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in the settings."""

    source: str
    """Where it was found: a file's path, `environment` or `command line`."""
    key: str
    """Dotted path of the key, e.g. `plugins.ai.settings.model`."""
    found: str
    """What stands there; secrets are masked."""
    expected: str
    """What would be right."""
    nearest: str | None = None
    """The nearest right name, where a name is wrong."""
    plugin: str | None = None
    """The plugin whose part it is in; None for the core's part."""

    def __post_init__(self) -> None:
        for name in ("source", "key", "found", "expected"):  # bytes that are not UTF-8 cannot be printed
            printable = getattr(self, name).encode(errors="backslashreplace").decode()
            object.__setattr__(self, name, printable)

    def __str__(self) -> str:
        hint = f"; did you mean `{self.nearest}`?" if self.nearest else ""
        return f"{self.source}: {self.key}: found {self.found}, expected {self.expected}{hint}"


class ConfigError(HopyardError):
    """Settings that cannot be used. `faults` has all of them."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class PluginError(HopyardError):
    """A plugin broke its contract.

    `stage` is the loading step that ended it, `hint` says what to do about it.
    """

    def __init__(self, message: str, *, stage: str = "load", hint: str = "") -> None:
        self.stage = stage
        self.hint = hint
        super().__init__(message)


class UnknownPlugin(PluginError):
    """No plugin of this name is installed, and the settings name none."""


class SwitchRefused(PluginError):
    """A plugin that cannot be disabled or enabled at run time: the core's, or one out by the settings."""


class PayloadError(HopyardError):
    """Arguments or a result that do not fit the task's types, or are larger than a job may carry."""


class SpecError(HopyardError):
    """A value that a plugin, a caller or the settings hand in is wrong: a queue, a rule, an option of a call.

    The message names the value, what was found and what was expected. `expected` and `nearest` (the nearest
    right name) are the parts of it that the settings show beside the key.
    """

    def __init__(self, message: str, *, expected: str = "", nearest: str | None = None) -> None:
        self.expected = expected or message
        self.nearest = nearest
        super().__init__(message)


class NotAdmitted(HopyardError):
    """A plugin's `admit_task` refused the call; the message has the task and the reason."""


class UnknownTask(HopyardError):
    """No enabled plugin declares this task."""


class UnknownJob(HopyardError):
    """No such job in the ledger."""


class ScheduleError(SpecError):
    """A schedule's rule is no rule."""


class BrokerError(HopyardError):
    """The broker cannot be reached or started."""


class LedgerError(HopyardError):
    """The ledger's database refused."""


class LedgerUnavailable(LedgerError):
    """The database cannot be reached now; trying again makes sense."""


class MigrationMissing(LedgerError):
    """The database is older than the code; `hopyard db upgrade` brings it up."""


class MigrationError(LedgerError):
    """Migrations that cannot be used: broken, branched, or older than the database."""


class StaleFence(LedgerError):
    """The job was taken away from this worker (lease lost, cancelled): its writes are refused."""


class EgressRefused(HopyardError):
    """An outgoing address that tasks may not reach."""


class NotifyError(HopyardError):
    """A notification channel that cannot be used."""


class ProviderError(HopyardError):
    """A provider of logins that cannot be reached, or whose answer is not to be believed.

    The message is for the operator's log: whoever wants to log in is told only that it failed.
    """


class LoginRefused(HopyardError):
    """Somebody is who they say, as their provider vouches, and may not come in: the message says why."""


class EffectUnknown(HopyardError):
    """An outside action was begun by an attempt that died; whether it happened nobody can say."""


class JobError(HopyardError):
    """Waiting for a job's result ended without one."""


class JobFailed(JobError):
    """The job ended dead. `kind` is the error's class name as text, `category` its category."""

    def __init__(self, message: str, *, kind: str = "", category: str = "bug") -> None:
        self.kind = kind
        self.category = category
        super().__init__(message)


class JobCancelled(JobError):
    """The job was cancelled."""


class ResultTimeout(JobError):
    """The job did not end within the time that the caller gave it; it goes on."""


class TaskError(HopyardError):
    """Base of the errors by which a task says what kind of failure it met."""


class TransientError(TaskError):
    """A failure that passes by itself: a network blip, a busy server."""


class LeaseLost(TransientError):
    """Another job has taken over what this one works on: what it still writes is refused."""


class RateLimited(TaskError):
    """Too many calls. `retry_after` is in seconds, None if the other side did not say."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class TimeLimitExceeded(TaskError):
    """The job ran longer than its time limit."""


class InvalidInput(TaskError):
    """These arguments will never work."""


class NotFound(InvalidInput):
    """What an id or a name stands for is not there, or not for whoever asks. Over HTTP it is a 404."""


class AuthenticationError(TaskError):
    """A credential is missing or refused."""


class ResourceError(TaskError):
    """Out of memory, disk, sockets or the like."""
