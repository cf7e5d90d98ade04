"""Connections whose settings lead elsewhere, files that become folders, objects that stand for folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from file_cloud import Bucket, Setup
from file_store import content
from hopyard_file import roots
from hopyard_file.cloud import running
from hopyard_file.cloud.settings import ConnectionSettings, sides_of
from object_servers import Moto, running_moto
from pydantic import TypeAdapter

Make = Callable[..., Setup]


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    """An S3 server."""
    with running_moto() as server:
        yield server


@pytest.fixture
def setup(tmp_path: Path, moto: Moto) -> Iterator[Make]:
    """Makes a `Setup` with settings of the connection."""
    made: list[Setup] = []

    def make(**connection: Any) -> Setup:
        made.append(Setup(tmp_path, moto, **connection))
        return made[-1]

    yield make
    for one in made:
        one.close()


def lead_to(one: Setup, remote: dict[str, Any], **more: Any) -> None:
    """Change the remote in the settings of a running installation."""
    running.connections()["docs"] = ConnectionSettings.model_validate(
        {"root": "docs", "remote": remote, **more}
    )


def fill(one: Setup, files: int) -> dict[str, bytes | str]:
    """Make files here that are nowhere else, and sync."""
    for n in range(files):
        (one.root / f"f{n}").write_text(f"only copy {n}")
    one.sync()
    return content(one.root)


# --- other sides


@pytest.mark.parametrize("conflicts", ["both", "remote", "newest", "local"])
@pytest.mark.parametrize("files", [1, 4, 20])
def test_another_bucket_takes_nothing_away(setup: Make, moto: Moto, conflicts: str, files: int) -> None:
    one = setup(conflicts=conflicts)
    before = fill(one, files)
    other = Bucket(moto.bucket())
    other.put("f0", b"of the other bucket")
    other.put("other", b"too")
    lead_to(one, other.settings, conflicts=conflicts)
    one.bucket = other

    planned = one.sync(dry_run=True)
    assert (planned.anew, planned.deleted_here, planned.deleted_there) == (True, 0, 0)
    assert content(one.root) == before
    report = one.sync()
    assert (report.anew, report.deleted_here, report.deleted_there) == (True, 0, 0)
    assert "anew" in str(report.summary)
    assert "another than at the last sync" in report.notes[0]
    found = {*content(one.root).values()}
    assert found >= {*before.values(), b"of the other bucket", b"too"}
    assert one.equal()
    again = one.sync()
    assert (again.anew, again.uploaded, again.downloaded) == (False, 0, 0)

    (one.root / "other").unlink()  # from now on deletions travel as ever
    if files > 1:
        assert one.sync().deleted_there == 1


def test_another_root_takes_nothing_away(setup: Make, tmp_path: Path) -> None:
    one = setup()
    before = fill(one, 4)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "x").write_text("x")
    declared = roots.settings().roots
    declared["docs"] = declared["docs"].model_copy(update={"path": str(elsewhere)})
    report = one.sync()
    assert (report.anew, report.deleted_there) == (True, 0)
    assert one.bucket.content() == {**before, "x": b"x"} == content(elsewhere)


def test_a_run_that_was_killed_after_it_began_anew_goes_on_with_both_versions(
    setup: Make, moto: Moto, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = setup(conflicts="remote")
    fill(one, 3)
    other = Bucket(moto.bucket())
    for n in range(3):
        other.put(f"f{n}", b"theirs")
    lead_to(one, other.settings, conflicts="remote")
    one.bucket = other
    with monkeypatch.context() as patched:
        patched.setattr("hopyard_file.cloud.syncing.settle", _dies)
        assert one.hop.run("file.sync_cloud_storage", connection="docs").state == "dead"
    report = one.sync()
    assert (report.anew, report.conflicts) == (True, 3)
    assert {b"only copy 0", b"only copy 1", b"only copy 2"} <= {*content(one.root).values()}
    assert one.sync().anew is False


async def _dies(*_: object) -> None:
    raise RuntimeError("as if killed")


def test_what_tells_sides_apart_and_what_does_not() -> None:
    adapter = TypeAdapter(ConnectionSettings)

    def digest(root: str = "/srv/a", **remote: Any) -> str:
        given = {"kind": "s3", "bucket": "one", "endpoint": "https://s3.example.com", **remote}
        return sides_of(root, adapter.validate_python({"root": "docs", "remote": given}).remote)

    same = digest()
    assert digest(access_key="a", secret_key="b", md5_tags=False) == same
    for change in ({"bucket": "two"}, {"prefix": "p"}, {"endpoint": "https://other.example.com"}):
        assert digest(**change) != same
    assert digest("/srv/b") != same


# --- files and folders


def test_a_file_becomes_a_folder_and_a_folder_a_file(setup: Make) -> None:
    one = setup()
    (one.root / "a").write_text("a file")
    (one.root / "b").mkdir()
    (one.root / "b" / "x").write_text("in a folder")
    for n in range(6):
        (one.root / f"other {n}").write_text("stays")
    one.sync()

    (one.root / "a").unlink()
    (one.root / "a").mkdir()
    (one.root / "a" / "x").write_text("now in a folder")
    (one.root / "b" / "x").unlink()
    (one.root / "b").rmdir()
    (one.root / "b").write_text("now a file")
    report = one.sync()
    assert (report.failed, report.set_aside) == (0, 0)
    assert one.equal()
    assert one.bucket.content()["a/x"] == b"now in a folder"

    one.bucket.delete("a/x")  # and back, from the other side
    one.bucket.put("a", b"a file again")
    one.bucket.delete("b")
    one.bucket.put("b/y", b"a folder again")
    report = one.sync()
    assert (report.failed, report.set_aside) == (0, 0)
    assert one.equal()
    assert content(one.root)["a"] == b"a file again"


def test_objects_that_stand_for_folders_are_no_files(setup: Make) -> None:
    one = setup()
    one.bucket.put_raw("alone/", b"")
    one.bucket.put_raw("docs/", b"")
    one.bucket.put("docs/from there", b"1")
    (one.root / "alone").mkdir()
    (one.root / "alone" / "from here").write_text("2")
    (one.root / "empty").write_text("")
    for _ in range(2):
        report = one.sync()
        assert (report.failed, report.set_aside) == (0, 0)
    assert content(one.root) == {"docs/from there": b"1", "alone/from here": b"2", "empty": b""}
    assert one.sync().unchanged == 3
    (one.root / "docs" / "from there").write_text("changed")
    assert one.sync().uploaded == 1


# --- names that are taken


@pytest.mark.parametrize("direction", ["up", "down", "both"])
def test_the_other_version_never_takes_the_place_of_a_file(setup: Make, direction: str) -> None:
    one = setup(direction=direction)
    taken = "f (other version 4c55a855).txt"
    side = one.bucket.put if direction == "down" else lambda key, data: (one.root / key).write_bytes(data)
    side("f.txt", b"before")
    side("other", b"other")
    one.sync()
    (one.root / "f.txt").write_bytes(b"mine!!")
    one.bucket.put("f.txt", b"theirs")
    (one.root / taken).write_bytes(b"123456")
    one.bucket.put(taken, b"654321")
    report = one.sync()
    assert report.failed == 0
    everywhere = {*content(one.root).values(), *one.bucket.content().values()}
    assert everywhere >= {b"mine!!", b"theirs", b"123456", b"654321"}
    assert content(one.root)[taken] == b"123456"


def test_an_object_with_a_control_character_is_named(setup: Make) -> None:
    one = setup()
    one.bucket.put("ok", b"1")
    one.bucket.put_raw("a\tb", b"2")
    outcome = one.hop.run("file.sync_cloud_storage", connection="docs")
    assert outcome.error is not None
    assert "a\\tb" in str(outcome.error["message"])


def test_a_person_that_nobody_knows_is_named_and_others_are_told(setup: Make) -> None:
    one = setup(person="nobody")
    fill(one, 3)
    for path in one.root.iterdir():
        path.unlink()
    assert one.hop.run("file.sync_cloud_storage", connection="docs").state == "dead"
    assert [told["person"] for told in one.hop.notifications] == ["ops"]
    one.bucket.put("f0", b"changed")
    (one.root / "f0").write_text("again")
    one.sync(force=True)
    (check,) = [each for _, each in one.hop.hopyard.plugins.health_checks if each.name == "cloud"]
    found: Any = one.hop._on_portal(check.run())  # type: ignore[arg-type]
    assert (found.ok, "its person `nobody`" in found.detail) == (False, True)
