"""All that is known of a video, stage by stage."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from hopyard_media import outputs
from hopyard_media.assistant import Unanswered, insights_of
from hopyard_media.damage import Damage
from hopyard_media.models import Insights, Picture, Transcript, Video
from hopyard_media.recordings import note_video, worked_on
from hopyard_media.sources import Source, settings
from hopyard_media.speech.engines import Engine
from hopyard_media.speech.transcribing import Wish, shortened, transcript_of
from hopyard_media.video.scenes import moments, scenes_of
from hopyard_media.video.stages import Stages

if TYPE_CHECKING:
    from hopyard import Job

STAGES = ("probe", "sound", "transcript", "scenes", "key_frames", "sheet", "insights")
_NO_OUTPUT = "no `output` in the settings, the root for files"
_STILL = "it has no moving pictures"
_JOINED = "it is several videos, joined: their times begin anew"
_RATE, _HEADER = 16_000, 44


async def process(job: Job, root: str, way: str, wish: Wish, *, sound: bool, insights: bool) -> Video:
    """Return what is known of a video: its metadata, what is said, its scenes, pictures of it, insights.

    A stage that does not apply is skipped, and says why. Raises as `transcribe`.
    """
    engine = wish.checked()
    if sound:
        outputs.wanted()
    async with worked_on(root, way) as source:
        work = _Work(job, source, engine, wish)
        told = [f"{source.facts['format']}, {source.duration:,.1f} s", *source.notes]
        await work.stages.over("probe", "done", "; ".join(told))
        await work.sound(wanted=sound)
        await work.transcript()
        await work.scenes()
        await work.pictures()
        await work.insights(wanted=insights)
        return await work.finished()


class _Work:
    """The stages of one video, in the order in which they need each other."""

    def __init__(self, job: Job, source: Source, engine: Engine, wish: Wish) -> None:
        self.stages = Stages(job, source, STAGES)
        self._job = job
        self._source = source
        self._engine = engine
        self._wish = wish
        facts = source.facts
        self._video = Video(
            root=source.root,
            way=source.way,
            sha256=source.sha256,
            size=source.size,
            duration=source.duration,
            format=facts["format"],
            streams=facts["streams"],
            tags=facts["tags"],
            notes=source.notes,
        )
        self._whole: Transcript | None = None

    async def sound(self, *, wanted: bool) -> None:
        """Write the sound as a file, if that is wanted."""
        if not wanted or not self._source.streams("audio"):
            reason = "it has no sound" if wanted else "nobody asked for it"
            await self.stages.over("sound", "skipped", reason)
            return
        name = outputs.name_of(self._source, ".wav")

        async def work() -> dict[str, Any]:
            end = self._source.duration
            order = {"start": 0.0, "end": end, "most_bytes": int((end + 1) * _RATE * 2) + _HEADER}
            async with outputs.making(name) as descriptor:
                await self._source.do("wave", order, end, out=descriptor)
                return {"file": name, "size": os.fstat(descriptor).st_size}

        found = await self.stages.kept("sound", name, work, _is_there)
        self._video.sound = found["file"]

    async def transcript(self) -> None:
        """Hear what is said. Its parts are kept by themselves."""
        if not self._source.streams("audio"):
            await self.stages.over("transcript", "skipped", "it has no sound")
            return
        made = await transcript_of(self.stages.tell, self._source, self._engine, self._wish)
        self._whole = made
        self._video.transcript = shortened(made)
        known = f"{made.known} of {made.parts} parts were known"
        await self.stages.over("transcript", "known" if made.known == made.parts else "done", known)

    async def scenes(self) -> None:
        """Look for scenes."""
        if not self._source.streams("video") or self._source.joined:
            reason = _JOINED if self._source.streams("video") else _STILL
            await self.stages.over("scenes", "skipped", reason)
            return
        threshold = settings().pictures.threshold
        self._video.scenes = await self._noted(
            "scenes", threshold, lambda: scenes_of(self.stages.tell, self._source)
        )

    async def pictures(self) -> None:
        """Take pictures of scenes, each as a file, and all on a sheet."""
        if not self._video.scenes or settings().output is None:
            reason = self.stages.told[-1].detail if not self._video.scenes else _NO_OUTPUT
            await self.stages.over("key_frames", "skipped", reason)
            await self.stages.over("sheet", "skipped", reason)
            return
        own = settings().pictures
        chosen = moments(self._video.scenes, self._source.duration, own.count)
        found = await self._noted(
            "key_frames",
            [chosen, own.width, self._source.way],
            lambda: self._key_frames(chosen, own.width),
            _are_there,
        )
        self._video.key_frames = [Picture(**one) for one in found]
        shown = [one.at for one in self._video.key_frames]  # without those that are damaged
        sheet = await self.stages.kept(
            "sheet",
            [shown, own.columns, self._source.way],
            lambda: self._sheet(shown, own.columns),
            _is_there,
        )
        self._video.sheet = Picture(**sheet)

    async def _noted(
        self,
        name: str,
        options: Any,
        work: Callable[[], Awaitable[tuple[list[Any], list[str]]]],
        usable: Callable[[Any], Awaitable[bool]] | None = None,
    ) -> list[Any]:
        """Return what a stage finds, and note what it leaves out, also where both are known from before."""

        async def whole() -> dict[str, Any]:
            found, notes = await work()
            return {"found": found, "notes": notes}

        async def all_usable(kept: dict[str, Any]) -> bool:
            return usable is None or await usable(kept["found"])

        # The word is there because results were once kept without notes: those are not known by this key.
        kept = await self.stages.kept(name, ["noted", options], whole, all_usable)
        self._video.notes += kept["notes"]
        return list(kept["found"])

    async def _key_frames(self, chosen: list[float], width: int) -> tuple[list[Any], list[str]]:
        found: list[Any] = []
        damage = Damage()
        for n, at in enumerate(chosen):
            self.stages.tell(n, len(chosen), f"picture {n + 1} of {len(chosen)}")
            name = outputs.name_of(self._source, f".{round(at * 1000):09}ms.jpg")
            with damage.of(at, at):
                found.append({"at": at, **await self._taken("picture", {"at": at, "width": width}, name)})
        damage.check(nothing=not found)
        return found, damage.notes

    async def _sheet(self, chosen: list[float], columns: int) -> dict[str, Any]:
        order = {"moments": chosen, "columns": min(columns, len(chosen))}
        return await self._taken("sheet", order, outputs.name_of(self._source, ".sheet.jpg"))

    async def _taken(self, operation: str, order: dict[str, Any], name: str) -> dict[str, Any]:
        limits = {"most_pixels": settings().limits.max_pixels, "most_bytes": 50_000_000}
        # Between two pictures that stand alone in the file, one is decoded from the first: minutes, at worst.
        async with outputs.making(name) as descriptor:
            made = await self._source.do(operation, {**order, **limits}, 60.0, out=descriptor)
        return {"file": name, **made}

    async def insights(self, *, wanted: bool) -> None:
        """Ask the ai plugin what is in what is said, if it is there."""
        if not wanted or self._whole is None or not self._whole.segments:
            reason = "nothing is said in it" if wanted else "nobody asked for it"
            await self.stages.over("insights", "skipped", reason)
            return
        text, seconds = self._whole.text, settings().ai.seconds

        async def work() -> Any:
            return (await insights_of(self._job, text, seconds)).model_dump(mode="json")

        try:
            found = await self.stages.kept("insights", text, work, _is_by_a_model)
        except Unanswered as error:
            await self.stages.over("insights", "failed", str(error))
        else:
            self._video.insights = Insights(**found)

    async def finished(self) -> Video:
        """Return it, and keep it."""
        self._video.stages = self.stages.told
        await note_video(self._video)
        return self._video


async def _is_by_a_model(kept: dict[str, Any]) -> bool:
    return not kept["offline"]


async def _is_there(kept: dict[str, Any]) -> bool:
    return await outputs.is_there(kept["file"], kept["size"])


async def _are_there(kept: list[dict[str, Any]]) -> bool:
    return all([await _is_there(one) for one in kept])
