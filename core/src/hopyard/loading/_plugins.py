"""The loaded plugins of one process, and everything that they contribute."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from hopyard.checks import nearest, printable
from hopyard.errors import ConfigError, Fault, PluginError, UnknownPlugin
from hopyard.events import PluginEvent
from hopyard.hookspecs import Role
from hopyard.loading._callers import Callers
from hopyard.loading._contributions import check_references
from hopyard.loading._hooks import Hooks
from hopyard.loading._importing import announced, error_text, pass_interrupt
from hopyard.loading._leaving import Leaving
from hopyard.loading._loaded import Loaded, leave_out, refusal, roll_back
from hopyard.loading._overrides import Effective, apply
from hopyard.loading._records import SWITCH, Failure, PluginRecord, PluginState
from hopyard.loading._telling import EventTeller
from hopyard.panels import Panel
from hopyard.plugin import Plugin
from hopyard.settings import Settings
from hopyard.specs import (
    DeclaredSchedule,
    HealthCheck,
    Notifier,
    Queue,
    TaskOptions,
)

if TYPE_CHECKING:
    import click

logger = logging.getLogger("hopyard.loading")

R = TypeVar("R")


class Plugins(Leaving):
    """The plugins of this process. Made by `load_plugins`.

    A plugin that fails later, in `start_process`, is withdrawn then: its record says why, and all that it
    contributed is gone.
    """

    def __init__(self, settings: Settings, role: Role, hooks: Hooks, loaded: Loaded) -> None:
        super().__init__()
        self.settings = settings
        self.role = role
        self._hooks = hooks
        self._loaded = loaded
        self._effective: Effective
        #: Who implements the hooks that are called again and again.
        self.callers = Callers(hooks, self._note_failures)
        #: Tells plugins what happened.
        self.teller = EventTeller(self.callers, self._note_dropped)
        self._started = False
        self._told_failed: set[str] = set()
        self._settle()
        self._order = list(loaded.instances)

    @property
    def records(self) -> list[PluginRecord]:
        """All plugins that are installed or named in the settings, sorted by name."""
        return [self._loaded.records[name] for name in sorted(self._loaded.records)]

    def record(self, name: str) -> PluginRecord:
        """What is known about a plugin. Raises UnknownPlugin, with the nearest name, if it is not there."""
        try:
            return self._loaded.records[name]
        except KeyError:
            close = nearest(name, self._loaded.records)
            meant = f"; did you mean `{close}`?" if close else ""
            hint = f"`hopyard plugins` lists those that there are; or install it: pip install hopyard-{name}"
            raise UnknownPlugin(
                f"there is no plugin `{printable(name)}`{meant}", stage="discovery", hint=printable(hint)
            ) from None

    def get(self, name: str) -> Plugin[Any]:
        """An enabled plugin. Raises PluginError with the reason if it is not enabled."""
        if name not in self._loaded.instances:
            record = self.record(name)
            raise PluginError(
                f"plugin {name} is {record.state}: {record.reason}", stage=record.stage, hint=record.hint
            )
        return self._loaded.instances[name]

    def instance(self, cls: type[Plugin[Any]]) -> Plugin[Any]:
        """The enabled plugin of a class, or one that was disabled while jobs of it run.

        Raises PluginError with the reason if it is not enabled.
        """
        for plugin in self._loaded.instances.values():
            if isinstance(plugin, cls):
                return plugin
        if (resting := self._resting_instance(cls)) is not None:
            return resting
        names = [name for name, known in self._loaded.classes.items() if issubclass(known, cls)]
        return self.get(names[0] if names else cls.__name__)

    @property
    def names(self) -> list[str]:
        """Enabled plugins, in the order in which they were loaded."""
        return list(self._loaded.instances)

    @property
    def classes(self) -> Mapping[str, type[Plugin[Any]]]:
        """Classes of all plugins that could be imported, also of those that failed afterwards."""
        return self._loaded.classes

    @property
    def ready(self) -> bool:
        """True where every required plugin is enabled, or out because somebody has disabled it."""
        return all(
            record.state is PluginState.ENABLED or record.resting
            for record in self._loaded.records.values()
            if record.required
        )

    @property
    def withdrawn(self) -> frozenset[str]:
        """Failed plugins: the namespaces that this process must not serve."""
        return frozenset(name for name, record in self._loaded.records.items() if record.failed)

    @property
    def faults(self) -> list[Fault]:
        """What is wrong in the settings' `[tasks]`, `[queues]` and `[schedules]`."""
        return self._effective.faults

    @property
    def warnings(self) -> list[Fault]:
        """Schedules that will never fire as things stand: told, but no reason to refuse a start."""
        return self._effective.warnings

    @property
    def tasks(self) -> dict[str, Any]:
        """Task declarations (`hopyard.tasks.Task`) by name."""
        return self._effective.tasks

    @property
    def options(self) -> dict[str, TaskOptions]:
        """The tasks' effective options by task name."""
        return self._effective.options

    @property
    def queues(self) -> dict[str, Queue]:
        """Effective queues by name."""
        return self._effective.queues

    @property
    def schedules(self) -> dict[str, DeclaredSchedule]:
        """Effective schedules by name, disabled ones included."""
        return self._effective.schedules

    @property
    def health_checks(self) -> list[tuple[str, HealthCheck]]:
        """Pairs of plugin and check."""
        return [
            (name, check)
            for name, own in self._loaded.contributions.items()
            for check in own.health_checks.values()
        ]

    def panels(self, name: str) -> list[Panel]:
        """Panels of an enabled plugin, as it gave them; none of one that is not enabled."""
        own = self._loaded.contributions.get(name)
        return [] if own is None else [*own.panels.values()]

    @property
    def notifiers(self) -> dict[str, Notifier]:
        """Notifiers by kind, the scheme of the addresses that they serve; the plugin loaded first has it."""
        found: dict[str, Notifier] = {}
        for own in self._loaded.contributions.values():
            found = own.notifiers | found
        return self._resting_notifiers() | found

    def collect(self, hook: str) -> list[tuple[str, Any]]:
        """Pairs of plugin and contribution, for a plugin-owned hook whose name begins with `register_`.

        The plugins were asked once, when they were loaded; who raised or hung then is not enabled.
        """
        return [
            (name, value)
            for name, own in self._loaded.contributions.items()
            for value in own.owned.get(hook, ())
        ]

    def start_process(
        self, role: Role, only: Iterable[str] | None = None, *, time_limit: float | None = None
    ) -> None:
        """Call `start_process` of all plugins, or `only` of some; who raises or takes too long is withdrawn.

        `time_limit` is in seconds and for each plugin, `worker.start_limit` if not given. Each is called in a
        thread of its own, so that one that hangs can be left behind. One that was started before, and was out
        since, is not started again.

        Raises PluginError where the settings want a refusal instead.
        """
        seconds = self.settings.worker.start_limit if time_limit is None else time_limit
        only = None if only is None else [*only]
        for name in self._asked("start_process"):
            if name not in self._loaded.instances:  # withdrawn meanwhile, with a plugin that it requires
                continue
            if (only is not None and name not in only) or name in self._begun:
                continue
            try:
                with announced(name, "start_process"):
                    self._hooks.start(name, role, seconds)
            except Failure as failure:
                self._withdraw(name, failure)
        ends = {one.plugin: one for one in self._hooks.callers("stop_process")}
        begun = [name for name in self._loaded.instances if only is None or name in only]
        self._begun |= {name: ends.get(name) for name in begun if name not in self._begun}
        self._started = True
        self._tell_failed()

    def stop_process(self, role: Role) -> None:
        """Call `stop_process` of all plugins, the last loaded first; errors are logged.

        Those that were disabled meanwhile as well: what they have begun is to end.
        """
        out = {name: one for name, one in self._begun.items() if one and self.resting(name)}
        ends = out | {one.plugin: one for one in self._hooks.callers("stop_process")}
        for name in [name for name in reversed(self._order) if name in ends]:
            try:
                ends[name].call({"role": role})
            except BaseException as error:  # the others must be stopped too
                pass_interrupt(error)
                logger.exception("plugin %s: stop_process raised %s", name, error_text(error))

    def commands(self, name: str) -> list[click.Command]:
        """The commands of `hopyard NAME`. Raises PluginError if the plugin is not enabled or fails."""
        import click

        self.get(name)
        try:
            with redirect_stdout(sys.stderr):
                found = self._hooks.contributions("register_commands", name)
            for value in found:
                if not isinstance(value, click.Command) or not value.name:
                    reason = f"`register_commands` returned {value!r}, expected click commands with names"
                    raise Failure(
                        "register_commands", reason, "return functions decorated with @click.command()"
                    )
        except Failure as failure:
            message = f"plugin {name}: {failure.reason}"
            raise PluginError(message, stage=failure.stage, hint=failure.hint) from failure
        return found

    def routes(self, kind: type[R]) -> list[tuple[str, R]]:
        """What plugins add to the HTTP API, with their names; one that fails adds nothing, and is logged.

        `kind` is what each must be: FastAPI's `APIRouter`, which only who serves it has imported.
        """
        found: list[tuple[str, R]] = []
        for name in [*self._loaded.instances]:
            try:
                for router in self._hooks.contributions("register_routes", name):
                    if not isinstance(router, kind):
                        reason = f"`register_routes` returned {router!r}, expected {kind.__name__}"
                        raise Failure("register_routes", reason, f"return objects of {kind.__name__}")
                    found.append((name, router))
            except Failure as failure:
                logger.error("plugin %s adds nothing to the HTTP API: %s", name, failure.reason)
                found = [(owner, router) for owner, router in found if owner != name]
        return found

    @property
    def migrations(self) -> dict[str, Any]:
        """Enabled plugins that have tables of their own, with what they give as their migrations' package."""
        return {
            name: plugin.migrations
            for name, plugin in self._loaded.instances.items()
            if plugin.migrations is not None
        }

    def check(self) -> None:
        """Raise what the settings want refused: faults of the core's part, and plugins that may not fail.

        Raises ConfigError or PluginError.
        """
        if self.faults:
            raise ConfigError(self.faults)
        refused = [record for record in self.records if self._refuses(record)]
        if refused:
            raise refusal(refused)

    def _refuses(self, record: PluginRecord) -> bool:
        entry = self.settings.plugin(record.name)
        return record.failed and (self.settings.plugins.strict or entry.on_failure == "abort")

    def _asked(self, hook: str) -> list[str]:
        implementing = set(self._hooks.implemented(hook))
        return [name for name in self._loaded.instances if name in implementing]

    def _tell_failed(self) -> None:
        """Tell of each failed plugin once, in a process that has started its role."""
        if not self._started:
            return
        failed = [record for record in self.records if record.failed]
        now = datetime.now(UTC)
        self.teller.tell(
            [
                PluginEvent(record.name, record.state.value, record.stage, record.reason, record.hint, now)
                for record in failed
                if record.name not in self._told_failed
            ]
        )
        self._told_failed = {record.name for record in failed}

    def _note_failures(self, name: str, failures: int, off: Mapping[str, str]) -> None:
        record = self._loaded.records[name]
        self._loaded.records[name] = replace(record, hook_failures=failures, switched_off=off)
        if off != record.switched_off:
            self.callers.resolve()
            self.teller.resolve()

    def _note_dropped(self, name: str, dropped: int) -> None:
        self._loaded.records[name] = replace(self._loaded.records[name], dropped_events=dropped)

    def _settle(self, cause: Failure | None = None) -> None:
        """Withdraw plugins whose references lead to withdrawn ones, then merge the settings again.

        Where somebody has disabled a plugin (`cause`), those have not failed either.
        """
        while True:
            queues = {name for own in self._loaded.contributions.values() for name in own.queues}
            tasks = {
                name: task for own in self._loaded.contributions.values() for name, task in own.tasks.items()
            }
            before = len(self._loaded.instances)
            for name, own in list(self._loaded.contributions.items()):
                try:
                    check_references(own, queues, tasks, self.settings.schedules)
                except Failure as failure:
                    if cause is not None and cause.stage == SWITCH:
                        reason = f"{failure.reason}, of a plugin that is {cause.reason}"
                        failure = Failure(SWITCH, reason, cause.hint, state=PluginState.DISABLED)
                    roll_back(self._loaded, self._hooks, name, failure)
            if len(self._loaded.instances) == before:
                break
        leave_out(self._loaded)
        absent = {record.name for record in self.records if record.state is not PluginState.ENABLED}
        self._effective = apply(self.settings, self._loaded.contributions, absent)
        self.callers.resolve()
        self.teller.resolve()
