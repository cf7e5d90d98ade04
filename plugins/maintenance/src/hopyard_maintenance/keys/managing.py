"""All managed keys: which are due, going on with their rotations, and what people may do about one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from hopyard import Job, conceal, storage
from hopyard.errors import HopyardError, InvalidInput, LedgerError
from pydantic import SecretStr

from hopyard_maintenance.hooks import ApiKey
from hopyard_maintenance.keys import ledger
from hopyard_maintenance.keys.providers import provider
from hopyard_maintenance.keys.rotation import Rotating, next_label
from hopyard_maintenance.keys.sealing import Seal
from hopyard_maintenance.keys.stores import reseal, store_of
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
    report = RotationReport(dry_run=dry_run, done={}, problems={})
    for name in _chosen(names):
        try:
            done = await (_foresee(name, force) if dry_run else _rotate(job, name, force))
        except Taken as error:
            report.done[name] = str(error)
        except LedgerError:
            raise
        except HopyardError as error:
            report.problems[name] = ledger.told(str(error))
        else:
            if done is not None:
                report.done[name] = done
    if not dry_run:
        await _reseal_table(report)
        await _tell(report, _chosen(names))
    return report


async def roll_back(job: Job, name: str) -> str:
    """Take a key back while the one before still works. Raises `InvalidInput` where it does not any more."""
    key, settings = _key(name), _settings()
    async with turn(f"key {name}", job):
        open_ = await ledger.latest(name)
        if open_ is not None and open_.state == "rolling back":
            return await Rotating(job, key, provider(key.provider), store_of(key, settings), open_).run()
        if open_ is None or open_.state != "published" or open_.old_id is None:
            raise InvalidInput(f"the key `{name}` has no predecessor that still works")
        rotating = Rotating(job, key, provider(key.provider), store_of(key, settings), open_)
        return await rotating.revoke_new("a person took it back", job.person)


async def states() -> list[KeyState]:
    """Return all managed keys, by name."""
    return [await _state(name, key) for name, key in sorted(_settings().keys.items())]


async def read(name: str) -> SecretStr:
    """Return the key that is in use. Raises `InvalidInput` where there is none, or as its store."""
    key, now = _key(name), await ledger.current(name)
    found = await store_of(key, _settings()).read(name, now.version) if now is not None else None
    if found is None:
        raise InvalidInput(f"there is no key `{name}` yet: `hopyard maintenance keys rotate {name}` makes it")
    return found.secret


async def adopt(name: str, id_: str, secret: SecretStr, person: str | None) -> None:
    """Take a key that exists already as the one in use, to be revoked by the first rotation.

    Raises `InvalidInput` while the key is being rotated.
    """
    key, open_ = _key(name), await ledger.latest(name)
    if open_ is not None and open_.state in ledger.OPEN:
        raise InvalidInput(f"the key `{name}` is being rotated: {open_.state}")
    if not secret.get_secret_value() or not id_:
        raise InvalidInput("a key has an id and a secret, and one of them is empty")
    conceal(secret.get_secret_value())
    version, store, before = storage.new_id(), store_of(key, _settings()), await ledger.current(name)
    made = ApiKey(id_, secret)
    await store.keep(name, version, made)
    await store.publish(name, version, made)
    async with storage.transaction() as tx:
        await tx.execute(
            "INSERT INTO maintenance_key (name, version, key_id, published) "
            f"VALUES ($1, $2, $3, {tx.sql.now}) ON CONFLICT (name) DO UPDATE SET "
            "version = excluded.version, key_id = excluded.key_id, published = excluded.published",
            name,
            version,
            id_,
        )
        left = f" in the place of {before.id}, which is not revoked" if before else ""
        await ledger.note(tx, name, None, "adopt", f"{id_} is in use{left}", person=person)
    if before is not None:
        await store.remove(name, before.version)


async def resolve(name: str, person: str | None) -> str:
    """Let a rotation that is `unknown` go on: a person has looked, and no lost key is left."""
    _key(name)
    open_ = await ledger.latest(name)
    if open_ is None or open_.state != "unknown":
        raise InvalidInput(f"the rotation of the key `{name}` is not unknown")
    detail = "a person has seen that no lost key is left"
    label = next_label(open_.label)
    await ledger.move(None, open_, "begun", detail, person=person, label=label, error=None)
    return f"The next run makes the key {label}."


async def _rotate(job: Job, name: str, force: bool) -> str | None:
    key, settings = _key(name), _settings()
    async with turn(f"key {name}", job):
        maker, store = provider(key.provider), store_of(key, settings)
        open_ = await ledger.latest(name)
        if open_ is None or open_.state not in ledger.OPEN:
            now = await ledger.current(name)
            if not force and not _is_due(key, now, open_):
                return None
            open_ = await ledger.begin(job, name, f"{name}-{storage.new_id()[-8:]}", now)
        elif open_.state == "published" and open_.old_id is not None and not _over(open_):
            return None if not force else f"is new already: the old key works until {open_.revoke_at:%c} UTC"
        return await Rotating(job, key, maker, store, open_).run()


async def _foresee(name: str, force: bool) -> str | None:
    key, open_ = _key(name), await ledger.latest(name)
    maker = provider(key.provider)
    if open_ is not None and open_.state in ledger.OPEN:
        if open_.state != "published":
            return f"its rotation would go on where it is: {open_.state}"
        return "the old key would be revoked" if _over(open_) else None
    if force or _is_due(key, await ledger.current(name), open_):
        return f"{maker.name} would make a new key"
    return None


def _over(rotation: ledger.Rotation) -> bool:
    return rotation.revoke_at is None or storage.utcnow() >= rotation.revoke_at


def _is_due(key: ManagedKey, now: ledger.Current | None, last: ledger.Rotation | None) -> bool:
    due = _due(key, now)
    if last is not None and last.state == "rolled back":
        due = max(due or last.started, last.started + _AGAIN)
    return due is None or storage.utcnow() >= due


def _due(key: ManagedKey, now: ledger.Current | None) -> datetime | None:
    return now.published + timedelta(days=key.every_days) if now is not None else None


async def _state(name: str, key: ManagedKey) -> KeyState:
    now, last = await ledger.current(name), await ledger.latest(name)
    open_ = last is not None and last.state in ledger.OPEN
    return KeyState(
        name=name,
        provider=key.provider,
        store=key.store,
        id=now.id if now else None,
        published=now.published if now else None,
        due=_due(key, now),
        state=last.state if last is not None and open_ else "current" if now else "none",
        revoke_at=last.revoke_at if last is not None and last.state == "published" else None,
        problem=last.error if last is not None else None,
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
        _key(name)
    return [*names]


def _key(name: str) -> ManagedKey:
    known = _settings().keys
    if name not in known:
        there = ", ".join(sorted(known)) or "none"
        raise InvalidInput(f"the settings have no key `{name}`; there are: {there}")
    return known[name]


def _settings() -> MaintenanceSettings:
    from hopyard_maintenance import Maintenance

    return Maintenance.current().settings
