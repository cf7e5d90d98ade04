"""Cleaning up files: by age and size, only in declared places, never more than may go unasked."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hopyard.testing import CancelAfter, DieAfter, Hop
from hopyard_maintenance import Maintenance, cleanup
from hopyard_maintenance.models import CleanupReport
from pydantic import ValidationError

LOGS, SESSIONS = "maintenance.cleanup_old_logs", "maintenance.cleanup_old_sessions"
DAY = 86_400.0


def write(file: Path, *, days: float = 0, size: int = 10) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x" * size)
    at = time.time() - days * DAY
    os.utime(file, (at, at))
    return file


def left(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A place with three old logs and two new ones, and what is no log."""
    place = tmp_path / "logs"
    for name, days in (("a.log", 40), ("b.log.1", 35), ("sub/c.log", 31), ("d.log", 1), ("e.log", 0)):
        write(place / name, days=days)
    write(place / "notes.txt", days=400)
    return place


@pytest.fixture
def hop(tmp_path: Path) -> Any:
    """Makes an installation with settings of the plugin's."""
    opened: list[Hop] = []

    def make(**settings: Any) -> Hop:
        given = {"plugins.maintenance.settings": settings, "people.ops": {}, "alerts.to": ["ops"]}
        made = Hop(Maintenance, folder=tmp_path / f"hop{len(opened)}", settings=given)
        opened.append(made)
        return made

    yield make
    for one in opened:
        one.close()


def place(folder: Path, **more: Any) -> dict[str, Any]:
    return {"path": str(folder), "patterns": ["*.log", "*.log.*"], "days": 30, **more}


def test_old_logs_go_and_nothing_else(hop: Any, logs: Path) -> None:
    outcome = hop(logs=[place(logs)]).run(LOGS)
    report: CleanupReport = outcome.result()
    assert left(logs) == {"d.log", "e.log", "notes.txt"}
    (one,) = report.places
    assert (one.seen, one.matching, one.due, one.deleted, one.freed_bytes) == (6, 5, 3, 3, 30)
    assert report.summary == "3 files (0.0 MB) were deleted."


def test_a_dry_run_says_what_would_go_and_deletes_nothing(hop: Any, logs: Path) -> None:
    before = left(logs)
    report = hop(logs=[place(logs)]).run(LOGS, dry_run=True).result()
    assert left(logs) == before
    (one,) = report.places
    assert (one.due, one.deleted) == (3, 0)
    assert one.examples == ["a.log", "b.log.1", "sub/c.log"]
    assert report.summary == "3 files (0.0 MB) would be deleted."


def test_the_oldest_go_until_the_rest_fits(hop: Any, tmp_path: Path) -> None:
    folder = tmp_path / "sized"
    for n in range(6):
        write(folder / f"{n}.log", days=10 - n, size=1000)
    report = hop(logs=[place(folder, days=None, max_bytes=2500)]).run(LOGS).result()
    assert left(folder) == {"4.log", "5.log"}
    assert report.places[0].freed_bytes == 4000


def test_age_and_size_together(hop: Any, tmp_path: Path) -> None:
    folder = tmp_path / "both"
    for n, days in enumerate((50, 20, 10, 1)):
        write(folder / f"{n}.log", days=days, size=1000)
    hop(logs=[place(folder, max_bytes=2000)]).run(LOGS).result()
    assert left(folder) == {"2.log", "3.log"}


def test_no_place_is_no_fault(hop: Any) -> None:
    report = hop().run(LOGS).result()
    assert report.summary == "No place is declared in the settings, so there is nothing to clean up."


def test_more_than_usual_is_refused_and_told_once_until_it_is_confirmed(hop: Any, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    for n in range(10):
        write(folder / f"{n}.log", days=40 if n < 8 else 1)
    made = hop(logs=[place(folder)], small=5)
    for _ in range(2):
        report = made.run(LOGS).result()
        assert report.places[0].refused == (
            f"8 of 10 files in {folder} are past their age, more than 50 %: "
            "confirm the number of all that is due"
        )
        assert report.due == 8
        assert len(left(folder)) == 10
    assert made.run(LOGS, confirm=7).result().places[0].refused is not None  # less than is due by now
    assert len(made.notifications) == 1
    assert "cleanup of logs" in made.notifications[0]["title"]
    assert made.run(LOGS, confirm=8).result().places[0].deleted == 8
    assert left(folder) == {"8.log", "9.log"}
    assert [one["title"].endswith("is well again") for one in made.notifications] == [False, True]


def test_few_files_may_all_go(hop: Any, tmp_path: Path) -> None:
    folder = tmp_path / "few"
    write(folder / "only.log", days=40)
    assert hop(logs=[place(folder)]).run(LOGS).result().places[0].deleted == 1


def test_a_place_that_is_not_there_or_is_a_link_costs_itself(hop: Any, tmp_path: Path, logs: Path) -> None:
    (tmp_path / "link").symlink_to(logs)
    outcome = hop(logs=[place(tmp_path / "none"), place(tmp_path / "link"), place(logs)]).run(LOGS)
    none, link, real = outcome.result().places
    assert none.troubles == [f"{tmp_path / 'none'}: No such file or directory"]
    assert "is a link" in link.troubles[0]
    assert link.deleted == 0
    assert real.deleted == 3
    assert (none.problem, link.problem is None, real.problem) == (none.troubles[0], False, None)
    assert f"Not cleaned up: {none.problem}; " in outcome.result().summary


def test_a_place_that_cannot_be_cleaned_up_is_told_as_that(hop: Any, tmp_path: Path) -> None:
    made = hop(logs=[place(tmp_path / "none")])
    for _ in range(2):
        made.run(LOGS)
    told = made.fetch("SELECT title, body FROM notification")
    assert [row["body"] for row in told] == [f"{tmp_path / 'none'}: No such file or directory"]
    write(tmp_path / "none" / "a.log")
    made.run(LOGS)
    told = made.fetch("SELECT body FROM notification ORDER BY created")
    assert told[-1]["body"] == "it was cleaned up"


def test_files_that_cannot_be_deleted_are_told(hop: Any, logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any, **kwargs: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("hopyard.trees.os.unlink", fails)
    report = hop(logs=[place(logs)]).run(LOGS).result()
    assert report.places[0].failed == 3
    assert "3 files that are due could not be deleted: " in report.summary


def test_links_out_of_the_place_delete_nothing_there(hop: Any, tmp_path: Path) -> None:
    """As an attacker would who may write into a directory of logs."""
    folder, outside = tmp_path / "hostile", tmp_path / "outside"
    write(outside / "shadow.log", days=400)
    write(outside / "deep" / "er.log", days=400)
    folder.mkdir()
    (folder / "a.log").symlink_to(outside / "shadow.log")
    (folder / "sub").symlink_to(outside)
    (folder / "up").symlink_to("..")
    os.link(outside / "shadow.log", folder / "hard.log")  # takes this name away, and not the other one
    report = hop(logs=[place(folder)]).run(LOGS).result()
    assert left(outside) == {"shadow.log", "deep/er.log"}
    assert {path.name for path in folder.iterdir()} == {"a.log", "sub", "up"}
    assert (report.places[0].deleted, report.places[0].freed_bytes) == (1, 0)


def test_a_directory_swapped_for_a_link_between_look_and_deletion(
    hop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hopyard import cleaning

    folder, outside = tmp_path / "race", tmp_path / "outside"
    write(folder / "sub" / "old.log", days=40)
    write(outside / "old.log", days=40)
    delete = cleaning.delete

    def swap(plan: Any, stop: Callable[[], bool], *, spare_open: bool) -> None:
        (folder / "sub").rename(tmp_path / "moved")
        (folder / "sub").symlink_to(outside)
        delete(plan, stop, spare_open=spare_open)

    monkeypatch.setattr(cleaning, "delete", swap)
    report = hop(logs=[place(folder)]).run(LOGS).result()
    assert left(outside) == {"old.log"}
    assert left(tmp_path / "moved") == {"old.log"}
    assert (report.places[0].deleted, report.places[0].changed) == (0, 1)


def test_open_files_are_spared(hop: Any, logs: Path) -> None:
    made = hop(logs=[place(logs)])
    with (logs / "a.log").open():
        report = made.run(LOGS).result()
    assert (report.places[0].open, report.places[0].deleted) == (1, 2)
    assert "a.log" in left(logs)
    with (logs / "a.log").open():
        hop(logs=[place(logs)], spare_open=False).run(LOGS)
    assert "a.log" not in left(logs)


def test_one_run_looks_at_so_many_files(hop: Any, tmp_path: Path) -> None:
    folder = tmp_path / "crowd"
    for n in range(50):
        write(folder / f"{n}.log", days=40)
    made = hop(logs=[place(folder)], max_files=20, small=100)
    for expected in (30, 10, 0):
        report = made.run(LOGS).result()
        assert report.places[0].more == (expected > 0)
        assert ("more may be due: the next run goes on" in report.summary) == (expected > 0)
        assert len(left(folder)) == expected


def test_all_files_count_and_the_oldest_of_them_go(hop: Any, tmp_path: Path) -> None:
    folder = tmp_path / "crowd"
    for n in range(50):  # whatever order the directory has them in
        write(folder / f"{n * 7 % 50}.log", days=n * 7 % 50 + 1, size=1000)
    made = hop(logs=[place(folder, days=None, max_bytes=25_000)], max_files=20)
    for expected in (30, 25, 25):
        made.run(LOGS).result()
        assert left(folder) == {f"{n}.log" for n in range(expected)}


def test_most_files_past_their_age_are_refused_however_few_one_run_deletes(hop: Any, tmp_path: Path) -> None:
    for n in range(50):
        write(tmp_path / "crowd" / f"{n}.log", days=40)
    report = hop(logs=[place(tmp_path / "crowd")], max_files=20, small=10).run(LOGS).result()
    assert "50 of 50 files" in report.summary
    assert len(left(tmp_path / "crowd")) == 50


def test_names_of_one_file_and_holes_take_no_room(hop: Any, tmp_path: Path) -> None:
    folder = tmp_path / "linked"
    write(folder / "old.log", days=9, size=8192)
    os.link(folder / "old.log", folder / "again.log")
    with write(folder / "holes.log").open("r+b") as file:
        file.truncate(1 << 30)
    os.utime(folder / "holes.log", (time.time() - 5 * DAY,) * 2)
    write(folder / "new.log", size=8192)
    report = hop(logs=[place(folder, days=None, max_bytes=40_000)]).run(LOGS).result()
    assert report.places[0].deleted == 0
    assert report.places[0].matching_bytes <= 8192 * 2 + 8192


@pytest.mark.parametrize("fault", [DieAfter(save=1), DieAfter(save=2)])
def test_after_a_death_it_goes_on_with_the_next_place(hop: Any, tmp_path: Path, fault: DieAfter) -> None:
    for name in ("one", "two"):
        for n in range(4):
            write(tmp_path / name / f"{n}.log", days=40)
    made = hop(logs=[place(tmp_path / "one"), place(tmp_path / "two")])
    made.inject(fault)
    outcome = made.run(LOGS)
    assert outcome.attempt == 2
    assert [one.deleted for one in outcome.result().places] == [4, 4]
    assert left(tmp_path / "one") | left(tmp_path / "two") == set()


def test_a_cancelled_cleanup_stops(hop: Any, tmp_path: Path) -> None:
    folders = [tmp_path / f"place-{n}" for n in range(20)]
    for folder in folders:
        write(folder / "a.log", days=40)
    made = hop(logs=[place(folder) for folder in folders])
    made.inject(CancelAfter(save=1))
    assert made.run(LOGS).state == "cancelled"
    # It arrives while the next places are cleaned up, and not behind them all.
    assert left(folders[-1]) == {"a.log"}


def test_session_files_have_their_own_places(hop: Any, tmp_path: Path, logs: Path) -> None:
    folder = tmp_path / "sessions"
    write(folder / "sess_old", days=2)
    write(folder / "sess_new")
    write(folder / "other", days=2)
    sessions = {"path": str(folder), "patterns": ["sess_*"], "days": 1}
    hop(logs=[place(logs)], sessions=[sessions]).run(SESSIONS).result()
    assert left(folder) == {"sess_new", "other"}
    assert len(left(logs)) == 6


async def test_a_dry_run_needs_no_job(hop: Any, logs: Path) -> None:
    hop(logs=[place(logs)])
    report = await cleanup.logs(None, dry_run=False, confirm=None)
    assert report.dry_run
    assert len(left(logs)) == 6


@pytest.mark.parametrize(
    "wrong",
    [
        {"path": "logs"},
        {"path": "/"},
        {"path": "//"},
        {"path": "/etc"},
        {"path": "/var/"},
        {"path": "/proc/self"},
        {"path": "/srv/../etc/x"},
        {"patterns": []},
        {"patterns": ["../*.log"]},
        {"patterns": [""]},
        {"days": -1},
        {"days": None},
    ],
    ids=str,
)
def test_places_that_nobody_should_clean_up_are_refused(wrong: dict[str, Any]) -> None:
    from hopyard_maintenance.settings import FilePlace

    with pytest.raises(ValidationError):
        FilePlace(**({"path": "/srv/app/logs", "patterns": ["*.log"], "days": 1} | wrong))
