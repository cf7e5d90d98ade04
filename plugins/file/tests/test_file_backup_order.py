"""Which snapshot is the latest, which stay, and that nothing older is taken for it in silence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from file_store import Vault, content, hop_with
from hopyard.errors import InvalidInput
from hopyard.testing import Hop
from hopyard_file.backup.engine import backing_up
from hopyard_file.backup.engine.manifest import Snapshot, moment_of, new_id
from hopyard_file.backup.engine.retention import Keep, kept
from hopyard_file.backup.restoring import restore_from
from hypothesis import given
from hypothesis import strategies as st
from pyrage import x25519  # type: ignore[import-untyped]

UTC_ZONE = ZoneInfo("UTC")


@contextmanager
def clock_at(now: datetime) -> Iterator[None]:
    """Have backups take this for the time."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return now

    with patch.object(backing_up, "datetime", Clock):
        yield


# --- retention


def snapshots_of(hours: list[int]) -> list[Snapshot]:
    """Snapshots in the order in which they were made, each so many hours after the one before."""
    at, made = datetime(2026, 1, 1, tzinfo=UTC), []
    for number, more in enumerate(hours, 1):
        at += timedelta(hours=more)
        made.append(Snapshot(f"{number}", "s", "h", "/", at, at, 1, 0, 0, 1, 0, 0, (), number))
    return made


@given(
    st.lists(st.tuples(st.integers(0, 60), st.booleans()), min_size=1, max_size=30),
    st.integers(0, 4),
    st.integers(0, 4),
    st.integers(0, 3),
)
def test_damage_never_has_a_snapshot_removed_that_would_stay_without_it(
    made: list[tuple[int, bool]], last: int, daily: int, weekly: int
) -> None:
    snapshots = snapshots_of([hours for hours, _ in made])
    damaged = {one.id for one, (_, bad) in zip(snapshots, made, strict=True) if bad}
    keep = Keep(last=last, daily=daily, weekly=weekly, monthly=0)
    found = kept(snapshots, keep, UTC_ZONE, damaged)
    assert found.keys() >= kept(snapshots, keep, UTC_ZONE).keys() - {
        # without damage the newest one stays whatever the rules say; with it the newest good one does
        snapshots[-1].id
    }
    good = [one for one in snapshots if one.id not in damaged]
    expected = kept(good, keep, UTC_ZONE)
    assert {one for one in found if one not in damaged} == ({*expected} if good else set())


def test_one_flipped_byte_costs_no_snapshot_within_its_retention(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "old.bin").write_bytes(os.urandom(50_000))
    vault = Vault(tmp_path / "vault", source)
    for n in range(4):
        (source / f"report {n}").write_text(f"report {n}")
        vault.back_up()
        (source / f"report {n}").unlink()
    with vault.opened() as (repository, _):
        entries = {one.path: one for one in repository.entries(repository.snapshots()[0][0])}
        where = repository.catalog.find(entries["old.bin"].chunks[0])[0]
    (source / "old.bin").unlink()
    (source / "new").write_text("new")
    vault.back_up()
    pack = vault.path / "packs" / where.pack
    data = bytearray(pack.read_bytes())
    data[where.start + 100] ^= 1
    pack.write_bytes(data)
    damaged = vault.verify().damaged_snapshots
    assert len(damaged) == 4

    pruned = vault.prune(3, damaged=damaged)
    assert pruned.removed == []
    assert pruned.kept[damaged[0]] == ["last, beside the others: damaged"]
    for n, id_ in enumerate(vault.snapshots()[:4]):
        vault.restore(tmp_path / f"target {n}", id_)
        assert content(tmp_path / f"target {n}") == {f"report {n}": f"report {n}".encode()}


# --- clocks


def test_a_clock_that_was_ahead_once_is_neither_the_latest_nor_kept_instead_of_others(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    vault = Vault(tmp_path / "vault", source)
    days = [datetime(2026, 12, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)]
    days += [datetime(2026, 12, 2 + n, tzinfo=UTC) for n in range(4)]
    for n, day in enumerate(days):
        (source / "a").write_text(f"backup {n}")
        with clock_at(day):
            vault.back_up()
    vault.restore(tmp_path / "target")
    assert content(tmp_path / "target") == {"a": b"backup 5"}

    with vault.opened() as (repository, _):
        found, _ = repository.snapshots("docs")
    assert [one.number for one in found] == [1, 2, 3, 4, 5, 6]
    stays = kept(found, Keep(last=0, daily=5, weekly=0, monthly=0), UTC_ZONE)
    days_kept = {one.started.day for one in found if one.id in stays and one.started.year == 2026}
    assert days_kept == {1, 2, 3, 4, 5}
    assert stays[found[1].id] == ["daily, beside the others: its clock was ahead"]
    assert len(vault.prune(4).removed) == 2


def test_a_snapshot_of_an_older_version_with_a_wrong_clock_is_followed_by_the_next(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_text("1")
    vault = Vault(tmp_path / "vault", source)
    vault.back_up()
    with vault.opened() as (repository, _):
        one = repository.snapshots()[0][0]
        far = datetime(2099, 1, 1, tzinfo=UTC)
        repository.put_snapshot(
            Snapshot(new_id(far), "docs", "h", "/", far, far, 1, 0, 0, 1, 0, 0, one.parts)
        )
    (source / "a").write_text("22")
    vault.back_up()
    vault.restore(tmp_path / "target")
    assert content(tmp_path / "target") == {"a": b"22"}


# --- what cannot be read


@pytest.fixture
def hop(tmp_path: Path) -> Iterator[Hop]:
    """An installation with two snapshots of the source `docs`."""
    root = tmp_path / "docs"
    root.mkdir()
    repository = {"directory": str(tmp_path / "vault"), "identities": [str(x25519.Identity.generate())]}
    backup = {
        "sources": {"docs": {"root": "docs", "repository": "main"}},
        "repositories": {"main": repository},
    }
    with hop_with(tmp_path / "hop", roots={"docs": root}, backup=backup) as made:
        for n in (1, 2):
            (root / "a").write_text(f"state {n}")
            made.run("file.backup_user_data", source="docs").result()
        yield made


def test_the_latest_is_refused_where_it_cannot_be_read(hop: Hop, tmp_path: Path) -> None:
    first, second = sorted((tmp_path / "vault" / "snapshots").iterdir())
    target = str(tmp_path / "target")
    report = hop._on_portal(restore_from("docs", target))
    assert report.snapshot == second.name
    assert second.name in str(report.summary)
    assert f"{moment_of(second.name):%Y-%m-%d %H:%M}" in str(report.summary)

    second.write_bytes(second.read_bytes()[:-1])
    with pytest.raises(InvalidInput, match=f"{second.name} cannot be read.*--snapshot {first.name}"):
        hop._on_portal(restore_from("docs", target))
    report = hop._on_portal(restore_from("docs", str(tmp_path / "older"), snapshot=first.name))
    assert (report.snapshot, report.files) == (first.name, 1)

    lines = hop.run("file.list_backups", source="docs").result()
    assert [(one.id, one.error is None) for one in lines] == [(second.name, False), (first.name, True)]

    hop.run("file.backup_user_data", source="docs").result()  # a later one makes it the past
    assert hop._on_portal(restore_from("docs", str(tmp_path / "again"))).files == 1


@pytest.mark.parametrize("target", ["", " ", "vault", "vault/packs"])
def test_targets_that_would_harm_are_refused(hop: Hop, tmp_path: Path, target: str) -> None:
    with pytest.raises(InvalidInput, match="to: found"):
        hop._on_portal(restore_from("docs", str(tmp_path / target) if target.strip() else target))
