"""The stages of the work on a video: each is done once, and kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal

from hopyard_media import store
from hopyard_media.models import Stage
from hopyard_media.sources import Source

if TYPE_CHECKING:
    from hopyard import Job


class Stages:
    """Does stages of a job, and says in its checkpoint and its progress which of them are done."""

    def __init__(self, job: Job, source: Source, names: tuple[str, ...]) -> None:
        self._job = job
        self._source = source
        self._names = names
        self._before = {one["name"]: Stage(**one) for one in job.checkpoint.get("stages", ())}
        self.told: list[Stage] = []

    def tell(self, current: float, total: float | None = None, message: str = "") -> None:
        """Say how far the stage is that is being done."""
        share = current / total if total else 0.0
        name = self._names[min(len(self.told), len(self._names) - 1)]
        self._job.progress(len(self.told) + min(1.0, share), len(self._names), f"{name}: {message}")

    async def kept(
        self,
        name: str,
        options: Any,
        work: Callable[[], Awaitable[Any]],
        usable: Callable[[Any], Awaitable[bool]] | None = None,
    ) -> Any:
        """Return the result of a stage as JSON-like values: the kept one, if that is usable, or a new one."""
        key = store.digest("stage", name, options)
        found = await store.one(self._source.sha256, key, name)
        if found is not None and (usable is None or await usable(found)):
            await self.over(name, "known")
            return found
        self.tell(0, 1, "begun")
        found = await work()
        await store.keep(self._source.sha256, key, name, found)
        await self.over(name, "done")
        return found

    async def over(
        self, name: str, state: Literal["done", "known", "skipped", "failed"], detail: str = ""
    ) -> None:
        """Note what became of a stage. What an earlier attempt of the job has done stays done."""
        before = self._before.get(name)
        if state == "known" and before is not None and before.state == "done":
            self.told.append(before)
        else:
            self.told.append(Stage(name=name, state=state, attempt=self._job.attempt, detail=detail[:1000]))
        self._job.progress(len(self.told), len(self._names), f"{name} is {self.told[-1].state}")
        await self._job.save(stages=[one.model_dump() for one in self.told])
