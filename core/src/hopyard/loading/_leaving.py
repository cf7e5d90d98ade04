"""Plugins that leave a process after loading, and come back into it.

They leave for their tables (`migrations`), since they do not start (`start`), or because somebody has
disabled them (`switch`). Of the last, jobs that run go on to their end: what those need stays to be had.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

from hopyard.errors import TransientError
from hopyard.loading._callers import Caller
from hopyard.loading._decisions import Decisions
from hopyard.loading._hooks import Hooks
from hopyard.loading._loaded import Loaded, Withdrawn, requires_failed, roll_back, set_failed
from hopyard.loading._records import SWITCH, Failure, PluginState
from hopyard.plugin import Plugin
from hopyard.specs import Message, Notifier, TaskOptions

logger = logging.getLogger("hopyard.loading")

_HINT = "`hopyard plugins enable {}` takes it back"


class Moved(NamedTuple):
    """Which plugins have left a process, and which are back."""

    out: list[str]
    back: list[str]


class Leaving(Decisions):
    """Withdrawing plugins, and taking them back with what left with them."""

    _hooks: Hooks
    _loaded: Loaded
    #: All plugins that were enabled at first, in the order of loading.
    _order: list[str]

    def __init__(self) -> None:
        #: By the plugin that was withdrawn after loading: itself, and those that left with it.
        self._withdrawn: dict[str, dict[str, Withdrawn]] = {}
        #: Tasks of disabled plugins, with their options: jobs of them may run yet.
        self._resting: dict[str, tuple[Any, TaskOptions]] = {}
        #: Plugins whose `start_process` was called, with what is to be called at the end.
        self._begun: dict[str, Caller | None] = {}

    @property
    @abstractmethod
    def tasks(self) -> dict[str, Any]:
        """Task declarations by name."""

    @property
    @abstractmethod
    def options(self) -> dict[str, TaskOptions]:
        """The tasks' effective options by task name."""

    @abstractmethod
    def get(self, name: str) -> Plugin[Any]:
        """An enabled plugin."""

    @abstractmethod
    def check(self) -> None:
        """Raise what the settings want refused."""

    @abstractmethod
    def _tell_failed(self) -> None: ...

    @abstractmethod
    def _settle(self, cause: Failure | None = None) -> None: ...

    def withdraw(self, name: str, reason: str, *, hint: str = "", stage: str = "start") -> None:
        """End an enabled plugin for something in its surroundings, e.g. a missing migration: misconfigured.

        Raises PluginError where the settings want a refusal instead.
        """
        self.get(name)
        self._withdraw(name, Failure(stage, reason, hint, state=PluginState.MISCONFIGURED))

    def awaiting(self, stage: str) -> dict[str, Any]:
        """Plugins that were withdrawn at `stage`, with what they give as their migrations' package."""
        return {
            name: left[name].instance.migrations
            for name, left in self._withdrawn.items()
            if self._loaded.records[name].stage == stage
        }

    def switch(self, off: Mapping[str, str]) -> Moved:
        """Do without the plugins in `off` (name to reason) and those that require them; take others back.

        None of them has failed: what is disabled is nothing to mend. Names that are not enabled here are let
        pass. Never raises.
        """
        before = [*self._loaded.instances]
        self.readmit([name for name in self.awaiting(SWITCH) if name not in off])
        for name, reason in off.items():
            if name in self.awaiting("migrations"):  # no fault of its tables any more: nobody wants it
                self.readmit([name])
            if name in self._loaded.instances:
                self._withdraw(name, Failure(SWITCH, reason, _HINT.format(name), state=PluginState.DISABLED))
        now = self._loaded.instances
        return Moved(
            [name for name in before if name not in now], [name for name in now if name not in before]
        )

    def requiring(self, name: str) -> list[str]:
        """Return the enabled plugins that require one, or require such a one, by name."""
        found = {name}
        for other in self._order:  # each comes after those that it requires
            if other in self._loaded.instances and found & {*self._loaded.instances[other].requires}:
                found.add(other)
        return sorted(found - {name})

    def left_with(self, name: str) -> list[str]:
        """Return the other plugins that left with a withdrawn one, since they need it, by name."""
        return sorted(self._withdrawn.get(name, {}).keys() - {name})

    def running_task(self, name: str) -> Any:
        """The declaration of a task that may run here, also of a disabled plugin; None if unknown."""
        return self.tasks.get(name) or self._resting.get(name, (None,))[0]

    def running_options(self, name: str) -> TaskOptions | None:
        """As `running_task`, its effective options."""
        return self.options.get(name) or (self._resting[name][1] if name in self._resting else None)

    def resting(self, task: str) -> bool:
        """Say whether a task, schedule or queue (`plugin.name`) is of a plugin that somebody has disabled."""
        record = self._loaded.records.get(task.partition(".")[0])
        return record is not None and record.resting

    def readmit(self, names: Iterable[str]) -> list[str]:
        """Take withdrawn plugins back, and what left with them; return the names of those that are back."""
        left = {name: one for root in names for name, one in self._withdrawn.pop(root).items()}
        loaded, back = self._loaded, list[str]()
        for name in [name for name in self._order if name in left]:
            one = left[name]
            out = next((other for other in one.instance.requires if other not in loaded.instances), None)
            if out is None:
                self._hooks.register(name, one.instance)
                loaded.instances[name], loaded.contributions[name] = one.instance, one.contributions
                loaded.records[name] = one.record
                back.append(name)
            else:  # for nothing of its own any more
                why = loaded.records[out]
                reason = Failure(why.stage, why.reason, why.hint, state=why.state)
                set_failed(loaded, name, requires_failed(out, reason))
            for others in self._withdrawn.values():  # it comes back with the other plugin that it requires
                if out in others:
                    others[name] = one
        if back:
            loaded.instances = {
                name: loaded.instances[name] for name in self._order if name in loaded.instances
            }
            loaded.contributions = {name: loaded.contributions[name] for name in loaded.instances}
            self._settle()
            self._resting = {name: one for name, one in self._resting.items() if name not in self.tasks}
            logger.info("plugins are taken back: %s", ", ".join(back))
        return back

    def _withdraw(self, name: str, failure: Failure) -> None:
        """End a plugin after loading; raises where the settings want a refusal."""
        loaded, tasks, options = self._loaded, self.tasks, self.options
        before = {
            one: Withdrawn(instance, loaded.contributions[one], loaded.records[one])
            for one, instance in loaded.instances.items()
        }
        roll_back(loaded, self._hooks, name, failure)
        self._settle(failure)
        left = {one: was for one, was in before.items() if one not in loaded.instances}
        self._withdrawn[name] = left
        if failure.stage == SWITCH:
            gone = tasks.keys() - self.tasks.keys()
            self._resting |= {task: (tasks[task], options[task]) for task in gone}
            logger.info("plugins are out: %s (%s: %s)", ", ".join(left), name, failure.reason)
            return
        self._tell_failed()
        self.check()

    def _resting_notifiers(self) -> dict[str, Notifier]:
        """Return stand-ins for the notifiers of disabled plugins: what is to be delivered is tried again."""
        return {
            kind: Notifier(
                kind, partial(_deliver_later, f"plugin {name} is {self._loaded.records[name].reason}")
            )
            for left in self._withdrawn.values()
            for name, one in left.items()
            if self._loaded.records[name].resting
            for kind in one.contributions.notifiers
        }

    def _resting_instance(self, cls: type[Plugin[Any]]) -> Plugin[Any] | None:
        """Return the instance of a plugin that was disabled here, for its jobs that run yet."""
        return next(
            (
                one.instance
                for left in self._withdrawn.values()
                for name, one in left.items()
                if isinstance(one.instance, cls) and self._loaded.records[name].resting
            ),
            None,
        )


async def _deliver_later(reason: str, address: str, message: Message) -> None:
    raise TransientError(reason)
