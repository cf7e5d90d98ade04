"""All managed keys: which are due, going on with their rotations, how they stand, and reading one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from hopyard import Job, storage
from hopyard.errors import InvalidInput
from pydantic import SecretStr

from hopyard_maintenance.hooks import ApiKey, KeyRequest
from hopyard_maintenance.keys import ledger
from hopyard_maintenance.keys.calls import said, within
from hopyard_maintenance.keys.providers import provider
from hopyard_maintenance.keys.rotation import OURS, Rotating, is_over
from hopyard_maintenance.keys.sealing import Seal
from hopyard_maintenance.keys.stores import KeyStore, reseal, store_of
from hopyard_maintenance.models import KeyState, RotationReport
from hopyard_maintenance.settings import ManagedKey
from hopyard_maintenance.state import Finding, Patience, observe
from hopyard_maintenance.turns import Taken, turn

if TYPE_CHECKING:
    from hopyard_maintenance.settings import MaintenanceSettings

#: After a rotation that was rolled back the next one waits: whoever makes the keys has to mend something.
_AGAIN: Final = timedelta(days=1)


async def rotate(job: Job, names: Sequence[str] | None, *, force: bool, dry_run: bool) -> RotationReport:
    """Go on with open rotations and begin those that are due, key by key; a key's failure is its own."""
    if dry_run:
        return await plan(names, force=force)
    chosen = _chosen(names)
    report = await _report(chosen, lambda name: _rotate(job, name, force), dry_run=False)
    await _reseal_table(report)
    await _tell(report, chosen)
    return report


async def plan(names: Sequence[str] | None, *, force: bool) -> RotationReport:
    """Say what `rotate` would do, and do nothing."""
    return await _report(_chosen(names), lambda name: _foresee(name, force), dry_run=True)


async def _report(
    names: Sequence[str], work: Callable[[str], Awaitable[str | None]], *, dry_run: bool
) -> RotationReport:
    report = RotationReport(dry_run=dry_run, done={}, problems={})
    for name in names:
        try:
            done = await work(name)
        except Taken as error:
            report.done[name] = str(error)
        except OURS:
            raise
        except Exception as error:  # noqa: BLE001 - whatever one key meets, the others go on
            report.problems[name] = ledger.told(said(error))
        else:
            if done is not None:
                report.done[name] = done
    return report


def rotating(job: Job, name: str, rotation: ledger.Rotation) -> Rotating:
    """Return a rotation that a job takes on. Raises `InvalidInput` where the settings lack what it needs."""
    key = managed(name)
    return Rotating(job, key, provider(key.provider), store, rotation, provider_seconds())


async def states() -> list[KeyState]:
    """Return all managed keys, by name, with those that have left the settings while they were rotated."""
    known = _settings().keys
    names = {*known, *await ledger.open_names()}
    return [await _state(name, known.get(name)) for name in sorted(names)]


async def read(name: str) -> SecretStr:
    """Return the key that is in use. Raises `InvalidInput` where there is none, or as its store."""
    key, now = managed(name), await ledger.current(name)
    if now is None:
        raise InvalidInput(f"there is no key `{name}` yet: `hopyard maintenance keys rotate {name}` makes it")
    place = now.store or key.store
    found = await store(place).read(name, now.version)
    if found is None:
        raise InvalidInput(f"the key `{name}` is not where it was kept ({place}, version {now.version})")
    return found.secret


async def try_key(name: str, key: ApiKey) -> None:
    """Have its provider try a key. Raises `InvalidInput` unless it works."""
    settings = managed(name)
    request = KeyRequest(name, key.id, settings.options)
    try:
        await within(provider_seconds(), provider(settings.provider).verify(request, key))
    except OURS:
        raise
    except Exception as error:
        raise InvalidInput(ledger.told(f"its provider does not take the key: {said(error)}")) from error


async def _rotate(job: Job, name: str, force: bool) -> str | None:
    key = managed(name)
    async with turn(f"key {name}", job):
        provider(key.provider)  # before anything is begun
        open_ = await ledger.latest(name)
        if open_ is None or open_.state not in ledger.OPEN:
            now = await ledger.current(name)
            if not force and not await _is_due(key, now, open_):
                return None
            store(key.store)
            open_ = await ledger.begin(job, name, f"{name}-{storage.new_id()[-8:]}", now, key.store)
        elif open_.state == "published" and open_.old_id is not None and not await is_over(open_):
            return None if not force else f"is new already: the old key works until {open_.revoke_at:%c} UTC"
        return await rotating(job, name, open_).run()


async def _foresee(name: str, force: bool) -> str | None:
    key, open_ = managed(name), await ledger.latest(name)
    maker = provider(key.provider)
    if open_ is not None and open_.state in ledger.OPEN:
        if open_.state != "published":
            return f"its rotation would go on where it is: {open_.state}"
        return "the old key would be revoked" if await is_over(open_) else None
    if force or await _is_due(key, await ledger.current(name), open_):
        return f"{maker.name} would make a new key"
    return None


async def _is_due(key: ManagedKey, now: ledger.Current | None, last: ledger.Rotation | None) -> bool:
    due = _due(key, now)
    if last is not None and last.state == "rolled back":
        due = max(due or last.started, last.started + _AGAIN)
    return due is None or await ledger.now() >= due


def _due(key: ManagedKey, now: ledger.Current | None) -> datetime | None:
    return now.published + timedelta(days=key.every_days) if now is not None else None


async def _state(name: str, key: ManagedKey | None) -> KeyState:
    now, last = await ledger.current(name), await ledger.latest(name)
    open_ = last is not None and last.state in ledger.OPEN
    problem = last.error if last is not None else None
    if key is None:
        problem = "it has left the settings while it was rotated: put it back, or `keys abandon` it"
    kept = now.store if now is not None else None
    return KeyState(
        name=name,
        provider=key.provider if key is not None else "",
        store=kept or (key.store if key is not None else ""),
        id=now.id if now else None,
        published=now.published if now else None,
        due=_due(key, now) if key is not None else None,
        state=last.state if last is not None and open_ else "current" if now else "none",
        revoke_at=last.revoke_at if last is not None and last.state == "published" else None,
        problem=problem,
        since=last.updated if last is not None and open_ else None,
    )


async def _reseal_table(report: RotationReport) -> None:
    """Seal anew what an earlier master key has sealed."""
    if not _settings().master_keys:
        return
    done = await reseal(Seal(_settings().master_keys))
    for name in done.unreadable:
        report.problems.setdefault(name, "no master key opens it")


async def _tell(report: RotationReport, names: Sequence[str]) -> None:
    """Alert about each key whose rotation has begun to fail, or goes on again."""
    found = {
        f"rotation of the key {name}": Finding(
            name not in report.problems, report.problems.get(name) or report.done.get(name, "in order")
        )
        for name in names
    }
    if found:
        await observe(found, Patience())


def _chosen(names: Sequence[str] | None) -> list[str]:
    known = _settings().keys
    if names is None:
        return sorted(known)
    for name in names:
        managed(name)
    return [*names]


def provider_seconds() -> float:
    """Return how long one answer of a provider is waited for."""
    return _settings().provider_seconds


def store(name: str) -> KeyStore:
    """Return a store by name. Raises `InvalidInput` where the settings lack it."""
    return store_of(name, _settings())


def managed(name: str) -> ManagedKey:
    """Return what the settings say of a key. Raises `InvalidInput` where they do not know it."""
    known = _settings().keys
    if name not in known:
        there = ", ".join(sorted(known)) or "none"
        raise InvalidInput(f"the settings have no key `{name}`; there are: {there}")
    return known[name]


def _settings() -> MaintenanceSettings:
    from hopyard_maintenance import Maintenance

    return Maintenance.current().settings
