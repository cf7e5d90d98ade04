"""Running connections: who may run, what is recorded, who is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hopyard import Hopyard
from hopyard.errors import (
    AuthenticationError,
    HopyardError,
    InvalidInput,
    JobCancelled,
    LeaseLost,
    StaleFence,
)
from hopyard.people import alert, notify

from hopyard_sync.engine import state
from hopyard_sync.engine.run import Run
from hopyard_sync.errors import ReconnectNeeded, TooManyDeletions
from hopyard_sync.models import Report, State

if TYPE_CHECKING:
    from hopyard import Job
    from pydantic import BaseModel

    from hopyard_sync.connectors import Connector
    from hopyard_sync.settings import Connection, SyncSettings

log = logging.getLogger("hopyard.task.sync")

#: The kind of each section's connections; those of `calendars` and `others` say their own.
_SECTIONS = {"notion": "notion", "mailboxes": "imap", "apis": "rest"}


def settings() -> SyncSettings:
    """Return the plugin's settings."""
    from hopyard_sync import Sync

    return Sync.current().settings


def find(name: str) -> tuple[Connection, str]:
    """Return a connection and its kind. Raises `InvalidInput` with the names that there are."""
    connections = settings().connections()
    if name not in connections:
        known = ", ".join(connections) or "none"
        raise InvalidInput(f"found the connection {name!r}, expected one of: {known}")
    return connections[name], kind_of(name)


def kind_of(name: str) -> str:
    """Return the kind of a configured connection."""
    own = settings()
    if name in own.calendars:
        return own.calendars[name].kind
    if name in own.others:
        return own.others[name].kind
    return next(kind for section, kind in _SECTIONS.items() if name in getattr(own, section))


def registry() -> tuple[dict[str, Connector], list[str]]:
    """Return the connectors by kind, and what is wrong with others that plugins register.

    This plugin's own kinds are not to be taken. A fault costs the connections of that connector only.
    """
    from hopyard_sync.builtin import CONNECTORS
    from hopyard_sync.connectors import Connector

    found, faults = {one.kind: one for one in CONNECTORS}, list[str]()
    for plugin, one in Hopyard.current().plugins.collect("register_connectors"):
        if not isinstance(one, Connector) or not isinstance(one.kind, str):
            faults.append(f"the plugin {plugin} registers {repr(one)[:100]}, expected a Connector")
        elif found.setdefault(one.kind, one) is not one:
            faults.append(f"the plugin {plugin} registers the kind {one.kind!r}, which is taken")
    return found, faults


def connector_of(kind: str) -> Connector:
    """Return the connector of a kind. Raises `InvalidInput` with the kinds that there are."""
    found, faults = registry()
    if kind not in found:
        told = "; ".join([f"found the kind {kind!r}, expected one of: {', '.join(sorted(found))}", *faults])
        raise InvalidInput(told)
    return found[kind]


def _options(connection: Connection, connector: Connector) -> Any:
    """Return what the connector is to know: the settings, or a stranger's own model of them."""
    from hopyard_sync.settings import OtherConnection

    if not isinstance(connection, OtherConnection):
        return connection
    given = {**connection.options, **connection.secrets}
    if connector.options is None:
        if given:
            raise InvalidInput(f"the kind {connection.kind} takes no options, found {', '.join(given)}")
        return None
    return _validated(connector.options, given)


def _validated(model: type[BaseModel], given: dict[str, Any]) -> BaseModel:
    from pydantic import SecretStr, ValidationError

    plain = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in given.items()
    }
    try:
        return model.model_validate(plain)
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'options'}: {one['msg']}"
            for one in error.errors(include_input=False, include_url=False)
        )
        raise InvalidInput(f"options: {told}") from None


async def sync_all(
    job: Job, kinds: Collection[str], name: str, *, dry_run: bool, force: bool, full: bool
) -> list[Report]:
    """Sync the named connection, or all enabled ones of these kinds, one after the other.

    What goes wrong with the named one is raised; of several each has its own report, and the rest goes on.
    """
    if name:
        connection, kind = find(name)
        if kind not in kinds and kinds:
            raise InvalidInput(f"{name} is of the kind {kind}, expected {' or '.join(sorted(kinds))}")
        return [await sync(job, name, dry_run=dry_run, force=force, full=full)]
    reports = []
    for one, connection in settings().connections().items():
        if connection.enabled and kind_of(one) in kinds:
            reports.append(await _sync_one_of_several(job, one, dry_run, force, full))
    return reports


async def _sync_one_of_several(job: Job, name: str, dry_run: bool, force: bool, full: bool) -> Report:
    try:
        return await sync(job, name, dry_run=dry_run, force=force, full=full)
    except (JobCancelled, StaleFence):
        raise
    except Exception as error:
        if not isinstance(error, HopyardError):
            log.exception("%s was not synced", name)
        kept = await state.standing(name)
        found: State = kept.state if kept.state != "ok" else "failed"
        return Report(
            connection=name, kind=kind_of(name), state=found, dry_run=dry_run, notes=[_words(error)[:500]]
        )


async def sync(
    job: Job, name: str, *, dry_run: bool = False, force: bool = False, full: bool = False
) -> Report:
    """Sync a connection; return what was done. Raises what its connector raises, once it is recorded."""
    connection, kind = find(name)
    if (await state.standing(name)).state == "reconnect":
        return Report(connection=name, kind=kind, state="reconnect", dry_run=dry_run)
    run = Run(name, kind, None, job=job, person=connection.person, dry_run=dry_run, force=force, full=full)
    if not await state.LEASE.take(name, run.holder, job.id, begins=not dry_run):
        return Report(connection=name, kind=kind, state="busy", dry_run=dry_run)
    try:
        connector = connector_of(kind)
        run.options = _options(connection, connector)
        await connector.sync(run)
    except LeaseLost:
        raise
    except (JobCancelled, asyncio.CancelledError):
        await state.LEASE.release(name, run.holder)
        raise
    except BaseException as error:  # whatever a connector raises, its connection is given back
        await _failed(run, error)
        raise
    report = _report(run, "ok")
    await state.finish(name, run.holder, report, None)
    return report


def _words(error: BaseException) -> str:
    """Say what was raised; of what is no error of ours its kind as well."""
    text = str(error)
    return text if isinstance(error, HopyardError) and text else f"{type(error).__name__}: {text}"


def _report(run: Run, found: State) -> Report:
    return Report(connection=run.name, kind=run.kind, state=found, dry_run=run.dry_run, **asdict(run.counts))


async def _failed(run: Run, error: BaseException) -> None:
    """Record how a run failed; tell its person where a person is needed."""
    found: State = "failed"
    if isinstance(error, AuthenticationError):
        found = "reconnect"
    elif isinstance(error, TooManyDeletions):
        found = "held"
    text = _words(error)
    run.note(text)
    await state.finish(run.name, run.holder, _report(run, found), text)
    if run.dry_run or found == "failed":
        return
    if await state.tell_once(run.name, found):
        await _tell(run, found, text)


async def _tell(run: Run, found: State, text: str) -> None:
    if found == "reconnect":
        title = f"{run.name} needs to be reconnected"
        body = (
            f"{text}. Nothing is synced until its credentials are renewed in the settings, and then: "
            f"hopyard sync reconnect {run.name}"
        )
    else:
        title, body = f"{run.name} was not synced", text
    data = {"connection": run.name, "state": found}
    if run.person is None:
        await alert(title, body, data=data)
    else:
        await notify(run.person, title, body, data=data)


async def reconnect(name: str) -> Report:
    """Try a connection's credentials, and let it run again if they are taken.

    Raises `ReconnectNeeded` with the reason if they are not: then it stays as it is.
    """
    connection, kind = find(name)
    connector = connector_of(kind)
    run = Run(name, kind, _options(connection, connector), person=connection.person)
    try:
        await connector.check(run)
    except AuthenticationError as error:
        raise ReconnectNeeded(f"{name}: its credentials are refused still: {error}") from error
    await state.leave_reconnect(name)
    return _report(run, "ok")
