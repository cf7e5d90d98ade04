"""Loads plugins step by step; each step can end only the plugin that it looks at."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from importlib_metadata import Distribution
from pydantic import BaseModel

from hopyard import current, redaction
from hopyard.checks import nearest
from hopyard.errors import Fault
from hopyard.hookspecs import Role
from hopyard.loading._compatibility import Installed, check_requirements
from hopyard.loading._configuration import validated
from hopyard.loading._contributions import check_tools, gather
from hopyard.loading._discovery import SITE, Candidate, candidates, check_alone, check_name
from hopyard.loading._hooks import Hooks, timed
from hopyard.loading._importing import (
    announced,
    error_text,
    import_class,
    import_site,
    pass_interrupt,
    traceback_text,
)
from hopyard.loading._loaded import Loaded, roll_back, set_failed
from hopyard.loading._ordering import check_required, load_order
from hopyard.loading._plugins import Plugins
from hopyard.loading._records import Failure, PluginRecord, PluginState
from hopyard.plugin import Plugin
from hopyard.settings import Settings, dotted

TIME_LIMIT = 5.0


def load_plugins(
    settings: Settings,
    *,
    role: Role,
    builtin: Mapping[str, type[Plugin[Any]]] | None = None,
    distributions: Iterable[Distribution] | None = None,
    site: Path | None = None,
    time_limit: float = TIME_LIMIT,
) -> Plugins:
    """Load the plugins that are installed and allowed.

    A plugin that fails is recorded and contributes nothing. `builtin` classes come first and need no
    leave; `distributions` replaces the installed ones; `site` is a `hopfile.py` (default: the one beside
    the settings file); a hook that gives data may take `time_limit` seconds.

    Raises ConfigError for settings that name unknown tasks, queues or schedules, and ConfigError or
    PluginError for failed plugins where `plugins.strict` or `on_failure = "abort"` asks for it.
    """
    plugins = examine_plugins(
        settings, role=role, builtin=builtin, distributions=distributions, site=site, time_limit=time_limit
    )
    plugins.check()
    return plugins


def examine_plugins(
    settings: Settings,
    *,
    role: Role,
    builtin: Mapping[str, type[Plugin[Any]]] | None = None,
    distributions: Iterable[Distribution] | None = None,
    site: Path | None = None,
    time_limit: float = TIME_LIMIT,
) -> Plugins:
    """Like `load_plugins`, but refuse nothing: what is wrong is in `records` and `faults`."""
    given = None if distributions is None else list(distributions)
    return _Loader(settings, role, builtin or {}, given, site or settings.site, time_limit).run()


class _Loader:
    def __init__(
        self,
        settings: Settings,
        role: Role,
        builtin: Mapping[str, type[Plugin[Any]]],
        distributions: list[Distribution] | None,
        site: Path | None,
        time_limit: float,
    ) -> None:
        self.settings = settings
        self.role = role
        self.builtin = builtin
        self.distributions = distributions
        self.site = site
        self.hooks = Hooks(time_limit)
        self.loaded = Loaded()

    def run(self) -> Plugins:
        # Standard output belongs to the command: what plugins print is for the person, not for a pipe.
        with redirect_stdout(sys.stderr):
            self._load()
        return Plugins(self.settings, self.role, self.hooks, self.loaded)

    def _load(self) -> None:
        for candidate in self._wanted():
            self._attempt(candidate.name, partial(self._import, candidate))
        self._import_site()
        self._record_missing()
        order = load_order(self.loaded.classes, lambda name, failure: set_failed(self.loaded, name, failure))
        for step in (self._add_specs, self._instantiate, self._register, self._collect_owned):
            order = [name for name in order if self._attempt(name, partial(step, name))]

    def _wanted(self) -> Iterator[Candidate]:
        """What may be imported: the built-in plugins, then the installed ones that pass all checks."""
        for name, cls in self.builtin.items():
            builtin = Candidate(name, target=cls)
            self._open_record(builtin)
            yield builtin
        versions = Installed(self.distributions)
        installed = [one for one in candidates(self.distributions) if one.name not in self.builtin]
        for _, group in groupby(installed, key=lambda candidate: candidate.name):
            namesakes = list(group)
            self._open_record(*namesakes)
            if self._attempt(namesakes[0].name, partial(self._check_installed, namesakes, versions)):
                yield namesakes[0]

    def _check_installed(self, namesakes: list[Candidate], versions: Installed) -> None:
        candidate = namesakes[0]
        check_name(candidate)
        check_alone(candidate, namesakes)
        self._check_allowed(candidate.name)
        check_requirements(candidate, versions)

    def _check_allowed(self, name: str) -> None:
        section = self.settings.plugins
        if section.allow is not None and name not in section.allow:
            reason, hint = "it is not in `plugins.allow`", f'add "{name}" to `plugins.allow` to have it'
        elif not self.settings.plugin(name).enabled:
            reason, hint = (
                f"`plugins.{name}.enabled` is false",
                f"take `enabled` out of [plugins.{name}] to have it",
            )
        else:
            return
        raise Failure("allow", reason, hint, state=PluginState.DISABLED)

    def _import(self, candidate: Candidate) -> None:
        with announced(candidate.name, f"importing {candidate.value or candidate.name}"):
            self.loaded.classes[candidate.name] = import_class(candidate)

    def _import_site(self) -> None:
        if self.site is None:
            return
        self._open_record(Candidate(SITE, str(self.site)))
        self._attempt(SITE, partial(self._load_site, self.site))

    def _load_site(self, path: Path) -> None:
        self._check_allowed(SITE)
        with announced(SITE, f"importing {path}"):
            self.loaded.classes[SITE] = import_site(path)

    def _record_missing(self) -> None:
        """Plugins that the settings name and nobody has installed."""
        section = self.settings.plugins
        places: dict[str, tuple[str | int, ...]] = {name: ("plugins", name) for name in section.entries}
        places |= {name: ("plugins", "allow", index) for index, name in enumerate(section.allow or ())}
        installed = list(self.loaded.records)
        for name, key in places.items():
            if name not in self.loaded.records:
                self._open_record(Candidate(name))
                meant = nearest(name, [one for one in installed if one not in places])
                self._attempt(name, partial(self._missing, name, key, installed, meant))

    def _missing(
        self, name: str, key: tuple[str | int, ...], installed: list[str], meant: str | None
    ) -> None:
        """Raise Failure. A plugin that is not wanted may be missing, unless another one seems to be meant.

        One that the settings name as well is not meant: so says an operator that both names are right.
        """
        if meant is None:
            self._check_allowed(name)
        close = meant or nearest(name, installed)
        there = ", ".join(installed) or "none"
        source = self.settings.nearest_source(*key)
        fault = Fault(source, dotted(key), f'"{name}"', f"an installed plugin ({there})", close, name)
        hint = f"did you mean `{close}`?" if close else f"install it: pip install hopyard-{name}"
        reason = f"the settings name it ({source}), but it is not installed"
        raise Failure("discovery", reason, hint, state=PluginState.MISSING, faults=(fault,))

    def _add_specs(self, name: str) -> None:
        self.hooks.add_specs(name, self.loaded.classes[name])

    def _instantiate(self, name: str) -> None:
        cls = self.loaded.classes[name]
        self._check_required(name, cls)
        settings = validated(name, cls, self.settings)
        redaction.register_model(settings)
        self.loaded.instances[name] = timed(
            partial(_made, cls, name, settings), self.hooks.time_limit, "__init__"
        )

    def _register(self, name: str) -> None:
        if name not in self.loaded.instances:  # rolled back with a plugin that it requires
            return
        cls = self.loaded.classes[name]
        known = all(other in self.loaded.classes for other in self.loaded.records)
        self.hooks.check(cls, all_known=known)
        self.hooks.register(name, self.loaded.instances[name])
        contributions = gather(name, self.hooks)
        check_tools(contributions, self.loaded.contributions.values())
        self.loaded.contributions[name] = contributions
        self.loaded.records[name] = replace(self.loaded.records[name], state=PluginState.ENABLED)

    def _collect_owned(self, name: str) -> None:
        """Ask for what other plugins' hooks collect, once, so that who is slow or raises shows at start."""
        if name not in self.loaded.instances:
            return
        contributions = self.loaded.contributions[name]
        for hook in self.hooks.owned():
            contributions.owned[hook] = self.hooks.contributions(hook, name)

    def _check_required(self, name: str, cls: type[Plugin[Any]]) -> None:
        states = {other: record.state.value for other, record in self.loaded.records.items()}
        check_required(name, tuple(cls.requires), self.loaded.instances, states)

    def _attempt(self, name: str, step: Callable[[], None]) -> bool:
        """Take a step of one plugin; whatever goes wrong in it ends that plugin."""
        try:
            step()
        except Failure as failure:
            roll_back(self.loaded, self.hooks, name, failure)
            return False
        except BaseException as error:  # noqa: BLE001 - recorded: no plugin may end the loading of others
            pass_interrupt(error)
            hint = "see the traceback in `hopyard plugins --json`"
            unexpected = Failure("load", error_text(error), hint, traceback=traceback_text(error))
            roll_back(self.loaded, self.hooks, name, unexpected)
            return False
        return True

    def _open_record(self, *candidates: Candidate) -> None:
        """A record without a verdict; distributions that share a name are named together."""
        candidate = candidates[0]
        self.loaded.records[candidate.name] = PluginRecord(
            candidate.name,
            PluginState.QUARANTINED,
            version=candidate.version,
            distribution=", ".join(one.project for one in candidates if one.project),
            summary=candidate.summary,
            required=self.settings.plugin(candidate.name).required,
        )


def _made(cls: type[Plugin[Any]], name: str, settings: BaseModel) -> Plugin[Any]:
    current.forbid("__init__")
    return cls(name, settings)
