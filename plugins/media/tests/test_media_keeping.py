"""What is kept of recordings that change, of batches that go on, and where files go."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import media_samples as samples
import pytest
from hopyard import jobs, portal, storage
from hopyard.errors import PayloadError
from hopyard.testing import Hop


def test_another_content_has_nothing_of_the_one_before(hop: Hop, folder: Path) -> None:
    samples.video(folder / "a.mkv", [0.4])
    hop.run("media.process_video", root="in", way="a.mkv", insights=False).result()
    assert hop.run("media.show_recording", root="in", way="a.mkv").result().video is not None
    (folder / "a.mkv").unlink()
    samples.sound(folder / "a.mkv", samples.silence(1), codec="flac")
    hop.run("media.transcribe_audio", root="in", way="a.mkv").result()
    known = hop.run("media.show_recording", root="in", way="a.mkv").result()
    assert (known.video, known.recording.processed) == (None, False)
    assert known.transcript.sha256 == known.recording.sha256


@pytest.mark.parametrize("days", [-1, 4_000, float("nan")])
def test_days_are_checked(hop: Hop, days: float) -> None:
    with pytest.raises(PayloadError, match=r"days|NaN"):
        hop.run("media.forget_old_results", days=days)


def test_a_batch_that_goes_on_keeps_its_place(
    hop: Hop, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples.sound(folder / "a.wav", samples.silence(1))
    hop.run("media.batch_transcribe_videos", root="in", ways=["a.wav"]).result()

    async def none(_: Iterable[str]) -> dict[str, jobs.Ended]:
        return {}

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "ended", none)  # as if it went on
        assert hop.run("media.forget_old_results", days=0).result().batches == 0
    assert hop.run("media.forget_old_results", days=0).result().batches == 1


def test_a_batch_of_which_nobody_knows_is_over_after_sixty_days(
    hop: Hop, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the history of jobs is kept for less time than recordings are."""
    samples.sound(folder / "a.wav", samples.silence(1))
    hop.run("media.batch_transcribe_videos", root="in", ways=["a.wav"]).result()

    async def none(_: Iterable[str]) -> dict[str, jobs.Ended]:
        return {}

    async def age(days: int) -> None:
        words = storage.sql()
        await storage.execute(
            f"UPDATE media_batch SET made = {words.minus(words.now, '$1')}", days * 86_400.0
        )

    monkeypatch.setattr(jobs, "ended", none)
    for days, gone in ((59, 0), (61, 1)):
        portal.run(age(days))
        assert hop.run("media.forget_old_results", days=1).result().batches == gone
    assert hop.fetch("SELECT job FROM media_batch") == []


def test_a_directory_for_files_that_is_not_there_is_told_before_any_work(
    hop: Hop, folder: Path, out: Path, children: list[tuple[str, Any]]
) -> None:
    samples.sound(folder / "a.wav", samples.silence(1))
    out.rmdir()
    error = hop.run("media.transcribe_audio", root="in", way="a.wav", formats=["srt"]).error
    assert error is not None
    assert error["message"].endswith(f"expected a directory that may be written at {out}")
    assert children == []


def test_names_of_files_have_no_control_characters(hop: Hop, folder: Path, out: Path) -> None:
    way = "a\nb\x1b[31m\u202e.wav"
    samples.sound(folder / "a.wav", samples.silence(1)).rename(folder / way)
    made = hop.run("media.transcribe_audio", root="in", way=way, formats=["srt", "srt"]).result()
    assert made.summary.isprintable()
    assert all(name.isprintable() for name in os.listdir(out))


def test_a_root_that_nobody_declared_is_told(hop: Hop) -> None:
    error = hop.run("media.list_recordings", root="inn").error
    assert error is not None
    assert error["message"] == "root: found 'inn', expected one of: in, out"
    assert hop.run("media.list_recordings", root="in").result() == []


def test_a_name_that_no_file_can_have_is_refused(hop: Hop) -> None:
    error = hop.run("media.transcribe_audio", root="in", way="n" * 300 + ".wav").error
    assert error is not None
    assert error["message"].endswith(": expected names of at most 255 bytes")


def test_a_file_that_is_written_and_set_back_has_changed(hop: Hop, folder: Path) -> None:
    from hopyard_media.sources import _state

    path = samples.sound(folder / "a.wav", samples.silence(1))
    before = os.stat(path)
    with open(path, "r+b") as file:
        state = _state(file.fileno())
        file.seek(100)
        file.write(b"other")
        file.flush()
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert _state(file.fileno()) != state
