"""One key takes the place of another: begun → creating → created → verified → published → revoking → done.

Each step is stored before the next begins, so that a rotation goes on where its worker died. Only
`creating` cannot be told from outside: whether the provider has made a key. It is asked for a key with the
label (`find`), and one that is found is revoked, since its secret is lost; or asked again where that makes
no second key (`repeatable`); else the rotation is `unknown` until a person has looked.

Until `published` the old key is the current one. What cannot work is rolled back: the old key is tried, is
published again where the new one was, and only then the new one is revoked. From `revoking` on the old key
may be gone, and there is no way back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final, TypeVar

from hopyard import Category, Job, classify, storage
from hopyard.errors import (
    AuthenticationError,
    InvalidInput,
    JobCancelled,
    LedgerUnavailable,
    RateLimited,
    StaleFence,
)

from hopyard_maintenance.hooks import ApiKey, KeyProvider, KeyRequest
from hopyard_maintenance.keys import calls, ledger
from hopyard_maintenance.keys.calls import Stuck, said
from hopyard_maintenance.keys.ledger import Rotation
from hopyard_maintenance.keys.stores import KeyStore
from hopyard_maintenance.settings import ManagedKey

T = TypeVar("T")

#: Errors after which the provider has certainly made no key.
_REFUSED: Final = (InvalidInput, AuthenticationError, RateLimited)
#: Errors that pass: the step is tried again by the next run.
_PASSING: Final = frozenset({Category.TRANSIENT, Category.RATE_LIMITED, Category.TIMEOUT, Category.RESOURCE})
#: After so many keys that were made and lost the next one has to wait: somebody has to mend their provider.
_MOST_TRIES: Final = 3
#: What is no failure of the key's: the job itself is at its end.
OURS: Final = (StaleFence, LedgerUnavailable, JobCancelled)


class Rotating:
    """One rotation, taken on by one job."""

    def __init__(
        self,
        job: Job,
        key: ManagedKey,
        provider: KeyProvider,
        stores: Callable[[str], KeyStore],
        rotation: Rotation,
        seconds: float,
    ) -> None:
        """Each call of the provider may take `seconds`; `stores` returns a store by name."""
        self._job = job
        self._key = key
        self._provider = provider
        self._store = stores(rotation.store or key.store)
        self._old_store = stores(rotation.old_store or key.store)
        self._rotation = rotation
        self._seconds = seconds
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
        if self._rotation.state in ("published", "revoking"):
            return await self._revoke()
        return self._rotation.error or self._rotation.state

    async def revoke_new(self, reason: str, person: str | None) -> str:
        """Roll back a key that is published but whose predecessor still works, which is tried first.

        Raises `InvalidInput` where that does not work, or cannot be tried: nothing is changed then.
        """
        version = self._rotation.old_version
        try:
            old = await self._old_store.read(self._rotation.name, version) if version is not None else None
            if old is None:
                raise InvalidInput("its store has lost it")
            await calls.within(self._seconds, self._provider.verify(self._request, old))
        except OURS:
            raise
        except Exception as error:
            told = ledger.told(f"the key before cannot be used, so the new one stays: {said(error)}")
            raise InvalidInput(told) from error
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
            key = await calls.within(self._seconds, calls.made(self._provider, self._request))
        except _REFUSED as error:
            await self._move(
                "begun", f"the provider refuses: {error}", ok=False, error=ledger.told(str(error))
            )
            raise Stuck(f"the provider refuses to make a key: {error}") from None
        except Exception as error:  # noqa: BLE001 - whatever it is, the key may be there
            detail = f"the provider has given no key, and may have made it: {said(error)}"
            await self._move("creating", detail, ok=False, error=ledger.told(detail))
            raise Stuck(detail) from None
        await self._still_ours(key)
        await self._outside(self._store.keep(self._rotation.name, self._rotation.id, key))
        await self._move("created", f"its id is {key.id}", key_id=key.id, error=None)

    async def _still_ours(self, key: ApiKey) -> None:
        """Make sure that the job was not given to another worker meanwhile, which makes a key of its own."""
        try:
            await self._hold(f"made {self._rotation.label}")
        except StaleFence:
            await calls.within(self._seconds, self._provider.revoke(self._request, key.id))
            raise

    async def _after_a_death(self) -> None:
        """Find out what came of a `create` whose worker died, or that had no answer."""
        kept = await self._outside(self._store.read(self._rotation.name, self._rotation.id))
        if kept is not None:
            await self._move("created", f"it was kept already: {kept.id}", key_id=kept.id, error=None)
        elif self._provider.repeatable:
            await self._move("begun", "asking again, which makes no second key")
        elif self._provider.find is not None:
            await self._hold("find")
            lost = await self._ask(calls.found(self._provider, self._request))
            if lost is not None:
                await self._ask(self._provider.revoke(self._request, lost))
            detail = f"the key {lost}, whose secret is lost, is revoked" if lost else "no key was made"
            if lost is not None and number_of(self._rotation.label) >= _MOST_TRIES:
                told = f"{_MOST_TRIES} keys in a row were lost; {self._rotation.error or detail}"
                await self._move("rolling back", detail, ok=False, error=ledger.told(told))
            else:
                await self._move("begun", detail, label=next_label(self._rotation.label))
        else:
            detail = "a key may have been made, and its provider cannot be asked"
            await self._move("unknown", detail, ok=False, error=detail)

    # --- bringing it into use

    async def _verify(self) -> None:
        key = await self._kept(self._store, self._rotation.id)
        await self._hold("verify")
        if await self._works(self._provider.verify(self._request, key), "it does not work"):
            await self._move("verified", "it works", error=None)

    async def _publish(self) -> None:
        rotation = self._rotation
        key = await self._kept(self._store, rotation.id)
        await self._hold("publish")
        if self._provider.publish is not None and not await self._works(
            self._provider.publish(self._request, key), "it cannot be published"
        ):
            return
        await self._outside(self._store.publish(rotation.name, rotation.id, key))
        until = await ledger.now() + timedelta(hours=self._key.overlap_hours)
        async with storage.transaction() as tx:
            self._rotation = await ledger.move_in(tx, rotation, "published", revoke_at=until, error=None)
            store = rotation.store or self._key.store
            await ledger.point(tx, rotation.name, rotation.id, key.id, store)
            await ledger.note(
                tx, rotation.name, rotation.id, "published", f"{key.id} is in use", job=self._job
            )

    async def _revoke(self) -> str:
        """End the old key once both have worked long enough."""
        rotation = self._rotation
        if rotation.old_version is None or rotation.old_id is None:
            await self._move("done", "there was no key before")
            return "the first key is in use"
        if rotation.state == "published" and not await is_over(rotation):
            return f"the new key is in use; the old one works until {rotation.revoke_at:%Y-%m-%d %H:%M} UTC"
        await self._hold("revoke")
        if rotation.state == "published":
            await self._move("revoking", f"asking the provider to end {rotation.old_id}")
        await self._ask(self._provider.revoke(self._request, rotation.old_id))
        await self._outside(self._old_store.remove(rotation.name, rotation.old_version))
        await self._move("done", f"{rotation.old_id} is revoked", error=None)
        return "the old key is revoked"

    # --- taking it back

    async def _roll_back(self) -> None:
        rotation = self._rotation
        await self._hold("roll back")
        if rotation.old_version is not None and rotation.old_id is not None:
            await self._publish_old(rotation.old_version, rotation.old_id)
        if rotation.key_id is not None:
            await self._ask(self._provider.revoke(self._request, rotation.key_id))
        await self._outside(self._store.remove(rotation.name, rotation.id))
        detail = f"the key before is in use; {rotation.key_id} is revoked"
        await self._move("rolled back", detail, error=f"rolled back: {rotation.error}")

    async def _publish_old(self, version: str, id_: str) -> None:
        old = await self._kept(self._old_store, version)
        await self._ask(self._provider.verify(self._request, old))
        if self._provider.publish is not None:
            await self._ask(self._provider.publish(self._request, old))
        await self._outside(self._old_store.publish(self._rotation.name, version, old))
        now = await ledger.current(self._rotation.name)
        if now is not None and now.version != version:
            async with storage.transaction() as tx:
                store = self._rotation.old_store or self._key.store
                await ledger.point(tx, self._rotation.name, version, id_, store)

    # --- asking others

    async def _kept(self, store: KeyStore, version: str) -> ApiKey:
        key = await self._outside(store.read(self._rotation.name, version))
        if key is None:
            told = f"{self._rotation.state}: the store has lost version {version} of the key"
            await self._move(self._rotation.state, told, ok=False, error=told)
            raise Stuck(told)
        return key

    async def _works(self, asked: Awaitable[None], otherwise: str) -> bool:
        """Say whether a step of the provider succeeds; where it never will, begin to roll back."""
        try:
            await self._ask(asked)
        except Stuck as error:
            cause = error.__cause__
            if cause is None or classify(cause).category in _PASSING:
                raise
            detail = f"{otherwise}: {said(cause)}"
            await self._move("rolling back", detail, ok=False, error=ledger.told(detail))
            return False
        return True

    async def _ask(self, asked: Awaitable[T]) -> T:
        """Wait for the provider, not for ever. Raises `Stuck` for whatever goes wrong there."""
        return await self._outside(calls.within(self._seconds, asked))

    async def _outside(self, asked: Awaitable[T]) -> T:
        """Wait for a provider or a store. Raises `Stuck` for whatever goes wrong there."""
        try:
            return await asked
        except OURS:
            raise
        except Exception as error:
            told = ledger.told(f"{self._rotation.state}: {said(error)}")
            await self._move(self._rotation.state, told, ok=False, error=told)
            raise Stuck(told) from error


async def is_over(rotation: Rotation) -> bool:
    """Say whether both keys of a published rotation have worked long enough."""
    return rotation.revoke_at is None or await ledger.now() >= rotation.revoke_at


def next_label(label: str) -> str:
    """Return the label of another try: `name-4f2a` is followed by `name-4f2a.2`, that by `name-4f2a.3`."""
    return f"{label.partition('.')[0]}.{number_of(label) + 1}"


def number_of(label: str) -> int:
    """Return the number of the try that a label is of, from 1 on."""
    return int(label.partition(".")[2] or 1)
