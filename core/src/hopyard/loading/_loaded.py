"""What the loader has found so far, and taking a failed plugin out of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from hopyard.errors import ConfigError, HopyardError, PluginError
from hopyard.loading._contributions import Contributions
from hopyard.loading._hooks import Hooks
from hopyard.loading._records import SWITCH, Failure, PluginRecord, PluginState
from hopyard.plugin import Plugin

logger = logging.getLogger("hopyard.loading")


@dataclass(slots=True)
class Loaded:
    """What the loader has found so far; `Plugins` shows it."""

    records: dict[str, PluginRecord] = field(default_factory=dict)
    classes: dict[str, type[Plugin[Any]]] = field(default_factory=dict)
    instances: dict[str, Plugin[Any]] = field(default_factory=dict)
    """The enabled plugins, in loading order."""
    contributions: dict[str, Contributions] = field(default_factory=dict)


class Withdrawn(NamedTuple):
    """What a plugin was while it was enabled."""

    instance: Plugin[Any]
    contributions: Contributions
    record: PluginRecord


def roll_back(loaded: Loaded, hooks: Hooks, name: str, failure: Failure) -> None:
    """Take out a plugin, all that it contributed and those that require it."""
    hooks.unregister(name)
    loaded.instances.pop(name, None)
    loaded.contributions.pop(name, None)
    set_failed(loaded, name, failure)
    for other, instance in list(loaded.instances.items()):
        if name in instance.requires:
            roll_back(loaded, hooks, other, requires_failed(name, failure))


def requires_failed(name: str, failure: Failure) -> Failure:
    """Return why a plugin leaves that requires another one: disabled with it, or broken without it."""
    if failure.stage == SWITCH:
        reason = f"it requires the plugin `{name}`: {failure.reason}"
        return Failure(SWITCH, reason, failure.hint, state=PluginState.DISABLED)
    reason = f"it requires the plugin `{name}`, which is {failure.state}"
    return Failure("requires", reason, f"see what `hopyard plugins` says about `{name}`")


def leave_out(loaded: Loaded) -> None:
    """Write into the records which kinds of notifications plugins offer that another one serves already."""
    taken: dict[str, str] = {}
    for name, own in loaded.contributions.items():
        found = [
            f"its notifier of kind `{kind}` is left out: the plugin `{taken[kind]}` serves these already; "
            f"disable one of the two, or rename the kind"
            for kind in own.notifiers
            if kind in taken
        ]
        taken = dict.fromkeys(own.notifiers, name) | taken
        if tuple(found) != loaded.records[name].left_out:
            loaded.records[name] = replace(loaded.records[name], left_out=tuple(found))
            for one in found:
                logger.warning("plugin %s: %s", name, one)


def set_failed(loaded: Loaded, name: str, failure: Failure) -> None:
    """Write a failure into the plugin's record and the log."""
    record = replace(
        loaded.records[name],
        state=failure.state,
        reason=failure.reason,
        hint=failure.hint,
        stage=failure.stage,
        faults=failure.faults,
        traceback=failure.traceback,
    )
    loaded.records[name] = record
    if record.failed:
        logger.warning(
            "plugin %s is %s (%s): %s; %s", name, record.state, record.stage, record.reason, record.hint
        )


def refusal(records: list[PluginRecord]) -> HopyardError:
    """One error for all plugins that may not fail."""
    if all(record.faults for record in records):
        return ConfigError([fault for record in records for fault in record.faults])
    lines = [f"plugin {record.name} is {record.state}: {record.reason} ({record.hint})" for record in records]
    lines.append("start is refused, since `plugins.strict` or their `on_failure` asks for it")
    return PluginError("\n".join(lines), stage=records[0].stage, hint="`hopyard plugins` shows them")
