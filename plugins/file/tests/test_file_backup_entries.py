"""What is written of a file can be read, whatever its system says of it; one bad line costs one file."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from file_store import Vault, content
from hopyard_file.backup.engine.manifest import (
    Entry,
    Snapshot,
    entries_of,
    load_snapshot,
    new_id,
)
from hopyard_file.backup.engine.packs import DATA, TREE
from hypothesis import given
from hypothesis import strategies as st

#: What the fields of `stat` can hold: 64 bits, and times in nanoseconds of 64 bits of seconds.
WIDE = st.integers(-(2**63), 2**64 - 1)
TIMES = st.integers(-(2**63) * 10**9, 2**63 * 10**9)
NAMES = st.binary(min_size=1, max_size=255).filter(
    lambda one: one not in (b".", b"..") and not {0, 47}.intersection(one)
)


@given(NAMES, TIMES, TIMES, WIDE, st.integers(0, 2**63 - 1), WIDE, WIDE)
def test_whatever_a_system_says_of_a_file_is_read_as_it_was_written(
    name: bytes, modified: int, changed: int, inode: int, size: int, uid: int, gid: int
) -> None:
    one = Entry(
        os.fsdecode(name),
        "file",
        mode=0o7777,
        uid=uid,
        gid=gid,
        size=size,
        modified=modified,
        changed=changed,
        inode=inode,
        target=os.fsdecode(name),
    )
    assert [*entries_of(one.line())] == [one]


def plant(vault: Vault, body: bytes, **more: object) -> None:
    """Make a snapshot that is later than all, with a list of files of our own."""
    with vault.opened() as (repository, _):
        name = repository.seals.name(body)
        repository.add(TREE, name, body)
        repository.flush()
        now = datetime.now(UTC)
        values = {"number": 99, **more}
        repository.put_snapshot(
            Snapshot(new_id(now), "docs", "h", "/x", now, now, 1, 0, 0, 1, 0, 0, (name,), **values)  # type: ignore[arg-type]
        )


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """A repository that anybody can write to, with one snapshot of one file."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_text("1")
    made = Vault(tmp_path / "vault", source, encryption="none")
    made.back_up()
    return made


@pytest.mark.parametrize(
    "line",
    [
        b'{"p":"\\ud800","t":"f"}',
        b'{"p":"x","t":"?"}',
        b'{"p":"../x","t":"f"}',
        b'{"p":"x","t":"f","c":[1]}',
        b'{"p":"x","t":"f","s":1e999}',
        b'{"p":"x","t":"f","mt":' + b"9" * 60 + b"}",
        b'{"p":"x","t":"l","l":"a\\u0000b"}',
        b'{"p":"x","t":"l","l":"\\ud800"}',
        b"[1]",
        b"\xff",
        b'{"p":"x","t":"f","s":-5}',
        b'{"p":"x","t":"f","s":4611686018427387904}',
    ],
)
def test_a_planted_line_costs_what_it_stands_for_and_nothing_else(
    vault: Vault, tmp_path: Path, line: bytes
) -> None:
    with vault.opened() as (repository, _):
        piece = repository.seals.name(b"2")
        repository.add(DATA, piece, b"2")
        repository.flush()
    good = Entry("b", "file", mode=0o644, size=1, chunks=(piece,)).line()
    plant(vault, line + b"\n" + good)

    restored = vault.restore(tmp_path / "target")
    assert (restored.files, restored.failed) == (1, 1)
    assert content(tmp_path / "target") == {"b": b"2"}
    assert not vault.verify().ok
    assert vault.prune(5).removed == []
    assert vault.back_up().snapshot is not None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("source", '"\\ud800"'),
        ("host", '"\\ud800"'),
        ("root", '"a\\u0000"'),
        ("started", '"0001-01-01T00:00:00+14:00"'),
        ("started", '"9999-12-31T23:59:59+00:00"'),
        ("number", "-1e5"),
        ("parts", "7"),
    ],
)
def test_a_planted_snapshot_is_one_that_cannot_be_read(vault: Vault, field: str, value: str) -> None:
    with vault.opened() as (repository, _):
        one = repository.snapshots()[0][0]
        text = one.dump().decode()
        before = text[text.index(f'"{field}": ') + len(field) + 4 :]
        length = (
            before.index('", "') + 1
            if before[0] == '"'
            else min(at for end in (", ", "}") if (at := before.find(end)) >= 0)
        )
        body = text.replace(f'"{field}": {before[:length]}', f'"{field}": {value}').encode()
        with pytest.raises(Exception, match="cannot be read"):
            load_snapshot(one.id, body)
        key = f"snapshots/{one.id[:-8]}00000000"
        repository.place.put(key, repository.seals.close_object(body, key))
    assert len(vault.verify().damaged_snapshots) == 1
    assert vault.prune(5).note
    assert vault.back_up().snapshot is not None


def test_a_time_after_2262_costs_nothing(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for n in range(20):
        (source / f"file {n}").write_text(str(n))
    os.utime(source / "file 7", (13_537_929_600, 13_537_929_600))  # 2399
    vault = Vault(tmp_path / "vault", source)
    vault.back_up()
    restored = vault.restore(tmp_path / "target")
    assert (restored.files, restored.failed) == (20, 0)
    assert content(tmp_path / "target") == content(source)
    assert vault.verify().ok
    again = vault.back_up()
    assert again.unchanged == 20


def test_a_time_that_this_file_system_cannot_keep_costs_the_time_and_is_told(
    vault: Vault, tmp_path: Path
) -> None:
    with vault.opened() as (repository, _):
        piece = repository.seals.name(b"2")
        repository.add(DATA, piece, b"2")
        repository.flush()
    plant(vault, Entry("b", "file", mode=0o644, size=1, modified=2**94, chunks=(piece,)).line())
    restored = vault.restore(tmp_path / "target")
    assert (restored.files, restored.failed) == (1, 0)
    assert "its time" in restored.notes[0][1]


def test_a_name_that_is_no_utf8_is_restored_by_the_name_that_is_shown(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "d").mkdir()
    Path(os.fsdecode(os.fsencode(source) + b"/d/\xff\xe9")).write_text("x")
    (source / "d" / "other").write_text("y")
    vault = Vault(tmp_path / "vault", source)
    vault.back_up()
    restored = vault.restore(tmp_path / "target", paths=("d/\\xff\\xe9",))
    assert (restored.files, restored.failed) == (1, 0)
    assert [*content(tmp_path / "target").values()] == [b"x"]


def test_what_is_whole_in_a_pack_of_another_length_is_restored(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for n in range(8):
        (source / f"file {n}").write_bytes(os.urandom(2_000))
    vault = Vault(tmp_path / "vault", source)
    vault.back_up()
    pack = max((vault.path / "packs").iterdir(), key=lambda one: one.stat().st_size)
    whole = pack.read_bytes()

    pack.write_bytes(whole + b"x")
    assert vault.restore(tmp_path / "longer").failed == 0
    assert not vault.verify().ok

    pack.write_bytes(whole[: len(whole) // 2])
    restored = vault.restore(tmp_path / "shorter")
    assert 0 < restored.failed < 8
    found = content(tmp_path / "shorter")
    assert found == {path: data for path, data in content(source).items() if path in found}

    vault.back_up()  # stores anew what was lost
    assert vault.restore(tmp_path / "healed").failed == 0
    vault.prune(5)
    assert vault.verify().ok
