"""Backup, prune and restore are killed at random moments: every finished snapshot comes back byte for byte.

The sizes of the acceptance test: HOPYARD_INTERNAL_BACKUP_FILES=10000, HOPYARD_INTERNAL_BACKUP_MB=1000 and
HOPYARD_INTERNAL_BACKUP_KILLS=2: six kills each, of backup, prune and restore.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from file_store import Vault, digests, make_tree
from hopyard_file.backup.engine import backing_up

FILES = int(os.environ.get("HOPYARD_INTERNAL_BACKUP_FILES", "300"))
SIZE = int(os.environ.get("HOPYARD_INTERNAL_BACKUP_MB", "15")) * 1_000_000 // FILES
KILLS = int(os.environ.get("HOPYARD_INTERNAL_BACKUP_KILLS", "2"))
PROGRAM = Path(__file__).parents[3] / "tests" / "backup_child.py"


#: Counts the calls that open, write, make, rename or remove something, and dies before one of them.
CODE = """
import os, runpy, signal, sys
count, most = 0, int(sys.argv[1])
sys.argv[:] = sys.argv[2:]

def counted(name):
    real = getattr(os, name)
    def call(*given, **more):
        global count
        count += 1
        if count == most:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given, **more)
    setattr(os, name, call)

for name in ("open", "write", "link", "unlink", "replace", "rename", "mkdir", "fsync", "symlink"):
    counted(name)
runpy.run_path(sys.argv[0], run_name="__main__")
print(count)
"""


class Child:
    """Works on a repository in a process of its own."""

    def __init__(self, vault: Vault, what: str, place: Path) -> None:
        self._arguments = [str(one) for one in (PROGRAM, what, vault.path, place, vault.identity)]

    def run(self) -> int:
        """Let it come to its end; return how many calls it made."""
        calls = self._run(0)
        assert calls is not None
        return calls

    def killed_at(self, call: int) -> bool:
        """Have it killed before that call; say whether it came so far."""
        return self._run(call) is None

    def _run(self, call: int) -> int | None:
        command = [sys.executable, "-c", CODE, str(call), *self._arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
        if done.returncode == -signal.SIGKILL:
            return None
        assert done.returncode == 0, done.stderr
        return int(done.stdout.split()[-1])


def same(vault: Vault, contents: dict[str, dict[str, str]], target: Path) -> None:
    """Check that every finished snapshot comes back as the source was."""
    for n, id_ in enumerate(vault.snapshots()):
        restored = vault.restore(target / str(n), id_)
        assert restored.failed == 0
        assert digests(target / str(n)) == contents[id_]
        shutil.rmtree(target / str(n))


def change(vault: Vault, some: random.Random) -> None:
    """Change one file in a hundred, and at least three."""
    files = sorted(path for path in vault.source.rglob("*") if path.is_file())
    for path in some.sample(files, max(3, len(files) // 100)):
        path.write_bytes(some.randbytes(path.stat().st_size + 1))


@pytest.mark.timeout(1800)
def test_every_finished_snapshot_survives_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backing_up, "_RACY", 0)
    some = random.Random(7)
    source = tmp_path / "source"
    make_tree(source, FILES, size=SIZE)
    vault = Vault(tmp_path / "vault", source)
    first = vault.back_up()
    contents = {vault.snapshots()[0]: digests(source)}
    for _ in range(KILLS):
        change(vault, some)
        backup = Child(vault, "backup", source)
        for call in (some.randrange(20, 400), some.randrange(20, 2 * FILES)):
            backup.killed_at(call)  # it may be just when the snapshot is finished
            contents |= {id_: digests(source) for id_ in vault.snapshots() if id_ not in contents}
        backup.run()
        contents[vault.snapshots()[-1]] = digests(source)
        same(vault, contents, tmp_path)

        prune = Child(vault, "prune", source)
        for call in (some.randrange(1, 60), some.randrange(1, 60)):
            prune.killed_at(call)
            assert set(vault.snapshots()) <= {*contents}
            assert contents.keys() & set(vault.snapshots()) >= {*sorted(contents)[-2:]}
            same(vault, contents, tmp_path)
        prune.run()
        assert vault.snapshots() == sorted(contents)[-2:]
        contents = {id_: contents[id_] for id_ in vault.snapshots()}

        target = tmp_path / "target"
        restore = Child(vault, "restore", target)
        expected = contents[vault.snapshots()[-1]]
        for _ in range(2):
            restore.killed_at(some.randrange(20, 8 * FILES))
            assert all(expected[way] == data for way, data in _finished(target).items())
        restore.run()
        assert digests(target) == expected
        shutil.rmtree(target)
    assert vault.verify().ok
    stored = sum(path.stat().st_size for path in vault.objects())
    assert stored < first.stored_bytes * 1.5


def _finished(target: Path) -> dict[str, str]:
    found = digests(target) if target.exists() else {}
    return {way: data for way, data in found.items() if ".hopyard-restore-" not in way}
