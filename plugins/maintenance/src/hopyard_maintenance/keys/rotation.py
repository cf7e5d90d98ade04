"""One key takes the place of another: begun → creating → created → verified → published → done.

Each step is stored before the next begins, so that a rotation goes on where its worker died. Only
`creating` cannot be told from outside: whether the provider has made a key. It is asked for a key with the
label (`find`), and one that is found is revoked, since its secret is lost; or asked again where that makes
no second key (`repeatable`); else the rotation is `unknown` until a person has looked.

Until `published` the old key is the current one. What cannot work is rolled back: the old key is published
again where the new one was, and the new one is revoked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final, TypeVar

from hopyard import Category, Job, classify, conceal, storage
from hopyard.errors import (
    AuthenticationError,
    HopyardError,
    InvalidInput,
    LedgerError,
    RateLimited,
    StaleFence,
    TaskError,
)

from hopyard_maintenance.hooks import ApiKey, KeyProvider, KeyRequest
from hopyard_maintenance.keys import ledger
from hopyard_maintenance.keys.ledger import Rotation
from hopyard_maintenance.keys.stores import KeyStore
from hopyard_maintenance.settings import ManagedKey

T = TypeVar("T")

#: Errors after which the provider has certainly made no key.
_REFUSED: Final = (InvalidInput, AuthenticationError, RateLimited)
#: Errors that pass: the step is tried again by the next run.
_PASSING: Final = frozenset({Category.TRANSIENT, Category.RATE_LIMITED, Category.TIMEOUT, Category.RESOURCE})


class Stuck(TaskError):
    """A rotation cannot go on now; the message says why. The next run tries again, if that can help."""


class Rotating:
    """One rotation, taken on by one job."""

    def __init__(
        self, job: Job, key: ManagedKey, provider: KeyProvider, store: KeyStore, rotation: Rotation
    ) -> None:
        self._job = job
        self._key = key
        self._provider = provider
        self._store = store
        self._rotation = rotation
        self._steps: dict[str, Callable[[], Awaitable[None]]] = {
            "begun": self._create,
            "creating": self._after_a_death,
            "created": self._verify,
            "verified": self._publish,
            "rolling back": self._roll_back,
        }

    async def run(self) -> str:
        """Take all steps that can be taken now; return where it is then, in words.

        Raises `Stuck`, and `StaleFence` where the job was given to another worker.
        """
        while self._rotation.state in self._steps:
            await self._steps[self._rotation.state]()
        if self._rotation.state == "unknown":
            raise Stuck(f"nobody knows whether the provider has made a key: look for {self._rotation.label}")
        if self._rotation.state == "published":
            return await self._revoke()
        return self._rotation.error or self._rotation.state

    async def revoke_new(self, reason: str, person: str | None) -> str:
        """Roll back a key that is published but whose predecessor still works."""
        self._rotation = await ledger.move(
            self._job, self._rotation, "rolling back", reason, ok=False, person=person, error=reason
        )
        return await self.run()

    @property
    def _request(self) -> KeyRequest:
        return KeyRequest(self._rotation.name, self._rotation.label, self._key.options)

    async def _move(self, state: str, detail: str, *, ok: bool = True, **values: Any) -> None:
        self._rotation = await ledger.move(self._job, self._rotation, state, detail, ok=ok, **values)

    async def _hold(self, step: str) -> None:
        """Make sure that the job is still ours before something is done outside."""
        mark = f"{self._rotation.id} {step}"
        if self._job.checkpoint.get("step") != mark:
            await self._job.save(step=mark)

    # --- making it

    async def _create(self) -> None:
        # First whether there is a place for it: a key that cannot be kept is lost.
        await self._outside(self._store.read(self._rotation.name, self._rotation.id))
        await self._move("creating", f"asking the provider for {self._rotation.label}")
        try:
            key = await self._provider.create(self._request)
        except _REFUSED as error:
            await self._move(
                "begun", f"the provider refuses: {error}", ok=False, error=ledger.told(str(error))
            )
            raise Stuck(f"the provider refuses to make a key: {error}") from None
        except Exception as error:  # noqa: BLE001 - whatever it is, the key may be there
            detail = f"the provider has not answered, and may have made it: {_said(error)}"
            await self._move("creating", detail, ok=False, error=ledger.told(detail))
            raise Stuck(detail) from None
        conceal(key.secret.get_secret_value())
        await self._still_ours(key)
        await self._outside(self._store.keep(self._rotation.name, self._rotation.id, key))
        await self._move("created", f"its id is {key.id}", key_id=key.id, error=None)

    async def _still_ours(self, key: ApiKey) -> None:
        """Make sure that the job was not given to another worker meanwhile, which makes a key of its own."""
        try:
            await self._hold(f"made {self._rotation.label}")
        except StaleFence:
            await self._provider.revoke(self._request, key.id)
            raise

    async def _after_a_death(self) -> None:
        """Find out what came of a `create` whose worker died, or that had no answer."""
        kept = await self._store.read(self._rotation.name, self._rotation.id)
        if kept is not None:
            await self._move("created", f"it was kept already: {kept.id}", key_id=kept.id, error=None)
        elif self._provider.repeatable:
            await self._move("begun", "asking again, which makes no second key")
        elif self._provider.find is not None:
            await self._hold("find")
            lost = await self._outside(self._provider.find(self._request))
            if lost is not None:
                await self._outside(self._provider.revoke(self._request, lost))
            detail = f"the key {lost}, whose secret is lost, is revoked" if lost else "no key was made"
            await self._move("begun", detail, label=next_label(self._rotation.label))
        else:
            detail = "a key may have been made, and its provider cannot be asked"
            await self._move("unknown", detail, ok=False, error=detail)

    # --- bringing it into use

    async def _verify(self) -> None:
        key = await self._kept(self._rotation.id)
        await self._hold("verify")
        if await self._works(self._provider.verify(self._request, key), "it does not work"):
            await self._move("verified", "it works", error=None)

    async def _publish(self) -> None:
        rotation = self._rotation
        key = await self._kept(rotation.id)
        await self._hold("publish")
        if self._provider.publish is not None and not await self._works(
            self._provider.publish(self._request, key), "it cannot be published"
        ):
            return
        await self._outside(self._store.publish(rotation.name, rotation.id, key))
        until = storage.utcnow() + timedelta(hours=self._key.overlap_hours)
        async with storage.transaction() as tx:
            self._rotation = await ledger.move_in(tx, rotation, "published", revoke_at=until, error=None)
            await _point(tx, rotation.name, rotation.id, key.id)
            await ledger.note(
                tx, rotation.name, rotation.id, "published", f"{key.id} is in use", job=self._job
            )

    async def _revoke(self) -> str:
        """End the old key once both have worked long enough."""
        rotation = self._rotation
        if rotation.old_version is None or rotation.old_id is None:
            await self._move("done", "there was no key before")
            return "the first key is in use"
        if rotation.revoke_at is not None and storage.utcnow() < rotation.revoke_at:
            return f"the new key is in use; the old one works until {rotation.revoke_at:%Y-%m-%d %H:%M} UTC"
        await self._hold("revoke")
        await self._outside(self._provider.revoke(self._request, rotation.old_id))
        await self._outside(self._store.remove(rotation.name, rotation.old_version))
        await self._move("done", f"{rotation.old_id} is revoked", error=None)
        return "the old key is revoked"

    # --- taking it back

    async def _roll_back(self) -> None:
        rotation = self._rotation
        await self._hold("roll back")
        if rotation.old_version is not None and rotation.old_id is not None:
            await self._publish_old(rotation.old_version, rotation.old_id)
        if rotation.key_id is not None:
            await self._outside(self._provider.revoke(self._request, rotation.key_id))
        await self._outside(self._store.remove(rotation.name, rotation.id))
        detail = f"the key before is in use; {rotation.key_id} is revoked"
        await self._move("rolled back", detail, error=f"rolled back: {rotation.error}")

    async def _publish_old(self, version: str, id_: str) -> None:
        old = await self._kept(version)
        if self._provider.publish is not None:
            await self._outside(self._provider.publish(self._request, old))
        await self._outside(self._store.publish(self._rotation.name, version, old))
        now = await ledger.current(self._rotation.name)
        if now is not None and now.version != version:
            async with storage.transaction() as tx:
                await _point(tx, self._rotation.name, version, id_)

    # --- asking others

    async def _kept(self, version: str) -> ApiKey:
        key = await self._outside(self._store.read(self._rotation.name, version))
        if key is None:
            raise Stuck(f"the store has lost version {version} of the key")
        return key

    async def _works(self, asked: Awaitable[None], otherwise: str) -> bool:
        """Say whether a step of the provider succeeds; where it never will, begin to roll back."""
        try:
            await self._outside(asked)
        except Stuck as error:
            cause = error.__cause__
            if cause is None or classify(cause).category in _PASSING:
                raise
            detail = f"{otherwise}: {_said(cause)}"
            await self._move("rolling back", detail, ok=False, error=ledger.told(detail))
            return False
        return True

    async def _outside(self, asked: Awaitable[T]) -> T:
        """Wait for a provider or a store. Raises `Stuck` for whatever goes wrong there."""
        try:
            return await asked
        except LedgerError:
            raise
        except Exception as error:
            told = ledger.told(f"{self._rotation.state}: {_said(error)}")
            await self._move(self._rotation.state, told, ok=False, error=told)
            raise Stuck(told) from error


def next_label(label: str) -> str:
    """Return the label of another try: `name-4f2a` is followed by `name-4f2a.2`, that by `name-4f2a.3`."""
    base, _, number = label.partition(".")
    return f"{base}.{int(number or 1) + 1}"


async def _point(tx: storage.Transaction, name: str, version: str, id_: str) -> None:
    """Make a version the current one."""
    await tx.execute(
        f"INSERT INTO maintenance_key (name, version, key_id, published) VALUES ($1, $2, $3, {tx.sql.now}) "
        "ON CONFLICT (name) DO UPDATE SET version = excluded.version, key_id = excluded.key_id, "
        "published = excluded.published",
        name,
        version,
        id_,
    )


def _said(error: BaseException) -> str:
    return str(error) if isinstance(error, HopyardError) else f"{type(error).__name__}: {error}"
