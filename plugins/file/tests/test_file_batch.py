"""Many files: each has its own error, progress has files and bytes, and a batch goes on where it was."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import file_samples as samples
import pytest
from hopyard.testing import CancelAfter, DieAfter, Hop
from hopyard_file import File
from hopyard_file.telling import Progress, duration

Put = Callable[[str, bytes], str]
COUNT = int(os.environ.get("HOPYARD_INTERNAL_FILE_BATCH", "12"))


def batch(hop: Hop, **arguments: Any) -> Any:
    return hop.run("file.batch_process_files", root="in", **arguments)


def test_each_file_has_its_own_error(hop: Hop, put: Put, folder: Path) -> None:
    for n in range(COUNT):
        put(f"a/{n}.txt", f"text {n}".encode())
    put("a/bad.pdf", samples.looping_pdf())
    put("a/bomb.xlsx", samples.xlsx_of_a_billion_cells())
    (folder / "a" / "link.txt").symlink_to("/etc/passwd")
    put("other.bin", b"not asked for")
    found = batch(hop, under="a", patterns=["*.txt", "*.pdf", "*.xlsx"]).result()
    assert (found.files, found.done, found.refused, found.failed) == (COUNT + 2, COUNT, 2, 0)
    assert {one.way for one in found.errors} == {"a/bad.pdf", "a/bomb.xlsx"}
    assert found.summary.endswith("2 were refused and 0 failed.")
    assert len(hop.run("file.list_documents", limit=1000).result()) == COUNT + 2


def test_files_by_name_and_those_that_are_not_there(hop: Hop, put: Put) -> None:
    ways = [put("a.txt", b"a"), "gone.txt", put("b.txt", b"b"), "a.txt"]
    found = batch(hop, ways=ways).result()
    assert (found.files, found.done, found.refused) == (3, 2, 1)
    assert found.errors[0].way == "gone.txt"
    assert "expected names below the root" in batch(hop, ways=["../x"]).error["message"]
    assert "there is no nowhere in the root" in batch(hop, under="nowhere").error["message"]


def test_progress_has_files_and_bytes(hop: Hop, put: Put) -> None:
    for n in range(3):
        put(f"{n}.txt", b"x" * 1_000_000)
    outcome = batch(hop)
    current, total, words = outcome.progress[-1]
    assert (current, total) == (3_000_000, 3_000_000)
    assert words.startswith("3 of 3 files, 3.0 of 3.0 MB")


@pytest.mark.parametrize(
    ("done", "seconds", "left"),
    [(10, 5.0, 45.0), (50, 5.0, 5.0), (100, 5.0, 0.0), (0, 5.0, None), (50, 0.1, None)],
)
def test_time_left_is_by_bytes(done: int, seconds: float, left: float | None) -> None:
    progress = Progress(None, 10, 100)
    progress.step(files=1, bytes=done)
    assert progress.seconds_left(progress._begun + seconds) == left


def test_time_left_does_not_count_what_an_earlier_attempt_did() -> None:
    progress = Progress(None, 10, 100, files_done=5, bytes_done=50)
    progress.step(files=1, bytes=10)
    assert progress.seconds_left(progress._begun + 2) == 8.0
    assert [duration(one) for one in (5, 200, 9000)] == ["5 s", "3 min", "2.5 h"]


def test_a_batch_that_dies_goes_on_and_reads_no_file_twice(hop: Hop, put: Put) -> None:
    for n in range(COUNT):
        put(f"{n}.txt", f"text {n}".encode())
    hop.inject(DieAfter(save=1))
    outcome = batch(hop)
    assert (outcome.attempt, outcome.result().done) == (2, COUNT)
    rows = hop.fetch("SELECT COUNT(*) AS n FROM file_batch_item WHERE state = 'done'")
    assert rows[0]["n"] == COUNT


def test_a_cancelled_batch_ends(hop: Hop, put: Put) -> None:
    put("a.txt", b"a")
    hop.inject(CancelAfter(save=1))
    assert batch(hop).state == "cancelled"


def test_too_many_files_are_refused(put: Put, roots: dict[str, Any], tmp_path: Path) -> None:
    for n in range(4):
        put(f"{n}.txt", b"x")
    settings = {**roots, "plugins.file.settings.documents": {"max_files": 3}}
    with Hop(File, folder=tmp_path / "few", settings=settings) as hop:
        assert "there are more than 3 files" in batch(hop).error["message"]


def test_names_that_are_no_text_are_told(hop: Hop, put: Put, folder: Path) -> None:
    put("a.txt", b"a")
    with open(os.fsencode(folder) + b"/\xff.txt", "wb") as file:
        file.write(b"x")
    found = batch(hop).result()
    assert (found.files, found.done) == (1, 1)
    assert found.notes == ["\\xff.txt: is a name that is no UTF-8"]
