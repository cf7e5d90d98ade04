"""What people do about a key: take it back, bring one in, let a rotation go on, or end it."""

from __future__ import annotations

from hopyard import Job, conceal, storage
from hopyard.errors import HopyardError, InvalidInput, SpecError
from pydantic import SecretStr

from hopyard_maintenance.hooks import ApiKey
from hopyard_maintenance.keys import ledger, managing
from hopyard_maintenance.keys.rotation import is_over, next_label
from hopyard_maintenance.turns import brief_turn, turn


async def roll_back(job: Job, name: str) -> str:
    """Take a key back while the one before still works. Raises `InvalidInput` where it does not any more."""
    managing.managed(name)
    async with turn(f"key {name}", job):
        open_ = await ledger.latest(name)
        if open_ is not None and open_.state == "rolling back":
            return await managing.rotating(job, name, open_).run()
        if open_ is None or open_.state != "published" or open_.old_id is None:
            raise InvalidInput(f"the key `{name}` has no predecessor that still works")
        if await is_over(open_):
            raise InvalidInput(
                f"the time in which both keys `{name}` work was over at {open_.revoke_at:%Y-%m-%d %H:%M} "
                "UTC: the one before is revoked by the next run, and nobody goes back to it"
            )
        rotating = managing.rotating(job, name, open_)
        return await rotating.revoke_new("a person took it back", job.person)


async def adopt(name: str, id_: str, secret: SecretStr, person: str | None) -> None:
    """Take a key that exists already as the one in use, to be revoked by the first rotation.

    Its provider tries it first. Raises `InvalidInput` for what is no key, for one that does not work, and
    while the key is being rotated.
    """
    key = managing.managed(name)
    conceal(secret.get_secret_value())
    _refuse_open(name, await ledger.latest(name))
    try:
        made = ApiKey(id_, secret)
    except SpecError as error:
        raise InvalidInput(str(error)) from None
    await managing.try_key(name, made)
    version, store = storage.new_id(), managing.store(key.store)
    await store.keep(name, version, made)
    try:
        async with brief_turn(f"key {name}") as tx:
            _refuse_open(name, await ledger.latest(name, tx))
            before = await ledger.current(name, tx)
            await ledger.point(tx, name, version, id_, key.store)
            left = f" in the place of {before.id}, which is not revoked" if before else ""
            await ledger.note(tx, name, None, "adopt", f"{id_} is in use{left}", person=person)
    except HopyardError:
        await store.remove(name, version)
        raise
    await store.publish(name, version, made)
    if before is not None:
        await managing.store(before.store or key.store).remove(name, before.version)


async def resolve(name: str, person: str | None) -> str:
    """Let a rotation that is `unknown` go on: a person has looked, and no lost key is left."""
    managing.managed(name)
    async with brief_turn(f"key {name}") as tx:
        open_ = await ledger.latest(name, tx)
        if open_ is None or open_.state != "unknown":
            raise InvalidInput(
                f"the rotation of the key `{name}` is not unknown; "
                f"one that is stuck otherwise is ended by `hopyard maintenance keys abandon {name}`"
            )
        detail = "a person has seen that no lost key is left"
        label = next_label(open_.label)
        await ledger.move_in(tx, open_, "begun", label=label, error=None)
        await ledger.note(tx, name, open_.id, "begun", detail, person=person)
    return f"The next run makes the key {label}."


async def abandon(name: str, person: str | None) -> str:
    """End a rotation wherever it is, without asking its provider; the key in use stays the one in use.

    What is left with the provider is said and noted. Raises `InvalidInput` where no rotation is open.
    """
    async with brief_turn(f"key {name}") as tx:
        open_ = await ledger.latest(name, tx)
        if open_ is None or open_.state not in ledger.OPEN:
            raise InvalidInput(f"no rotation of the key `{name}` is open")
        now = await ledger.current(name, tx)
        detail = f"it was {open_.state}; {_left(open_, now)}"
        await ledger.move_in(tx, open_, "abandoned", error=None)
        await ledger.note(tx, name, open_.id, "abandoned", detail, person=person)
    told = f"The rotation of {name} is ended: {detail}."
    in_use = now.version if now is not None else None
    for version, store in ((open_.id, open_.store), (open_.old_version, open_.old_store)):
        if version is not None and version != in_use:
            told += await _forget(name, version, store)
    return told


async def _forget(name: str, version: str, store: str | None) -> str:
    """Remove a version that is of no use any more; return what people have to know of it."""
    try:
        await managing.store(store or managing.managed(name).store).remove(name, version)
    except HopyardError as error:
        return ledger.told(f" Its store keeps the version {version}, which could not be removed: {error}.")
    return ""


def _refuse_open(name: str, rotation: ledger.Rotation | None) -> None:
    if rotation is not None and rotation.state in ledger.OPEN:
        raise InvalidInput(
            f"the key `{name}` is being rotated: {rotation.state}; "
            f"`hopyard maintenance keys abandon {name}` ends a rotation that is stuck"
        )


def _left(rotation: ledger.Rotation, now: ledger.Current | None) -> str:
    """Say what stays in use, and which keys the provider may still have."""
    made = rotation.key_id or (None if rotation.state == "begun" else f"one with the label {rotation.label}")
    left = [one for one in (made, rotation.old_id) if one and (now is None or one != now.id)]
    stays = f"{now.id} stays in use" if now is not None else "there is no key in use"
    return f"{stays}; its provider may still have {' and '.join(left)}" if left else stays
