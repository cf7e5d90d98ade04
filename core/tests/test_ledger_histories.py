"""Histories of migrations: what is read from files, and what is wrong with one stops no other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hopyard.errors import LedgerError, MigrationError, MigrationMissing
from hopyard.ledger import migrations
from hopyard.ledger.database import Database, open_database
from hopyard.ledger.histories import read_history

CORE = {migrations.CORE: migrations.CORE_PACKAGE}
FIRST = 'revision = "{0}"\ndown_revision = None\ndef upgrade():\n    {1}\n'
NEXT = 'revision: str = "{0}"\ndown_revision: str | None = {1!r}\ndef upgrade():\n    pass\n'
#: As Alembic's own template writes it.
ALEMBIC = '''"""first

Revision ID: a1b2c3
Create Date: 2026-01-01
"""
from typing import Sequence, Union
from alembic import op
import sqlalchemy as sa

revision: str = 'a1b2c3'
down_revision: Union[str, Sequence[str], None] = None
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None

def upgrade() -> None:
    op.create_table("weather_town", sa.Column("name", sa.Text, primary_key=True))
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Makes packages of migrations: file names to texts."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, files: dict[str, str | bytes]) -> str:
        folder = tmp_path / name / "versions"
        folder.mkdir(parents=True)
        (tmp_path / name / "__init__.py").touch()
        for file, text in files.items():
            (folder / file).write_bytes(text.encode() if isinstance(text, str) else text)
        return name

    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new.db'}"
    from servers import fresh_database

    return fresh_database(request.getfixturevalue("postgres_url"))


async def faults(url: str, histories: dict[str, object]) -> dict[str, LedgerError]:
    database = open_database(url)
    try:
        return await migrations.faults(database, histories)
    finally:
        await database.close()


BROKEN: dict[str, tuple[dict[str, str | bytes], str]] = {
    "syntax": ({"0001_a.py": "revision = (\n"}, "0001_a.py:1: "),
    "nul": ({"0001_a.py": b'revision = "\x00"'}, "0001_a.py"),
    "encoding": ({"0001_a.py": b'revision = "\xff"'}, "0001_a.py"),
    "empty": ({}, "expected files such as 0001_initial.py"),
    "no_revision": ({"helpers.py": "X = 1\n"}, "helpers.py has no revision"),
    "computed": ({"0001_a.py": "revision = str(1)\n"}, "0001_a.py:1: revision is computed"),
    "odd_down": ({"0001_a.py": 'revision = "1"\ndown_revision = 7\n'}, "down_revision is 7"),
    "same": ({"a.py": FIRST.format("1", "pass"), "b.py": FIRST.format("1", "pass")}, "the same revision 1"),
    "two_heads": ({"a.py": FIRST.format("1", "pass"), "b.py": FIRST.format("2", "pass")}, "1, 2 in"),
    "gap": ({"b.py": NEXT.format("2", "1")}, "follows 1, which is not there"),
    "circle": ({"a.py": NEXT.format("1", "2"), "b.py": NEXT.format("2", "1")}, "in a circle"),
}


@pytest.mark.parametrize("kind", BROKEN)
async def test_a_broken_history_is_its_owners_alone(url: str, package: Callable[..., str], kind: str) -> None:
    files, said = BROKEN[kind]
    histories = {
        **CORE,
        "bad": package(f"bad_{kind}", files),
        "good": package(f"good_{kind}", {"a1b2c3_first.py": ALEMBIC}),
    }
    done = await migrations.upgrade(url, histories)
    assert said in str(done["bad"].error)
    assert "\n" not in str(done["bad"].error)
    assert done["good"] == (None, "a1b2c3", None)
    found = await faults(url, histories)  # type: ignore[arg-type]
    assert {name: str(error) for name, error in found.items()} == {"bad": str(done["bad"].error)}


@pytest.mark.parametrize("named", ["mig_none", "hopyard.no.such", 7, "", ".versions", "json", "json.tool"])
async def test_a_package_that_is_none_is_its_owners_alone(url: str, named: object) -> None:
    histories = {**CORE, "bad": named}
    done = await migrations.upgrade(url, histories)
    assert done["hopyard"].error is None
    assert isinstance(done["bad"].error, MigrationError)
    assert [*await faults(url, histories)] == ["bad"]


@pytest.mark.parametrize("raises", ["import sys; sys.exit(3)", "raise RuntimeError('no')", "from x import ("])
async def test_a_package_above_it_that_cannot_be_imported(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raises: str
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"above_{abs(hash(raises))}_{url[:3]}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(raises)
    found = await faults(url, {"bad": f"{name}.migrations"})
    assert isinstance(found["bad"], MigrationError)


@pytest.mark.parametrize(
    "body",
    [
        "raise RuntimeError('the old data is odd')",
        "import sys; sys.exit(2)",
        "from alembic import op; op.execute('SELECT nonsense')",
        "from alembic import op; op.execute('CREATE TABLE half (x int)'); open('/no/such/file')",
    ],
)
async def test_a_migration_that_fails_undoes_its_own_only(
    url: str, package: Callable[..., str], body: str
) -> None:
    name = f"fails_{abs(hash(body))}_{url[:3]}"
    bad = package(name, {"0001_a.py": FIRST.format("1", body)})
    good = package(f"{name}_not", {"x.py": ALEMBIC})
    histories = {**CORE, "bad": bad, "good": good}
    done = await migrations.upgrade(url, histories)
    assert "0001_a.py:4: " in str(done["bad"].error)
    assert done["good"].after == "a1b2c3"
    found = await faults(url, histories)  # type: ignore[arg-type]
    assert [*found] == ["bad"]
    assert isinstance(found["bad"], MigrationMissing)
    (Path(read_history(bad).folder) / "0001_a.py").write_text(FIRST.format("1", "pass"))
    assert (await migrations.upgrade(url, histories))["bad"] == (None, "1", None)
    assert await faults(url, histories) == {}  # type: ignore[arg-type]


async def test_a_database_that_is_newer_than_the_code(url: str, package: Callable[..., str]) -> None:
    new = package("newer", {"a.py": FIRST.format("one", "pass"), "b.py": NEXT.format("two", "one")})
    histories = {**CORE, "weather": new}
    await migrations.upgrade(url, histories)
    (read_history(new).folder / "b.py").unlink()
    found = await faults(url, histories)  # type: ignore[arg-type]
    said = "the database has revision two of weather, which this release does not know (its newest is one)"
    assert said in str(found["weather"])
    done = await migrations.upgrade(url, histories)
    assert said in str(done["weather"].error)
    database = open_database(url)
    await database.execute(f"UPDATE {migrations.version_table('hopyard')} SET version_num = 'two'")
    await database.close()
    with pytest.raises(MigrationError, match="revision two of hopyard"):
        await migrations.upgrade(url, CORE)


async def test_a_history_that_was_joined_again(url: str, package: Callable[..., str]) -> None:
    files = {
        "a.py": FIRST.format("a", "pass"),
        "b.py": NEXT.format("b", "a"),
        "c.py": NEXT.format("c", "a"),
        "joined.py": NEXT.format("d", ("b", "c")),
    }
    histories = {**CORE, "weather": package("joined", files)}
    assert (await migrations.upgrade(url, histories))["weather"] == (None, "d", None)
    assert await faults(url, histories) == {}  # type: ignore[arg-type]


async def test_a_version_table_of_another_shape_is_its_owners_alone(
    database: Database, database_url: str, package: Callable[..., str]
) -> None:
    await database.execute("CREATE TABLE hopyard_version_weather (x int)")
    histories = {**CORE, "weather": package(f"shape_{database.dialect.name}", {"a.py": ALEMBIC})}
    assert [*await migrations.faults(database, histories)] == ["weather"]
    done = await migrations.upgrade(database_url, histories)
    assert done["weather"].error is not None


def test_the_check_at_the_start_imports_no_alembic(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom hopyard.ledger import migrations\nmigrations.head('hopyard.ledger')\n"
        "print([name for name in ('alembic', 'sqlalchemy') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
