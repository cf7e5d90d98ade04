"""A worker that dies within each stage of `media.process_video`: no stage that was finished is done again.

The real worker of a site, whose hopfile holds each job at a stage: its child has answered, or the ai plugin,
and nothing of it is kept yet. When all are held, one in each stage, the worker is killed.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import media_samples as samples
import pytest
from hopyard.ledger import details
from sites import Site, site_in

STAGES = ["probe", "sound", "transcript", "scenes", "key_frames", "sheet", "insights"]
#: Who answers in a stage: an operation of a child, or the ai plugin.
BY = dict(zip(STAGES, ["probe", "wave", "hear", "cuts", "picture", "sheet", "ai"], strict=True))
PICTURES = 2

HOPFILE = '''
import asyncio
import json
import os
import sys
from contextvars import ContextVar
from pathlib import Path

from hopyard import Plugin, sandbox
from hopyard_media.video import processing

HERE = Path(__file__).parent
STAGES = json.loads((HERE / "stages.json").read_text())
WAY = ContextVar("way")


def note(what, name):
    line = json.dumps([WAY.get().removesuffix(".mp4"), what, name]) + "\\n"
    file = os.open(HERE / "noted", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)


async def answered(name):
    """Note that somebody has answered, and never go on where the job is to die in this stage."""
    note("answered", name)
    if STAGES[WAY.get().removesuffix(".mp4")] == name and not (HERE / "go on").exists():
        note("held", name)
        await asyncio.Event().wait()


def watched(real, name=None):
    async def call(*arguments):
        answer = await real(*arguments)
        await answered(name or arguments[1])
        return answer

    return call


async def process(job, root, way, wish, **options):
    WAY.set(way)
    return await real_process(job, root, way, wish, **options)


real_process = processing.process
if "pytest" not in sys.modules:  # in the worker, not in the test
    processing.process = process
    processing.insights_of = watched(processing.insights_of, "ai")
    sandbox.run_told = watched(sandbox.run_told)


class Site(Plugin):
    """It has nothing of its own: the file is read for what it does to others."""
'''


@pytest.fixture
def site(tmp_path: Path, folder: Path, out: Path, valkey_url: str) -> Iterator[Site]:
    """An installation with a video for each stage."""
    place = tmp_path / "site"
    place.mkdir()
    (place / "stages.json").write_text(json.dumps(BY))
    extra = (
        f'[queues.media]\nslots = {len(STAGES)}\n[plugins]\nallow = ["media", "ai", "site"]\n'
        '[plugins.media.settings]\noutput = "out"\n'
        f'[plugins.media.settings.roots]\nin = {{path = "{folder}"}}\n'
        f'out = {{path = "{out}", writable = true}}\n'
    )
    database = f"sqlite:///{tmp_path / 'hopyard.db'}"
    with site_in(place, broker=valkey_url, database=database, hopfile=HOPFILE, extra=extra) as made:
        yield made


def films(folder: Path) -> None:
    """Write a video for each stage, of other content each: what is known of one is not known of another."""
    said = samples.read_wave(samples.speech_folder() / "cards" / "005.wav")
    film = samples.video(folder / "film.mp4", (1, 1), spoken=said)
    for n, stage in enumerate(STAGES):
        unused = b"\0\0\0\x09free" + bytes([n])  # which players pass over
        (folder / f"{stage}.mp4").write_bytes(film.read_bytes() + unused)
    film.unlink()


def noted(site: Site, stage: str, what: str) -> Counter[str]:
    """Count by name what was noted of a kind for the job that is to die in a stage."""
    log = site.folder / "noted"
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return Counter(name for of, kind, name in lines if (of, kind) == (stage, what))


async def saved(site: Site, id_: str) -> list[dict[str, Any]]:
    """Return the stages of a job's checkpoint."""
    checkpoint = (await details.job(site.hopyard.client().database, id_))["checkpoint"]
    return json.loads(checkpoint["data"])["stages"] if checkpoint else []


@pytest.mark.timeout(180)
async def test_killed_within_any_stage_it_repeats_no_finished_one(site: Site, folder: Path) -> None:
    films(folder)
    await asyncio.to_thread(lambda: asyncio.run(site.hopyard.upgrade()))
    worker = await site.worker(stock=False)
    jobs = {
        one: await site.submit("media.process_video", root="in", way=f"{one}.mp4", sound=True)
        for one in STAGES
    }

    async def all_are_held() -> bool:
        return all(noted(site, stage, "held") for stage in STAGES)

    await site.until(all_are_held, "each job is held within its stage")
    worker.send_signal(signal.SIGKILL)
    await asyncio.to_thread(worker.wait)
    for n, stage in enumerate(STAGES):
        assert [one["name"] for one in await saved(site, jobs[stage].id)] == STAGES[:n]

    (site.folder / "go on").touch()
    await site.worker(stock=False)
    for n, stage in enumerate(STAGES):
        video = await site.result(jobs[stage])
        assert [one.name for one in video.stages] == STAGES
        assert {one.state for one in video.stages} == {"done"}
        # The probe is how a recording is opened: each attempt does that.
        first = [1] * (n - 1) if n else []
        assert [one.attempt for one in video.stages[1:]] == first + [2] * (len(STAGES) - 1 - len(first))
        history = await details.job(site.hopyard.client().database, jobs[stage].id)
        assert [one["outcome"] for one in history["attempts"]] == ["lost", "succeeded"]
        again = Counter({"probe": 1, BY[stage]: 1})
        if stage == "probe":
            again = Counter({"probe": 1})
        once = Counter({**dict.fromkeys(BY.values(), 1), "picture": PICTURES})
        assert noted(site, stage, "answered") == once + again, "only what was not finished was done again"
    asked = await site.rows("SELECT id FROM job_history WHERE task = 'ai.analyze_content'")
    assert len(asked) == len(STAGES)
