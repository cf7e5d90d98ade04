"""Backups without jobs and database: what is stored, what comes back, what changes meanwhile."""

from __future__ import annotations

import os
import random
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from file_store import Vault, content, make_tree
from hopyard.errors import InvalidInput
from hopyard_file.backup.engine import backing_up
from hopyard_file.backup.engine.manifest import Entry, entries_of, parts_of
from hopyard_file.backup.patterns import Patterns
from hypothesis import given, settings
from hypothesis import strategies as st

LARGE = int(os.environ.get("HOPYARD_INTERNAL_BACKUP_LARGE_MB", "120"))


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """A repository that is to be made, and a source with a few files."""
    source = tmp_path / "source"
    make_tree(source, 40)
    return Vault(tmp_path / "vault", source)


def test_everything_comes_back_as_it_was(vault: Vault, tmp_path: Path) -> None:
    source = vault.source
    (source / "empty").mkdir()
    (source / "nothing").touch()
    (source / "link").symlink_to("folder 1/inner 1/file 1.txt")
    (source / "outside").symlink_to("/etc/passwd")
    (source / "script").write_text("#!/bin/sh\n")
    (source / "script").chmod(0o751)
    (source / "empty").chmod(0o711)
    Path(os.fsdecode(os.fsencode(source) + b"/not utf-8 \xff\xfe")).write_bytes(b"odd")
    (source / "line\nbreak").write_text("odd, too")
    (source / "large").write_bytes(random.Random(1).randbytes(7_000_000))
    os.utime(source / "script", ns=(1_000_000_007, 1_500_000_000_123_456_789))
    outcome = vault.back_up()
    assert (outcome.files, outcome.left_out, outcome.links) == (45, 0, 2)

    target = tmp_path / "target"
    restored = vault.restore(target)
    assert (restored.files, restored.failed) == (45, 0)
    assert content(target) == content(source)
    assert stat.S_IMODE((target / "script").stat().st_mode) == 0o751
    assert stat.S_IMODE((target / "empty").stat().st_mode) == 0o711
    assert (target / "script").stat().st_mtime_ns == 1_500_000_000_123_456_789


def test_holes_of_sparse_files_stay_holes(vault: Vault, tmp_path: Path) -> None:
    with (vault.source / "sparse").open("wb") as file:
        file.write(b"begin")
        file.seek(50_000_000)
        file.write(b"end")
    assert vault.back_up().stored_bytes < 1_000_000
    vault.restore(tmp_path / "target", paths=("sparse",))
    restored = tmp_path / "target" / "sparse"
    assert restored.read_bytes() == (vault.source / "sparse").read_bytes()
    assert restored.stat().st_blocks * 512 < 20_000_000


def test_the_second_backup_stores_what_changed(vault: Vault) -> None:
    large = vault.source / "large"
    data = random.Random(2).randbytes(12_000_000)
    large.write_bytes(data)
    first = vault.back_up()
    assert first.stored_bytes > 12_000_000
    again = vault.back_up()
    assert again.stored_bytes < 20_000

    large.write_bytes(b"something at the beginning" + data)
    (vault.source / "copy").write_bytes(data)
    third = vault.back_up()
    assert (third.changed, third.new) == (1, 1)
    assert third.stored_bytes < 5_000_000  # the first piece of the large file, at most 4 MiB


def test_files_that_did_not_change_are_not_read_unless_they_are_new(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = vault.back_up()
    # They were changed within two seconds before they were read, so their times do not tell enough.
    assert vault.back_up().read_bytes == first.bytes
    monkeypatch.setattr(backing_up, "_RACY", 0)
    vault.back_up()
    again = vault.back_up()
    assert (again.read_bytes, again.unchanged) == (0, 40)


def _entries(vault: Vault) -> list[Entry]:
    with vault.opened() as (repository, _):
        return [*repository.entries(repository.snapshots()[0][-1])]


def test_what_cannot_be_read_is_told_and_the_rest_goes_on(vault: Vault, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(vault.source / "socket"))
    os.mkfifo(vault.source / "pipe")
    outcome = vault.back_up()
    assert sorted(outcome.notes) == [("pipe", "is a named pipe"), ("socket", "is a socket")]
    assert (outcome.files, outcome.left_out) == (40, 2)
    assert [one.path for one in _entries(vault) if one.kind == "left out"] == ["pipe", "socket"]
    restored = vault.restore(tmp_path / "target")
    assert restored.notes == [
        ("pipe", "is not in the backup: is a named pipe"),
        ("socket", "is not in the backup: is a socket"),
    ]


def test_files_that_change_and_vanish_while_they_are_read_are_told(vault: Vault) -> None:
    changing, vanishing = vault.source / "changing", vault.source / "folder 0/inner 0/file 0.txt"
    changing.write_bytes(random.Random(1).randbytes(9_000_000))

    def tell(files: int, bytes: int, all_files: int, all_bytes: int, what: str) -> None:  # noqa: A002
        if what == "changing":
            with changing.open("ab") as file:
                file.write(b"more")
        vanishing.unlink(missing_ok=True)

    outcome = vault.back_up(tell)
    assert ("changing", "changed while it was read") in outcome.notes
    assert outcome.snapshot in vault.snapshots()
    assert vault.verify().ok


def test_a_source_that_became_empty_is_refused(vault: Vault) -> None:
    vault.back_up()
    for path in sorted(vault.source.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    with pytest.raises(InvalidInput, match="is it not mounted"):
        vault.back_up()
    assert len(vault.snapshots()) == 1
    assert vault.back_up(allow_empty=True).files == 0


def test_what_an_interrupted_backup_has_stored_is_used(vault: Vault) -> None:
    (vault.source / "large").write_bytes(random.Random(5).randbytes(60_000_000))

    def interrupt(files: int, bytes: int, all_files: int, all_bytes: int, what: str) -> None:  # noqa: A002
        if bytes > 45_000_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        vault.back_up(interrupt)
    assert vault.snapshots() == []
    stored = sum(path.stat().st_size for path in (vault.path / "packs").iterdir())
    assert stored > 30_000_000
    assert vault.back_up().stored_bytes < 61_000_000 - stored
    assert vault.verify().ok


def test_the_paths_that_are_meant_are_restored_and_no_others(vault: Vault, tmp_path: Path) -> None:
    vault.back_up()
    restored = vault.restore(tmp_path / "target", paths=("folder 1", "folder 2/inner 2/file 2.txt"))
    found = content(tmp_path / "target")
    assert restored.files == len(found)
    assert {way.split("/")[0] for way in found} == {"folder 1", "folder 2"}
    assert [way for way in found if way.startswith("folder 2")] == ["folder 2/inner 2/file 2.txt"]
    with pytest.raises(InvalidInput, match="does not have: no/such"):
        vault.restore(tmp_path / "target", paths=("no/such",))


def test_nothing_is_written_over_what_is_there_unless_said(vault: Vault, tmp_path: Path) -> None:
    vault.back_up()
    target = tmp_path / "target"
    assert vault.restore(target, dry_run=True).files == 40
    assert not target.exists()
    vault.restore(target)
    mine = target / "folder 1/inner 1/file 1.txt"
    mine.write_text("mine")
    again = vault.restore(target)
    assert (again.files, again.already, again.kept) == (0, 39, 1)
    assert mine.read_text() == "mine"
    assert vault.restore(target, existing="replace").files == 1
    assert content(target) == content(vault.source)


def test_memory_stays_bounded_with_a_large_file(vault: Vault, tmp_path: Path) -> None:
    """The size in megabytes is HOPYARD_INTERNAL_BACKUP_LARGE_MB; half of it is a hole."""
    some = random.Random(1)
    with (vault.source / "large").open("wb") as file:
        for _ in range(LARGE // 2):
            file.write(some.randbytes(1_000_000))
        file.truncate(LARGE * 1_000_000)
    program = str(Path(__file__).parents[3] / "tests" / "backup_child.py")
    most = 0
    for what, place in (("backup", vault.source), ("restore", tmp_path / "target")):
        code = (
            "import re, runpy, sys; sys.argv[:] = sys.argv[1:]; "
            "runpy.run_path(sys.argv[0], run_name='__main__'); "
            "print(re.search('VmHWM:\\s*(.*) kB', open('/proc/self/status').read())[1])"
        )
        command = [sys.executable, "-c", code, program, what, str(vault.path), str(place), vault.identity]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
        most = max(most, int(done.stdout.split()[-1]))
    assert most < 400_000  # kilobytes
    compared = subprocess.run(["cmp", vault.source / "large", tmp_path / "target" / "large"], check=False)
    assert compared.returncode == 0


@settings(deadline=None)
@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20), max_size=300
    )
)
def test_lists_of_files_come_back_and_one_new_file_changes_few_parts(names: list[str]) -> None:
    paths = sorted({name for name in names if name not in (".", "..")} | {f"file {n}" for n in range(500)})
    entries = [Entry(path, "file", size=n, chunks=(bytes(32),)) for n, path in enumerate(paths)]
    parts = [*parts_of((one.path, one.line()) for one in entries)]
    assert [entry for part in parts for entry in entries_of(part)] == entries
    more = sorted([*entries, Entry("file 250a", "file")], key=lambda one: one.path)
    changed = {*parts_of((one.path, one.line()) for one in more)} - {*parts}
    assert len(changed) <= 3


@pytest.mark.parametrize(
    ("include", "exclude", "path", "taken"),
    [
        ([], [], "a/b.txt", True),
        (["*.txt"], [], "a/b.txt", True),
        (["*.txt"], [], "a/b.jpg", False),
        ([], ["*.tmp"], "a/b.tmp", False),
        ([], ["cache"], "a/cache/b.txt", False),
        ([], ["a/cache"], "a/cache/b.txt", False),
        ([], ["a/cache"], "b/a/cache/b.txt", True),
        (["docs/*.txt"], ["draft*"], "docs/draft 1.txt", False),
        ([], ["[x]"], "x", False),
    ],
)
def test_patterns(include: list[str], exclude: list[str], path: str, taken: Any) -> None:
    assert Patterns(include, exclude).takes(path) is taken
