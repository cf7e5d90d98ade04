"""What a connection does when both sides change, when much would go, when runs are killed: against S3."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from file_cloud import Setup
from file_store import content, hop_with, make_tree
from hopyard import current, storage
from hopyard.cli import main
from hopyard_file.cloud import state, transfers
from hopyard_file.cloud.objects import ObjectSide
from hopyard_file.cloud.pacing import Pace
from object_servers import Moto, running_moto


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    """An S3 server."""
    with running_moto() as server:
        yield server


@pytest.fixture
def setup(tmp_path: Path, moto: Moto) -> Iterator[Callable[..., Setup]]:
    """Makes a `Setup` with settings of the connection."""
    made: list[Setup] = []

    def make(**connection: Any) -> Setup:
        made.append(Setup(tmp_path, moto, **connection))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize(
    ("policy", "here_is_newer", "expected"),
    [
        ("local", False, {"f.txt": b"mine"}),
        ("remote", True, {"f.txt": b"theirs"}),
        ("newest", True, {"f.txt": b"mine"}),
        ("newest", False, {"f.txt": b"theirs"}),
        ("both", False, {"f.txt": b"mine", "f (other version 4c55a855).txt": b"theirs"}),
    ],
)
def test_both_sides_changed(
    setup: Callable[..., Setup], policy: str, here_is_newer: bool, expected: dict[str, bytes]
) -> None:
    one = setup(conflicts=policy)
    (one.root / "f.txt").write_text("before")
    one.sync()
    (one.root / "f.txt").write_text("mine")
    one.bucket.put("f.txt", b"theirs")
    when = 4_000_000_000 if here_is_newer else 1_000_000_000
    os.utime(one.root / "f.txt", (when, when))
    assert one.sync().conflicts == 1
    assert content(one.root) == expected
    assert one.equal()
    again = one.sync()
    assert (again.conflicts, again.uploaded, again.downloaded) == (0, 0, 0)
    assert one.equal()


def test_two_sides_that_are_equal_already_carry_nothing(setup: Callable[..., Setup]) -> None:
    one = setup()
    for n in range(20):
        (one.root / f"{n}").write_text(f"content {n}")
        one.bucket.put(f"{n}", f"content {n}".encode())
    report = one.sync()
    assert (report.conflicts, report.bytes) == (0, 0)
    assert one.sync().unchanged == 20


def test_files_that_only_look_changed_carry_nothing(setup: Callable[..., Setup]) -> None:
    one = setup()
    make_tree(one.root, 10)
    one.sync()
    for path in one.root.rglob("*.txt"):
        os.utime(path)
    report = one.sync()
    assert (report.unchanged, report.uploaded, report.bytes) == (10, 0, 0)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_one_way_leaves_the_other_side_alone(setup: Callable[..., Setup], direction: str) -> None:
    one = setup(direction=direction)
    (one.root / "here").write_text("here")
    one.bucket.put("there", b"there")
    one.sync()
    here, there = content(one.root), one.bucket.content()
    if direction == "up":
        assert (sorted(here), sorted(there)) == (["here"], ["here", "there"])
        one.bucket.delete("here")
    else:
        assert (sorted(here), sorted(there)) == (["here", "there"], ["there"])
        (one.root / "there").unlink()
    assert one.sync().left == 2
    assert (content(one.root), one.bucket.content()) != (here, there)


def test_a_run_that_would_delete_too_much_changes_nothing_and_asks(setup: Callable[..., Setup]) -> None:
    one = setup()
    make_tree(one.root, 20)
    one.sync()
    for path in sorted(one.root.rglob("*.txt"))[:10]:
        path.unlink()
    (one.root / "new.txt").write_text("new")
    before = one.bucket.content()
    outcome = one.hop.run("file.sync_cloud_storage", connection="docs")
    assert outcome.state == "dead"
    assert "would delete 10 of 20 files" in str(outcome.error)
    assert one.bucket.content() == before
    one.hop.run("file.sync_cloud_storage", connection="docs")
    assert [told["title"] for told in one.hop.notifications] == ["docs was not synced with the cloud"]
    assert "--force" in one.hop.notifications[0]["body"]
    assert one.sync(dry_run=True, force=True).deleted_there == 10
    report = one.sync(force=True)
    assert (report.deleted_there, report.uploaded) == (10, 1)
    assert one.equal()


@pytest.mark.parametrize("side", ["here", "there"])
def test_an_empty_side_is_never_taken_for_deleted(setup: Callable[..., Setup], side: str) -> None:
    one = setup(max_delete=1)
    make_tree(one.root, 4)
    one.sync()
    here, there = content(one.root), one.bucket.content()
    if side == "here":
        shutil.rmtree(one.root)
        one.root.mkdir()
    else:
        for key in there:
            one.bucket.delete(key)
    for force in (False, True):
        outcome = one.hop.run("file.sync_cloud_storage", connection="docs", force=force)
        assert "is empty, and had 4 files" in str(outcome.error)
    assert content(one.root) if side == "there" else one.bucket.content() == there
    one.hop._on_portal(state.forget("docs"))
    one.sync()
    assert content(one.root) == here
    assert one.equal()


def test_a_root_that_is_gone_deletes_nothing(setup: Callable[..., Setup]) -> None:
    one = setup(max_delete=1)
    make_tree(one.root, 4)
    one.sync()
    shutil.rmtree(one.root)
    assert one.hop.run("file.sync_cloud_storage", connection="docs").state == "dead"
    assert len(one.bucket.content()) == 4


def test_hostile_keys_and_links_lead_nowhere(setup: Callable[..., Setup], tmp_path: Path) -> None:
    one = setup()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (one.root / "link").symlink_to(outside)
    (one.root / "file link").symlink_to(outside / "secret")
    (one.root / "fine").write_text("fine")
    for key in ("link/planted", "a\\..\\evil", "dot.", "fine/below", "READme", "readme", "good"):
        one.bucket.put(key, b"evil")
    report = one.sync()
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert content(one.root) == {
        "fine": b"fine",
        "good": b"evil",
        "link": f"-> {outside}",
        "file link": f"-> {outside}/secret",
    }
    assert "secret" not in str(one.bucket.content())
    reasons = {row["path"]: row["reason"] for row in one.hop.fetch("SELECT * FROM file_cloud_set_aside")}
    assert set(reasons) == {"link", "file link", "a\\..\\evil", "dot.", "fine/below", "READme", "readme"}
    assert report.set_aside == 7
    assert one.sync().downloaded == 0


@pytest.mark.parametrize("key", ["../evil", "a/../../evil", "a//evil", "\x01evil"])
def test_an_object_whose_name_leads_elsewhere_ends_the_run(
    setup: Callable[..., Setup], tmp_path: Path, key: str
) -> None:
    one = setup()
    (one.root / "fine").write_text("fine")
    one.sync()
    one.bucket.put_raw(key, b"evil")
    outcome = one.hop.run("file.sync_cloud_storage", connection="docs")
    assert outcome.state == "dead"
    assert "with a name that cannot be asked for" in str(outcome.error)
    assert content(one.root) == {"fine": b"fine"}
    assert [*tmp_path.rglob("evil")] == []


def test_an_absolute_name_leads_nowhere(setup: Callable[..., Setup], tmp_path: Path) -> None:
    one = setup()
    one.bucket.put_raw("/etc/evil", b"evil")
    assert one.sync().downloaded == 0  # obstore drops the slash, and finds no such object then
    assert [*tmp_path.rglob("evil")] == []


def test_a_link_that_appears_during_the_run_is_not_followed(
    setup: Callable[..., Setup], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = setup()
    outside = tmp_path / "outside"
    outside.mkdir()
    (one.root / "folder").mkdir()
    one.bucket.put("folder/file", b"evil")
    down = transfers.Carrier.down

    async def swapped(self: Any, path: str, *rest: Any) -> Any:
        (one.root / "folder").rmdir()
        (one.root / "folder").symlink_to(outside)
        return await down(self, path, *rest)

    monkeypatch.setattr(transfers.Carrier, "down", swapped)
    assert one.sync().failed == 1
    assert [*outside.iterdir()] == []


def test_a_file_that_changes_during_the_run_is_left_for_the_next(
    setup: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = setup()
    (one.root / "f").write_text("before")
    one.sync()
    one.bucket.put("f", b"theirs")
    down = transfers.Carrier.down

    async def overtaken(self: Any, path: str, *rest: Any) -> Any:
        (one.root / "f").write_text("mine, meanwhile")
        return await down(self, path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(transfers.Carrier, "down", overtaken)
        report = one.sync()
    assert report.notes == ["f: it was changed meanwhile"]
    (row,) = one.hop.fetch("SELECT path, reason FROM file_cloud_set_aside")
    assert (row["path"], row["reason"]) == ("f", "it was changed meanwhile")
    assert content(one.root)["f"] == b"mine, meanwhile"
    assert one.sync().conflicts == 1
    assert set(content(one.root).values()) == {b"mine, meanwhile", b"theirs"}
    assert one.equal()


def test_an_upload_that_arrives_damaged_is_seen(
    setup: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = setup()
    (one.root / "f").write_text("what was there")
    real = ObjectSide.write

    async def damaged(self: Any, path: str, blocks: Any) -> Any:
        await real(self, path, blocks)
        one.bucket.put(path, b"what was ther!")
        return await self.look(path)

    monkeypatch.setattr(ObjectSide, "write", damaged)
    outcome = one.hop.run("file.sync_cloud_storage", connection="docs")
    assert "arrived damaged" in str(outcome.error)


def test_one_run_at_a_time(setup: Callable[..., Setup]) -> None:
    one = setup()
    assert one.hop._on_portal(state.LEASE.take("docs", "a holder", "another job"))
    assert one.sync().state == "busy"
    one.hop._on_portal(state.LEASE.release("docs", "a holder"))
    assert one.sync().state == "ok"


def test_a_lease_that_was_lost_ends_the_run(
    setup: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = setup()
    make_tree(one.root, 60)
    up = transfers.Carrier.up
    calls = 0

    async def robbed(self: Any, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 5:
            await storage.execute("UPDATE file_cloud_connection SET holder = 'another', held_until = NULL")
        return await up(self, *arguments)

    monkeypatch.setattr(transfers.Carrier, "up", robbed)
    outcome = one.hop.run("file.sync_cloud_storage", connection="docs")
    assert "has taken this connection over" in str(outcome.attempts) or outcome.state == "succeeded"
    monkeypatch.undo()
    one.hop._on_portal(storage.execute("UPDATE file_cloud_connection SET holder = NULL"))
    one.sync()
    assert one.equal()


def test_private_addresses_are_refused_unless_allowed(tmp_path: Path, moto: Moto) -> None:
    (tmp_path / "docs").mkdir()
    cloud = {"connections": {"docs": {"root": "docs", "remote": moto.bucket()}}}
    roots = {"docs": tmp_path / "docs"}
    with hop_with(tmp_path / "hop", roots=roots, cloud=cloud, **{"egress.allow": []}) as hop:
        outcome = hop.run("file.sync_cloud_storage", connection="docs")
        assert "tasks may not reach" in str(outcome.error)


def test_refused_credentials_are_told_and_kept_secret(tmp_path: Path, moto: Moto) -> None:
    (tmp_path / "docs").mkdir()
    remote = {**moto.bucket(), "secret_key": "CANARY-secret", "bucket": "there-is-no-such-bucket"}
    cloud = {"connections": {"docs": {"root": "docs", "remote": remote, "person": "ops"}}}
    with hop_with(tmp_path / "hop", roots={"docs": tmp_path / "docs"}, cloud=cloud) as hop:
        assert hop.run("file.sync_cloud_storage", connection="docs").state == "dead"
        assert [told["person"] for told in hop.notifications] == ["ops"]
        assert "CANARY" not in json.dumps([hop.jobs(), hop.notifications], default=str)


async def test_bandwidth_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    pace = Pace(1_000)
    for _ in range(4):
        await pace(500)
    assert slept == [0.5, 1.0, 1.5]


def test_commands(tmp_path: Path, moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = moto.bucket()
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)
    remote = "\n".join(f'remote.{key} = "{value}"' for key, value in bucket.items())
    Path("hopyard.toml").write_text(
        '[plugins]\nallow = ["file"]\n[egress]\nallow = ["127.0.0.1"]\n'
        f'[plugins.file.settings.roots.docs]\npath = "{tmp_path}/docs"\nwritable = true\n'
        f'[plugins.file.settings.cloud.connections.docs]\nroot = "docs"\n{remote}\n'
    )

    def run(*words: str) -> Any:
        return CliRunner().invoke(main, [*words], env={"COLUMNS": "250"}, catch_exceptions=False)

    try:
        assert run("db", "upgrade").exit_code == 0
        (found,) = json.loads(run("file", "cloud", "status", "--json").stdout)
        assert (found["connection"], found["kind"], found["state"]) == ("docs", "s3", "never")
        assert "docs" in run("file", "cloud", "status").stdout
        assert "0 files of docs are forgotten" in run("file", "cloud", "forget", "docs").stdout
        assert run("file", "cloud", "problems", "docs").exit_code == 0
        assert "expected one of: docs" in run("file", "cloud", "problems", "nope").output
        assert "a-secret-key" not in run("config", "show").output
    finally:
        current.set_instance(None)


def test_random_changes_on_both_sides_end_equal(setup: Callable[..., Setup]) -> None:
    one = setup(max_delete=1, conflicts="both")
    some = random.Random(11)
    (one.root / "stays").write_text("so that no side is ever empty")
    one.sync()
    for _ in range(12):
        for _ in range(8):
            name, data = f"f{some.randrange(12)}", some.randbytes(some.randrange(1, 300))
            change = some.randrange(4)
            if change == 0:
                (one.root / name).write_bytes(data)
            elif change == 1:
                (one.root / name).unlink(missing_ok=True)
            elif change == 2:
                one.bucket.put(name, data)
            elif name in one.bucket.content():
                one.bucket.delete(name)
        report = one.sync()
        assert report.failed == 0, report.notes
        assert one.equal()
