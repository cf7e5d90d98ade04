"""Backups as jobs: what is recorded, who is told, commands, object stores, restic."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from file_store import Vault, content, hop_with, make_tree
from hopyard import Hopyard, current
from hopyard.cli import main
from hopyard.ledger import migrations
from hopyard.testing import CancelAfter, DieAfter, Hop
from hopyard_file.backup import state
from hopyard_file.backup.models import BackupReport, PruneReport, VerifyReport
from object_servers import Moto, running_moto
from pyrage import x25519  # type: ignore[import-untyped]
from servers import fresh_database

IDENTITY = str(x25519.Identity.generate())


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    """An S3 server."""
    with running_moto() as server:
        yield server


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Twenty files."""
    make_tree(tmp_path / "docs", 20)
    return tmp_path / "docs"


def backup_to(tmp_path: Path, **more: Any) -> dict[str, Any]:
    """Return settings of a source `docs` and a repository `main`."""
    repository = {"directory": str(tmp_path / "vault"), "identities": [IDENTITY], **more}
    return {
        "sources": {"docs": {"root": "docs", "repository": "main"}},
        "repositories": {"main": {key: value for key, value in repository.items() if value is not None}},
    }


@pytest.fixture
def hop(tmp_path: Path, source: Path) -> Iterator[Hop]:
    """An installation that backs `docs` up."""
    with hop_with(tmp_path / "hop", roots={"docs": source}, backup=backup_to(tmp_path, verify="all")) as made:
        yield made


def backed_up(hop: Hop, **arguments: Any) -> BackupReport:
    """Back `docs` up; return what was done."""
    return BackupReport.model_validate(
        hop.run("file.backup_user_data", source="docs", **arguments).result()[0]
    )


def health(hop: Hop) -> tuple[bool, str]:
    """Return what the health check says."""
    (check,) = [one for _, one in hop.hopyard.plugins.health_checks if one.name == "backups"]
    found: Any = hop._on_portal(check.run())  # type: ignore[arg-type]
    return found.ok, found.detail


def test_a_source_is_backed_up_checked_and_listed(hop: Hop) -> None:
    assert health(hop) == (False, "docs has no backup yet: hopyard file backup docs")
    planned = backed_up(hop, dry_run=True)
    assert (planned.new, planned.snapshot) == (20, None)
    report = backed_up(hop)
    assert (report.state, report.new, report.verified_packs) == ("ok", 20, 2)
    assert report.snapshot
    assert report.summary.startswith(f"docs is backed up as {report.snapshot}: 20 files")
    assert backed_up(hop, dry_run=True).unchanged == 20
    (line,) = hop.run("file.list_backups").result()
    assert (line["id"] if isinstance(line, dict) else line.id) == report.snapshot
    assert health(hop) == (True, "1 sources, each with a good backup")
    assert hop.notifications == []


def test_damage_is_told_and_healed(hop: Hop, tmp_path: Path) -> None:
    backed_up(hop)
    for pack in (tmp_path / "vault/packs").iterdir():
        data = bytearray(pack.read_bytes())
        data[100] ^= 1
        pack.write_bytes(data)
    report = VerifyReport.model_validate(hop.run("file.verify_backups").result()[0])
    assert not report.ok
    assert report.damaged_snapshots
    (told,) = hop.notifications
    assert told["title"] == "The backup repository main is damaged"
    assert report.damage[0].path in told["body"]
    assert health(hop)[0] is False
    backed_up(hop)
    hop.run("file.prune_backups")
    assert VerifyReport.model_validate(hop.run("file.verify_backups").result()[0]).ok
    assert health(hop)[0] is True


def test_a_backup_that_fails_is_told_once(hop: Hop, source: Path) -> None:
    shutil.rmtree(source)
    outcome = hop.run("file.backup_user_data", source="docs")
    assert outcome.state == "dead"
    assert [one["title"] for one in hop.notifications] == ["The backup of docs failed"]


def test_of_several_sources_one_fails_and_the_others_go_on(tmp_path: Path, source: Path) -> None:
    (tmp_path / "gone").mkdir()
    backup = backup_to(tmp_path)
    backup["sources"] |= {"gone": {"root": "gone", "repository": "main"}}
    with hop_with(tmp_path / "hop", roots={"docs": source, "gone": tmp_path / "gone"}, backup=backup) as hop:
        (tmp_path / "gone").rmdir()
        reports = [BackupReport.model_validate(one) for one in hop.run("file.backup_user_data").result()]
        assert [(one.source, one.state) for one in reports] == [("docs", "ok"), ("gone", "failed")]
        assert len(hop.notifications) == 1


@pytest.mark.parametrize("fault", [DieAfter(save=1), CancelAfter(save=1)])
def test_a_job_that_dies_does_not_repeat_sources(tmp_path: Path, source: Path, fault: Any) -> None:
    make_tree(tmp_path / "more", 5)
    backup = backup_to(tmp_path)
    backup["sources"] |= {"more": {"root": "more", "repository": "main"}}
    with hop_with(tmp_path / "hop", roots={"docs": source, "more": tmp_path / "more"}, backup=backup) as hop:
        hop.inject(fault)
        outcome = hop.run("file.backup_user_data")
        lines = hop.run("file.list_backups").result()
        if outcome.state == "cancelled":
            assert len(lines) == 1
        else:
            assert (outcome.state, len(lines)) == ("succeeded", 2)


def test_it_is_due_on_sundays_at_one(hop: Hop) -> None:
    monday = datetime(2027, 3, 1)
    due = hop.due_between("file.backup_user_data", monday, monday + timedelta(days=7))
    assert [f"{at:%a %H:%M}" for at in due] == ["Sun 01:00"]


def test_repositories_in_an_object_store(tmp_path: Path, source: Path, moto: Moto) -> None:
    (source / "large").write_bytes(random.Random(1).randbytes(20_000_000))
    backup = backup_to(
        tmp_path, directory=None, store={**moto.bucket(), "prefix": "backups/here"}, verify="all"
    )
    backup["repositories"]["main"]["keep"] = {"last": 1, "daily": 0, "weekly": 0, "monthly": 0}
    with hop_with(tmp_path / "hop", roots={"docs": source}, backup=backup) as hop:
        backed_up(hop)
        (source / "large").write_bytes(random.Random(2).randbytes(20_000_000))
        assert backed_up(hop).changed == 1
        pruned = PruneReport.model_validate(hop.run("file.prune_backups").result()[0])
        assert len(pruned.removed) == 1
        assert pruned.bytes_before - pruned.bytes_after > 19_000_000
        assert VerifyReport.model_validate(hop.run("file.verify_backups").result()[0]).ok
        from hopyard_file.backup.restoring import restore_from

        restored = hop._on_portal(restore_from("docs", str(tmp_path / "target")))
        assert restored.failed == 0
        assert content(tmp_path / "target") == content(source)


@pytest.mark.skipif(shutil.which("restic") is None, reason="restic is not installed")
def test_restic_does_the_same(tmp_path: Path, source: Path) -> None:
    secret = "CANARY-password"
    backup = backup_to(tmp_path, identities=None, engine="restic", password=secret, verify="all")
    backup["repositories"]["main"]["keep"] = {"last": 1, "daily": 0, "weekly": 0, "monthly": 0}
    with hop_with(tmp_path / "hop", roots={"docs": source}, backup=backup) as hop:
        first = backed_up(hop)
        assert (first.new, first.files, bool(first.snapshot)) == (20, 20, True)
        (source / "folder 1/inner 1/file 1.txt").write_text("changed")
        assert backed_up(hop).changed == 1
        pruned = PruneReport.model_validate(hop.run("file.prune_backups").result()[0])
        assert len(pruned.removed) == 1
        from hopyard_file.backup.restoring import restore_from

        hop._on_portal(restore_from("docs", str(tmp_path / "target")))
        assert content(tmp_path / "target") == content(source)
        part = ("folder 1/inner 1/file 1.txt",)
        hop._on_portal(restore_from("docs", str(tmp_path / "part"), part))
        assert [*content(tmp_path / "part")] == [*part]
        for pack in (tmp_path / "vault/data").rglob("*"):
            if pack.is_file():
                pack.chmod(0o600)
                data = bytearray(pack.read_bytes())
                data[len(data) // 2] ^= 1
                pack.write_bytes(data)
        assert not VerifyReport.model_validate(hop.run("file.verify_backups").result()[0]).ok
        assert secret not in json.dumps(hop.jobs(), default=str)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_records_on_both_databases(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'ledger.db'}"
    if kind == "postgresql":
        database = fresh_database(request.getfixturevalue("postgres_url"))
    histories = {migrations.CORE: migrations.CORE_PACKAGE, "file": "hopyard_file.migrations"}
    await migrations.upgrade(database, histories)
    overrides = {"plugins.allow": ["file"], "database_url": database}
    made = Hopyard.load(data=tmp_path / "data", overrides=overrides)
    current.set_instance(made)
    try:
        await state.record("source", "docs", "ok", None, '{"new": 1}')
        await state.record("source", "docs", "failed", "no \0 disk \udcff", None)
        await state.record("repository", "main", "damaged", None, "{}")
        found = (await state.standings("source"))["docs"]
        assert (found.state, found.error, found.report) == ("failed", "no \ufffd disk \\udcff", '{"new": 1}')
        assert found.succeeded is not None
        assert found.ended is not None
        assert found.ended >= found.succeeded
        assert (await state.standings("repository"))["main"].succeeded is None
    finally:
        await made.close()
        current.set_instance(None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"identities": []}, "expected `identities`"),
        ({"encryption": "none"}, "no `identities`"),
        ({"directory": None}, "either a `directory` or a `store`"),
        ({"directory": "/etc"}, "the system's"),
        ({"engine": "restic"}, "expected a `password`"),
        ({"verify": 7}, "repositories.main.verify"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    tmp_path: Path, source: Path, change: dict[str, Any], said: str
) -> None:
    with (
        pytest.raises(Exception, match=said),
        hop_with(tmp_path / "hop", roots={"docs": source}, backup=backup_to(tmp_path, **change)),
    ):
        pass


def test_a_repository_of_the_library_and_of_jobs_are_one(hop: Hop, tmp_path: Path, source: Path) -> None:
    backed_up(hop)
    vault = Vault(tmp_path / "vault", source, IDENTITY)
    vault.restore(tmp_path / "target")
    assert content(tmp_path / "target") == content(source)


# --- commands


@pytest.fixture
def shell(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Result]]:
    """Runs `hopyard …` in a folder with settings, where `docs` has a snapshot."""
    place = tmp_path / "site"
    place.mkdir()
    monkeypatch.chdir(place)
    Path("hopyard.toml").write_text(
        '[plugins]\nallow = ["file"]\n'
        f'[plugins.file.settings.roots.docs]\npath = "{source}"\n'
        '[plugins.file.settings.backup.sources.docs]\nroot = "docs"\nrepository = "main"\n'
        f'[plugins.file.settings.backup.repositories.main]\ndirectory = "{tmp_path}/vault"\n'
        f'identities = ["{IDENTITY}"]\n'
    )
    Vault(tmp_path / "vault", source, IDENTITY).back_up()

    def run(*words: str) -> Result:
        return CliRunner().invoke(main, [*words], env={"COLUMNS": "250"}, catch_exceptions=False)

    assert run("db", "upgrade").exit_code == 0
    yield run
    current.set_instance(None)


def test_commands_list_and_restore(shell: Callable[..., Result], tmp_path: Path, source: Path) -> None:
    made = shell("file", "snapshots", "--json")
    assert made.exit_code == 0, made.output
    (found,) = json.loads(made.stdout)
    assert (found["source"], found["files"]) == ("docs", 20)
    assert found["id"] in shell("file", "snapshots", "docs").stdout
    target = str(tmp_path / "target")
    planned = shell("file", "restore", "docs", "--to", target, "--dry-run")
    assert "20 files" in planned.stdout
    assert "would be restored" in planned.stdout
    assert not Path(target).exists()
    done = json.loads(shell("file", "restore", "docs", "folder 1", "--to", target, "--json").stdout)
    assert done["files"] == len(content(Path(target)))
    assert shell("file", "restore", "docs", "--to", target, "--snapshot", found["id"][:12]).exit_code == 0
    assert content(Path(target)) == content(source)
    (Path(target) / "folder 1/inner 1/file 1.txt").write_text("mine")
    kept = shell("file", "restore", "docs", "--to", target)
    assert "1 were there with another content and were left alone" in kept.stdout
    assert "folder 1/inner 1/file 1.txt: another file is there" in kept.stdout
    refused = shell("file", "restore", "docs", "--to", target, "--snapshot", "1999")
    assert refused.exit_code != 0
    assert "the latest are" in refused.output
    assert "no/such" in shell("file", "restore", "docs", "no/such", "--to", target).output
    assert IDENTITY not in shell("config", "show").output
