"""Damage, hostile repositories, keys, locks and retention."""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from file_store import Vault, content, make_tree
from hopyard.errors import AuthenticationError, InvalidInput
from hopyard_file.backup.engine import locking
from hopyard_file.backup.engine.errors import Damaged, LeaseLost, RepositoryBusy
from hopyard_file.backup.engine.keyring import Keyring
from hopyard_file.backup.engine.locking import Lock
from hopyard_file.backup.engine.manifest import Entry, Snapshot, new_id
from hopyard_file.backup.engine.packs import TREE
from hopyard_file.backup.engine.repository import open_repository
from hopyard_file.backup.engine.retention import Keep, kept
from hopyard_file.backup.engine.sealing import Seals
from hypothesis import given
from hypothesis import strategies as st
from pyrage import x25519  # type: ignore[import-untyped]


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """A repository with one snapshot of forty files."""
    source = tmp_path / "source"
    make_tree(source, 40)
    made = Vault(tmp_path / "vault", source)
    made.back_up()
    return made


def flip(path: Path, at: int) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << at % 8
    path.write_bytes(data)


# --- damage


@pytest.mark.parametrize("encryption", ["age", "none"])
def test_a_flipped_byte_anywhere_is_found_and_nothing_wrong_is_restored(
    tmp_path: Path, encryption: str
) -> None:
    source = tmp_path / "source"
    make_tree(source, 40)
    vault = Vault(tmp_path / "vault", source, encryption=encryption)  # type: ignore[arg-type]
    vault.back_up()
    whole = content(source)
    some = random.Random(1)
    for n in range(40):
        path = some.choice([one for one in vault.objects() if one.name != "config" and one.stat().st_size])
        before = path.read_bytes()
        flip(path, some.randrange(len(before)))
        checked = vault.verify()
        assert not checked.ok, path
        assert checked.wrong or checked.damaged_snapshots
        if not checked.damaged_snapshots or checked.damaged_files:
            restored = vault.restore(tmp_path / f"target {n}")
            found = content(tmp_path / f"target {n}")
            assert all(whole[way] == data for way, data in found.items())
            assert len(found) + restored.failed >= len(whole)
            assert restored.failed == checked.damaged_files
        path.write_bytes(before)
        for mark in (vault.path / "damaged").glob("*"):
            mark.unlink()
    assert vault.verify().ok


def test_the_damaged_file_is_named_and_stored_anew_by_the_next_backup(vault: Vault, tmp_path: Path) -> None:
    victim = "folder 3/inner 0/file 3.txt"
    with vault.opened() as (repository, _):
        entries = {one.path: one for one in repository.entries(repository.snapshots()[0][-1])}
        where = repository.catalog.find(entries[victim].chunks[0])[0]
    flip(vault.path / "packs" / where.pack, where.start + where.blob.stored // 2)
    checked = vault.verify()
    assert [(one.path, one.snapshot) for one in checked.damage] == [(victim, vault.snapshots()[0])]
    restored = vault.restore(tmp_path / "one")
    assert [path for path, _ in restored.notes] == [victim]
    assert restored.files == 39

    vault.back_up()  # the file is there still: its piece is stored again, and heals the older snapshot
    assert vault.restore(tmp_path / "two", vault.snapshots()[0]).failed == 0
    assert content(tmp_path / "two") == content(vault.source)
    assert vault.verify().damaged_files == 0
    vault.prune(1)
    assert vault.verify().ok


def test_what_is_missing_is_told(vault: Vault) -> None:
    for pack in (vault.path / "packs").iterdir():
        pack.unlink()
    checked = vault.verify()
    assert checked.damaged_snapshots == vault.snapshots()
    assert vault.back_up().snapshot is not None
    assert vault.verify().ok  # the same content is there again under the same names


def test_indexes_may_be_lost(vault: Vault, tmp_path: Path) -> None:
    for index in (vault.path / "index").iterdir():
        index.unlink()
    assert vault.verify().ok
    assert vault.restore(tmp_path / "target").files == 40


# --- hostile hands


@pytest.fixture
def plain(tmp_path: Path) -> Vault:
    """A repository that anybody can write to in its own language."""
    source = tmp_path / "source"
    make_tree(source, 3)
    made = Vault(tmp_path / "vault", source, encryption="none")
    made.back_up()
    return made


def plant(vault: Vault, entries: list[Entry], raw: bytes | None = None) -> None:
    """Make a snapshot with these entries, or with a list of files that is `raw`."""
    with vault.opened() as (repository, _):
        data = b"".join(one.line() for one in entries) if raw is None else raw
        name = repository.seals.name(data)
        repository.add(TREE, name, data)
        repository.flush()
        now = datetime.now(UTC) + timedelta(days=1)
        repository.put_snapshot(
            Snapshot(new_id(now), "docs", "h", "/x", now, now, 1, 0, 0, 1, 0, 0, parts=(name,), number=99)
        )


def chunks_of(vault: Vault, data: bytes) -> tuple[bytes, ...]:
    """Store a piece of a file; return its name as an entry has it."""
    with vault.opened() as (repository, _):
        name = repository.seals.name(data)
        if not repository.catalog.has(name):
            repository.add(1, name, data)
            repository.flush()
    return (name,)


@pytest.mark.parametrize(
    "path",
    ["../evil", "/evil", "a/../../evil", "a//evil", "./evil", "..", "a/\0evil", "x/" * 40_000 + "evil"],
)
def test_paths_that_lead_elsewhere_are_refused(plain: Vault, tmp_path: Path, path: str) -> None:
    plant(plain, [Entry(path, "file", size=4, chunks=chunks_of(plain, b"evil"))])
    (tmp_path / "below").mkdir()
    restored = plain.restore(tmp_path / "below" / "target")
    assert (restored.files, restored.failed) == (0, 1)
    assert not [*tmp_path.rglob("evil")]
    assert not plain.verify().ok


def test_a_link_that_a_snapshot_makes_leads_nothing_out_of_the_target(plain: Vault, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    evil = chunks_of(plain, b"evil")
    plant(
        plain,
        [
            Entry("a", "link", target=str(outside)),
            Entry("a/evil", "file", size=4, chunks=evil),
            Entry("b", "link", target=str(outside)),
            Entry("b", "folder", mode=0o777),
            Entry("b/evil", "file", size=4, chunks=evil),
        ],
    )
    for _ in range(2):
        plain.restore(tmp_path / "target", existing="replace")
        assert [*outside.iterdir()] == []


def test_a_link_in_the_target_is_not_followed(vault: Vault, tmp_path: Path) -> None:
    outside, target = tmp_path / "outside", tmp_path / "target"
    outside.mkdir()
    target.mkdir()
    (target / "folder 1").symlink_to(outside)
    restored = vault.restore(target, existing="replace")
    assert restored.failed > 0
    assert [*outside.iterdir()] == []
    (tmp_path / "way").symlink_to(target)
    with pytest.raises(InvalidInput, match="is a link"):
        vault.restore(tmp_path / "way" / "deeper")


def test_set_user_id_bits_are_not_restored_unless_owners_are(plain: Vault, tmp_path: Path) -> None:
    plant(plain, [Entry("evil", "file", mode=0o6755, size=4, chunks=chunks_of(plain, b"evil"))])
    plain.restore(tmp_path / "target")
    assert (tmp_path / "target/evil").stat().st_mode & 0o7777 == 0o755


def test_sizes_that_lie_take_no_memory_and_no_disk(plain: Vault, tmp_path: Path) -> None:
    names = chunks_of(plain, bytes(1_000_000)) * 400
    plant(
        plain,
        [Entry("bomb", "file", size=5, chunks=names), Entry("short", "file", size=10**15, chunks=names)],
    )
    restored = plain.restore(tmp_path / "target")
    assert restored.failed == 2
    assert content(tmp_path / "target") == {}


def test_a_blob_that_would_grow_without_bound_is_refused() -> None:
    import zstandard

    seals = Seals(None)
    bomb = b"\1" + zstandard.compress(bytes(200 << 20))
    unsaid = b"\1" + zstandard.ZstdCompressor(write_content_size=False).compress(bytes(200 << 20))
    for squeezed in (bomb, unsaid):
        assert len(squeezed) < 30_000
        with pytest.raises(Damaged):
            seals.expanded(squeezed)


@pytest.mark.parametrize("raw", [b"{", b"[]\n", b'{"p":1,"t":"f"}\n', b'{"p":"a","t":"q"}\n', b"[" * 100_000])
def test_lists_of_files_that_are_none_are_refused(plain: Vault, tmp_path: Path, raw: bytes) -> None:
    plant(plain, [], raw)
    assert plain.restore(tmp_path / "target").failed == 1
    assert not plain.verify().ok


def test_links_in_a_repository_are_not_followed(plain: Vault, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for folder in ("packs", "index", "snapshots", "locks", "damaged"):
        place = plain.path / folder
        if place.exists():
            place.rename(tmp_path / folder)
        place.symlink_to(outside)
    with pytest.raises(InvalidInput):
        plain.back_up()
    assert [*outside.iterdir()] == []


# --- keys


def test_a_repository_is_not_made_without_a_key(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault", tmp_path)
    with pytest.raises(InvalidInput, match="expected an identity"):
        open_repository(vault.place, "age", Keyring(), create=True)
    assert not vault.path.exists()


def test_nothing_in_an_encrypted_repository_can_be_read(vault: Vault) -> None:
    (vault.source / "secret").write_text("CANARY" * 1000)
    vault.back_up()
    for path in vault.objects():
        data = path.read_bytes()
        for secret in (b"CANARY", b"folder", vault.identity.encode()):
            assert secret not in data


def test_another_identity_opens_nothing(vault: Vault) -> None:
    vault.identity = str(x25519.Identity.generate())
    with pytest.raises(AuthenticationError, match="closed for others"):
        vault.verify()


def test_a_key_that_a_stranger_closed_for_us_is_not_used_to_write(vault: Vault) -> None:
    """age recipients are public: anybody can close a key of theirs for us."""
    stranger = Keyring([str(x25519.Identity.generate())], Keyring([vault.identity]).all_recipients())
    config = json.loads((vault.path / "config").read_bytes())
    (vault.path / "config").write_text(json.dumps({**config, **stranger.closed(os.urandom(32))}))
    with pytest.raises(AuthenticationError, match="only read"):
        vault.back_up()


def test_a_repository_that_says_it_is_not_encrypted_is_refused(vault: Vault) -> None:
    config = json.loads((vault.path / "config").read_bytes())
    (vault.path / "config").write_text(json.dumps({**config, "encryption": "none"}))
    with pytest.raises(InvalidInput, match="the settings say"):
        vault.back_up()


def test_identities_are_exchanged(vault: Vault, tmp_path: Path) -> None:
    old, new, escrow = vault.identity, str(x25519.Identity.generate()), x25519.Identity.generate()
    both = Keyring([new, old], [str(escrow.to_public())])
    open_repository(vault.place, "age", both, create=True).close()
    for identity in (new, old, str(escrow)):
        vault.identity = identity
        assert vault.verify().ok
    vault.identity = str(escrow)  # may read, and does not vouch for the key
    assert vault.restore(tmp_path / "target").files == 40
    with (
        closing(open_repository(vault.place, "age", vault.keyring())) as repository,
        pytest.raises(AuthenticationError, match="only read"),
    ):
        repository.add(1, bytes(32), b"data")
    open_repository(vault.place, "age", Keyring([new]), create=True).close()
    vault.identity = new
    vault.back_up()
    vault.identity = old
    with pytest.raises(AuthenticationError):
        vault.verify()


# --- locks


def test_a_prune_and_a_backup_are_not_at_work_together(vault: Vault) -> None:
    with vault.opened("shared"):
        with vault.opened("shared"):
            pass
        with pytest.raises(RepositoryBusy, match="a test on"):
            vault.prune(1)
    with vault.opened("alone"), pytest.raises(RepositoryBusy):
        vault.back_up()
    assert [*(vault.path / "locks").iterdir()] == []


def test_the_lock_of_a_dead_process_counts_for_nothing(vault: Vault) -> None:
    code = (
        "import os, signal, sys; from hopyard_file.backup.engine.places import DirectoryPlace; "
        "from hopyard_file.backup.engine.locking import Lock; "
        "Lock(DirectoryPlace(sys.argv[1]), 'alone', 'a killed prune').__enter__(); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(vault.path)], check=False, timeout=60)
    assert len([*(vault.path / "locks").iterdir()]) == 1
    vault.back_up()
    assert [*(vault.path / "locks").iterdir()] == []


def test_a_lock_of_another_machine_counts_until_its_lease_ends(vault: Vault) -> None:
    (vault.path / "locks").mkdir(exist_ok=True)
    other = vault.path / "locks" / "of another"
    other.write_text(json.dumps({"kind": "alone", "host": "elsewhere", "pid": 1, "machine": "another"}))
    with pytest.raises(RepositoryBusy, match="elsewhere"):
        vault.back_up()
    old = other.stat().st_mtime - locking.LEASE - 60
    os.utime(other, (old, old))
    vault.back_up()


def test_a_backup_that_stood_still_does_not_finish(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    now = locking._now

    def tell(files: int, bytes: int, all_files: int, all_bytes: int, what: str) -> None:  # noqa: A002
        monkeypatch.setattr(locking, "_now", lambda: now() + locking.LEASE + 1)

    with pytest.raises(LeaseLost):
        vault.back_up(tell)
    monkeypatch.undo()
    assert len(vault.snapshots()) == 1


def test_a_lock_that_was_taken_away_is_noticed(vault: Vault) -> None:
    def tell(files: int, bytes: int, all_files: int, all_bytes: int, what: str) -> None:  # noqa: A002
        for lock in (vault.path / "locks").iterdir():
            lock.unlink()

    with pytest.raises(LeaseLost):
        vault.back_up(tell)
    assert len(vault.snapshots()) == 1


def test_a_lease_is_renewed(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    with Lock(vault.place, "shared", "a test") as lock:
        (path,) = (vault.path / "locks").iterdir()
        os.utime(path, (1, 1))
        lock.keep()
        assert path.stat().st_mtime == 1
        now = locking._now
        monkeypatch.setattr(locking, "_now", lambda: now() + locking.LEASE / 2)
        lock.keep()
        assert path.stat().st_mtime > 1


# --- retention


def snapshot(day: int, source: str = "docs") -> Snapshot:
    """A snapshot of a day since the beginning of 2026, at noon."""
    at = datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(days=day)
    return Snapshot(new_id(at), source, "h", "/x", at, at, 1, 0, 0, 1, 0, 0, ())


def test_the_last_of_each_day_week_and_month_are_kept() -> None:
    ones = [snapshot(day) for day in range(100)]
    keep = Keep(last=2, daily=3, weekly=2, monthly=3)
    found = kept(ones, keep, ZoneInfo("UTC"))
    days = {one.started.date().isoformat(): found[one.id] for one in ones if one.id in found}
    assert days == {
        "2026-04-10": ["the last good one", "last", "daily", "weekly", "monthly"],
        "2026-04-09": ["last", "daily"],
        "2026-04-08": ["daily"],
        "2026-04-05": ["weekly"],
        "2026-03-31": ["monthly"],
        "2026-02-28": ["monthly"],
    }


@given(
    st.lists(
        st.tuples(st.integers(0, 900), st.sampled_from(["a", "b"]), st.booleans()), min_size=1, max_size=40
    ),
    st.builds(Keep, *[st.integers(0, 4)] * 5),
)
def test_the_last_good_one_of_each_source_always_stays(
    given_ones: list[tuple[int, str, bool]], keep: Keep
) -> None:
    ones = [snapshot(day, source) for day, source, _ in given_ones]
    damaged = {one.id for one, (_, _, bad) in zip(ones, given_ones, strict=True) if bad}
    found = kept(ones, keep, ZoneInfo("Europe/Oslo"), damaged)
    for source in {one.source for one in ones}:
        own = [one for one in ones if one.source == source]
        good = [one for one in own if one.id not in damaged]
        if good:
            assert max(good, key=lambda one: (one.started, one.id)).id in found
        else:
            assert all(one.id in found for one in own)


def test_a_prune_removes_what_nobody_needs_and_nothing_else(vault: Vault, tmp_path: Path) -> None:
    contents = {vault.snapshots()[0]: content(vault.source)}
    some = random.Random(1)
    for n in range(5):
        (vault.source / "large").write_bytes(some.randbytes(3_000_000))
        (vault.source / f"folder {n}/inner {n % 3}/file {n}.txt").write_text(f"changed {n}")
        vault.back_up()
        contents[vault.snapshots()[-1]] = content(vault.source)
    before = sum(path.stat().st_size for path in vault.objects())
    assert len(vault.prune(2, dry_run=True).removed) == 4
    assert len(vault.snapshots()) == 6
    pruned = vault.prune(2)
    assert len(pruned.removed) == 4
    after = sum(path.stat().st_size for path in vault.objects())
    assert after < before - 8_000_000
    assert pruned.bytes_after == sum(path.stat().st_size for path in (vault.path / "packs").iterdir())
    assert vault.verify().ok
    for n, id_ in enumerate(vault.snapshots()):
        vault.restore(tmp_path / str(n), id_)
        assert content(tmp_path / str(n)) == contents[id_]


def test_no_data_is_removed_while_a_snapshot_cannot_be_read(vault: Vault) -> None:
    for n in range(3):
        (vault.source / "large").write_bytes(random.Random(n).randbytes(2_000_000))
        vault.back_up()
    flip(vault.path / "snapshots" / vault.snapshots()[1], 99)
    packs = {path.name for path in (vault.path / "packs").iterdir()}
    pruned = vault.prune(1)
    assert "cannot be read" in pruned.note
    assert {path.name for path in (vault.path / "packs").iterdir()} == packs


def test_names_of_blobs_say_nothing_without_the_key() -> None:
    one, two = Seals(bytes(32)), Seals(b"\1" * 32)
    assert len({one.name(b"x"), two.name(b"x"), Seals(None).name(b"x")}) == 3
    assert base64.b85encode(one.name(b"x")) == base64.b85encode(Seals(bytes(32)).name(b"x"))


def test_content_under_the_name_of_another_is_refused(plain: Vault, tmp_path: Path) -> None:
    with plain.opened() as (repository, _):
        name = repository.seals.name(b"good")
        repository.add(1, name, b"evil")
        repository.flush()
    plant(plain, [Entry("file", "file", size=4, chunks=(name,))])
    assert plain.restore(tmp_path / "target").failed == 1
    assert content(tmp_path / "target") == {}
    assert [one.path for one in plain.verify().damage] == ["file"]
