"""Works on a backup repository, to be killed: `backup_child.py WORK REPOSITORY PLACE IDENTITY`.

WORK is `backup` (PLACE is the source), `prune` (keeps the last two snapshots; PLACE is not used) or `restore`
(of the last snapshot, into PLACE).
"""

from __future__ import annotations

import sys
from contextlib import closing
from zoneinfo import ZoneInfo

from hopyard_file.backup.engine.backing_up import back_up
from hopyard_file.backup.engine.keyring import Keyring
from hopyard_file.backup.engine.locking import Lock
from hopyard_file.backup.engine.outcomes import Source, Wish
from hopyard_file.backup.engine.places import DirectoryPlace
from hopyard_file.backup.engine.pruning import prune
from hopyard_file.backup.engine.repository import open_repository
from hopyard_file.backup.engine.restoring import restore
from hopyard_file.backup.engine.retention import Keep
from hopyard_file.backup.engine.telling import quiet


def work(what: str, path: str, place: str, identity: str) -> None:
    """Do it."""
    objects = DirectoryPlace(path)
    with (
        closing(open_repository(objects, "age", Keyring([identity]), create=what == "backup")) as repository,
        Lock(objects, "alone" if what == "prune" else "shared", what) as lock,
    ):
        repository.load()
        if what == "backup":
            back_up(repository, Source("docs", place), lock, quiet)
        elif what == "prune":
            keep = Keep(last=2, daily=0, weekly=0, monthly=0)
            prune(repository, lock, quiet, keep, ZoneInfo("UTC"))
        else:
            restore(repository, repository.snapshots()[0][-1], place, Wish(), lock, quiet)


if __name__ == "__main__":
    work(*sys.argv[1:])
