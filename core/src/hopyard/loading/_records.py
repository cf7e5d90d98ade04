"""What is known about each plugin after loading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol, runtime_checkable

from hopyard.checks import printable
from hopyard.errors import Fault
from hopyard.specs import RetryPolicy, Tool


class PluginState(StrEnum):
    """Where a plugin stands. Only an enabled plugin contributes anything."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    """The settings do not want it, or somebody has disabled it while processes run (stage `switch`)."""
    MISSING = "missing"
    """The settings name it, but it is not installed."""
    INCOMPATIBLE = "incompatible"
    """Its distribution's requirements are not met; it was not imported."""
    MISCONFIGURED = "misconfigured"
    """Its settings are wrong."""
    QUARANTINED = "quarantined"
    """It broke its contract."""


#: The stage of a plugin's record that somebody has disabled at run time, and of those that left with it.
SWITCH: Final = "switch"

FAILED = frozenset(
    {PluginState.MISSING, PluginState.INCOMPATIBLE, PluginState.MISCONFIGURED, PluginState.QUARANTINED}
)


@dataclass(frozen=True, slots=True)
class PluginRecord:
    """One plugin: its state, and where it failed, why, and what to do about it."""

    name: str
    state: PluginState
    version: str = ""
    distribution: str = ""
    summary: str = ""
    reason: str = ""
    hint: str = ""
    stage: str = ""
    """The loading step that ended it; empty if enabled."""
    required: bool = False
    faults: tuple[Fault, ...] = ()
    traceback: str = ""
    left_out: tuple[str, ...] = ()
    """What it contributes in vain, since another plugin was first, with the reason."""
    hook_failures: int = 0
    """How often its decide, wrap and notify hooks failed in this process."""
    switched_off: Mapping[str, str] = field(default_factory=dict)
    """Its hooks that are called no more in this process, with the reason."""
    dropped_events: int = 0
    """Events that its notify hooks were not told, since its queue was full."""

    @property
    def warnings(self) -> list[str]:
        """What is wrong with a plugin that is enabled all the same."""
        return [*self.left_out, *dict.fromkeys(f"{why}; switched off" for why in self.switched_off.values())]

    @property
    def failed(self) -> bool:
        """True where somebody has to mend something."""
        return self.state in FAILED

    @property
    def resting(self) -> bool:
        """True where somebody has disabled it at run time, or a plugin that it needs: nothing to mend."""
        return self.state is PluginState.DISABLED and self.stage == SWITCH


@runtime_checkable
class DeclaredTask(Protocol):
    """What the loader looks at in a task declaration; `hopyard.tasks.Task` is one."""

    @property
    def name(self) -> str: ...
    @property
    def queue(self) -> str | None: ...
    @property
    def retry(self) -> RetryPolicy | None: ...
    @property
    def time_limit(self) -> float | None: ...
    @property
    def priority(self) -> int | None: ...
    @property
    def tool(self) -> Tool | None: ...
    @property
    def resources(self) -> Mapping[str, int] | None: ...

    def resolve(self) -> None:
        """Work out all types and schemas now. Raises `PluginError`."""

    def check_arguments(self, kwargs: Mapping[str, Any]) -> None:
        """Raise `PayloadError` unless JSON-like arguments fit the task's types."""


class Failure(Exception):
    """Ends the loading of one plugin."""

    def __init__(
        self,
        stage: str,
        reason: str,
        hint: str,
        *,
        state: PluginState = PluginState.QUARANTINED,
        faults: tuple[Fault, ...] = (),
        traceback: str = "",
    ) -> None:
        # They go to logs, terminals and JSON, and may quote anything that a plugin says.
        self.reason, self.hint, self.traceback = printable(reason), printable(hint), printable(traceback)
        super().__init__(self.reason)
        self.stage = printable(stage)
        self.state = state
        self.faults = faults
