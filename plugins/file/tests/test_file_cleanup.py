"""Old temporary files go, and nothing else: no links, nothing open, nothing new, never more than may go."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hopyard import cleaning, portal, storage
from hopyard.testing import DieAfter, Hop
from hopyard_file import File

HOUR = 3600.0


def made(path: Path, age: float, size: int = 10) -> Path:
    """Make a file that was changed so many hours ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    then = time.time() - age * HOUR
    os.utime(path, (then, then))
    return path


def settings(folder: Path, *places: dict[str, Any], **more: Any) -> Any:
    given = [{"root": "temp", "patterns": ["*"], "hours": 24} | place for place in places]
    return {
        "plugins.file.settings.roots.temp": {"path": str(folder), "writable": True},
        "plugins.file.settings.cleanup": {"places": given, **more},
        "people.ops": {},
        "alerts.to": ["ops"],
    }


def names(folder: Path) -> list[str]:
    return sorted(str(one.relative_to(folder)) for one in folder.rglob("*"))


def clean(hop: Hop, **arguments: Any) -> Any:
    outcome = hop.run("file.cleanup_temp_files", **arguments)
    assert outcome.ok, outcome.error
    return outcome.result()


def test_old_files_that_match_go(folder: Path, tmp_path: Path) -> None:
    made(folder / "old.tmp", 25)
    made(folder / "sub" / "old.tmp", 30)
    made(folder / "new.tmp", 23)
    made(folder / "old.txt", 100)
    with Hop(File, folder=tmp_path / "h", settings=settings(folder, {"patterns": ["*.tmp"]})) as hop:
        dry = clean(hop, dry_run=True)
        assert (dry.due, dry.places[0].deleted) == (2, 0)
        assert "2 temporary files (0.0 MB) would be deleted." in dry.summary
        assert len(names(folder)) == 5
        report = clean(hop)
        assert (report.places[0].deleted, report.places[0].freed_bytes) == (2, 20)
        assert names(folder) == ["new.tmp", "old.txt", "sub"]
        assert clean(hop).places[0].due == 0


def test_links_lead_nowhere_and_open_files_stay(folder: Path, tmp_path: Path) -> None:
    outside = made(tmp_path / "outside" / "old", 100)
    (folder / "link").symlink_to(outside)
    (folder / "linked").symlink_to(outside.parent)
    os.utime(folder / "link", (0, 0), follow_symlinks=False)
    with (
        made(folder / "open", 100).open("rb"),
        Hop(File, folder=tmp_path / "h", settings=settings(folder, {})) as hop,
    ):
        report = clean(hop).places[0]
        assert (report.deleted, report.open) == (0, 1)
    assert outside.exists()
    assert names(folder) == ["link", "linked", "open"]


def test_a_root_that_is_a_link_is_refused_and_people_are_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    made(folder / "old", 100)
    with Hop(File, folder=tmp_path / "h", settings=settings(tmp_path / "link", {})) as hop:
        assert "link is a link" in clean(hop).places[0].problem
        assert [one["person"] for one in hop.notifications] == ["ops"]
    assert names(folder) == ["old"]


def test_more_than_may_go_goes_only_when_it_is_confirmed(folder: Path, tmp_path: Path) -> None:
    for n in range(10):
        made(folder / str(n), 100)
    with Hop(File, folder=tmp_path / "h", settings=settings(folder, {}, max_share=0.5, small=3)) as hop:
        report = clean(hop)
        assert "are past their age, more than 50 %" in report.places[0].refused
        assert len(names(folder)) == 10
        assert "were not cleaned up" in hop.notifications[-1]["title"]
        assert clean(hop, confirm=9).places[0].deleted == 0
        assert clean(hop, confirm=10).places[0].deleted == 10


def test_the_oldest_go_until_the_rest_fits(folder: Path, tmp_path: Path) -> None:
    for n in range(5):
        made(folder / str(n), n, size=8192)
    with Hop(
        File, folder=tmp_path / "h", settings=settings(folder, {"hours": None, "max_bytes": 20_000})
    ) as hop:
        assert clean(hop).places[0].deleted == 3
    assert names(folder) == ["0", "1"]


def test_empty_directories_go_where_that_is_wanted(folder: Path, tmp_path: Path) -> None:
    for name in ("old", "new", "full"):
        (folder / name).mkdir()
    made(folder / "full" / "young", 1)
    for name in ("old", "full"):
        os.utime(folder / name, (0, 0))
    with Hop(File, folder=tmp_path / "h", settings=settings(folder, {"empty_directories": True})) as hop:
        assert clean(hop, dry_run=True).places[0].directories == 1
        assert clean(hop).places[0].directories == 1
    assert names(folder) == ["full", "full/young", "new"]


def test_what_is_replaced_between_look_and_deletion_stays(folder: Path, tmp_path: Path) -> None:
    """A race: what has been put in the place of a file or directory since it was looked at is another one."""
    made(folder / "changed", 100)
    made(folder / "sub" / "old", 100)
    outside = made(tmp_path / "outside" / "old", 100)
    files = cleaning.OldFiles(str(folder), ("*",), seconds=86_400)
    plan = cleaning.look(files, cleaning.Cleaned(), time.time(), 100, lambda: False)
    assert plan.report.due == 2
    made(folder / "changed", 0)
    (folder / "sub").rename(tmp_path / "moved")
    (folder / "sub").symlink_to(outside.parent)
    cleaning.delete(plan, lambda: False, spare_open=False)
    assert (plan.report.deleted, plan.report.changed) == (0, 2)
    assert outside.exists()


def test_an_attempt_that_goes_on_does_not_do_a_place_twice(folder: Path, tmp_path: Path) -> None:
    for place in ("one", "two"):
        made(folder / place / "old", 100)
    given = settings(folder, {"under": "one"}, {"under": "two"})
    with Hop(File, folder=tmp_path / "h", settings=given) as hop:
        hop.inject(DieAfter(save=1))
        outcome = hop.run("file.cleanup_temp_files")
        report = outcome.result()
        assert outcome.attempt == 2
        assert [(one.place, one.deleted) for one in report.places] == [("temp:one", 1), ("temp:two", 1)]


def test_what_is_kept_of_documents_goes_when_its_time_is_over(folder: Path, tmp_path: Path) -> None:
    (folder / "a.txt").write_text("text")
    with Hop(File, folder=tmp_path / "h", settings=settings(folder)) as hop:
        for way in ("a.txt", "b.txt"):
            (folder / way).write_text(f"text of {way}")
            hop.run("file.process_document", root="temp", way=way)
        hop.run("file.batch_process_files", root="temp", patterns=["b*"])
        clean(hop)
        assert len(hop.fetch("SELECT 1 FROM file_content")) == 2
        portal.run(storage.execute("UPDATE file_document SET at = at - 40000000000000 WHERE way = 'a.txt'"))
        for table in ("file_content", "file_batch"):
            column = "created" if table == "file_batch" else "at"
            portal.run(storage.execute(f"UPDATE {table} SET {column} = {column} - 40000000000000"))
        clean(hop)
        assert [row["way"] for row in hop.fetch("SELECT way FROM file_document")] == ["b.txt"]
        assert [row["text"] for row in hop.fetch("SELECT text FROM file_content")] == ["text of b.txt"]
        assert hop.fetch("SELECT * FROM file_batch_item") == []


def test_it_runs_every_night_at_two_where_a_place_is_declared(folder: Path, tmp_path: Path) -> None:
    with Hop(File, folder=tmp_path / "h", settings=settings(folder, {})) as hop:
        monday = datetime(2027, 3, 1)
        due = hop.due_between("file.cleanup_temp_files", monday, monday + timedelta(days=2))
        assert [f"{at:%d %H:%M}" for at in due] == ["01 02:00", "02 02:00"]


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ({"hours": None}, "expected `hours`, `max_bytes` or both"),
        ({"root": "other"}, "found the root `other`, expected one of `roots`: `temp`"),
        ({"under": "../x"}, "expected names below the root"),
        ({"patterns": ["a/b"]}, "expected a pattern for the names of files"),
    ],
)
def test_settings_that_are_wrong_are_refused(folder: Path, tmp_path: Path, place: Any, reason: str) -> None:
    from hopyard.errors import HopyardError

    with pytest.raises(HopyardError, match=reason.replace("`", ".")):
        Hop(File, folder=tmp_path / "h", settings=settings(folder, place))
