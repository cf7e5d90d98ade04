"""Archives are unpacked into a new directory, within caps, and nothing of them leaves it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import file_samples as samples
import packed_samples as packed
import pytest
import zstandard
from hopyard.testing import DieAfter, Hop
from hopyard_file import File
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Put = Callable[[str, bytes], str]
FILES = {"a.txt": b"hello", "b/c.txt": b"deep", "b/d/e.bin": bytes(1000)}


def named(value: object) -> str:
    """Name a case by its file; packed bytes have the time in them."""
    return value if isinstance(value, str) else "bytes"


def unpack(hop: Hop, way: str, **arguments: Any) -> Any:
    return hop.run("file.unpack_archive", root="in", way=way, into="out", **arguments)


def tree(folder: Path) -> dict[str, bytes]:
    """What is in a directory, by way."""
    return {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


def untouched(folder: Path, way: str) -> bool:
    """Whether nothing but the archive is there, no half of it and no hidden directory either."""
    return [str(one.relative_to(folder)) for one in folder.rglob("*")] == [way]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.zip", packed.zipped(FILES)),
        ("a.tar", packed.tarred(FILES)),
        ("a.tar.gz", packed.tarred(FILES, mode="w:gz")),
        ("a.tar.bz2", packed.tarred(FILES, mode="w:bz2")),
        ("a.tar.xz", packed.tarred(FILES, mode="w:xz")),
        ("a.tar.zst", zstandard.compress(packed.tarred(FILES))),
    ],
    ids=named,
)
def test_all_files_come_out(hop: Hop, put: Put, folder: Path, name: str, content: bytes) -> None:
    found = unpack(hop, put(name, content)).result()
    assert tree(folder / "out") == FILES
    assert (found.files, found.bytes, found.into) == (3, 1009, "in:out")
    assert sorted(one.name for one in folder.iterdir()) == sorted([name, "out"])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt.gz", gzip.compress(b"alone")),
        ("a.txt.bz2", bz2.compress(b"alone")),
        ("a.txt.xz", lzma.compress(b"alone")),
        ("a.txt.zst", zstandard.compress(b"alone")),
    ],
    ids=named,
)
def test_a_file_that_is_packed_alone(hop: Hop, put: Put, folder: Path, name: str, content: bytes) -> None:
    assert unpack(hop, put(name, content)).result().files == 1
    assert tree(folder / "out") == {"a.txt": b"alone"}


def test_archives_in_it(hop: Hop, put: Put, folder: Path) -> None:
    inner = packed.tarred({"x.txt": b"x"}, mode="w:gz")
    way = put("a.zip", packed.zipped({"i.tgz": inner, "word.docx": samples.docx()}))
    assert unpack(hop, way, nested=True).ok
    assert set(tree(folder / "out")) == {"i.tgz", "i.tgz.unpacked/x.txt", "word.docx"}
    assert hop.run("file.unpack_archive", root="in", way=way, into="flat").ok
    assert set(tree(folder / "flat")) == {"i.tgz", "word.docx"}


REFUSED: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "up.zip": (lambda: packed.zipped({"../x": b"1"}), "'../x' in it leads out of the archive"),
    "up.tar": (lambda: packed.tarred({"a/../../x": b"1"}), "leads out of the archive"),
    "up-windows.zip": (lambda: packed.zipped({"a\\..\\..\\x": b"1"}), "leads out of the archive"),
    "absolute.tar": (lambda: packed.tarred({"/etc/x": b"1"}), "'/etc/x' in it is an absolute path"),
    "drive.zip": (lambda: packed.zipped({"C:\\x": b"1"}), "is an absolute path"),
    "control.zip": (lambda: packed.zipped({"a\nb": b"1"}), "has control characters in its name"),
    "long.tar": (lambda: packed.tarred({"x" * 300: b"1"}), "too long a name"),
    "deep.tar": (lambda: packed.tarred({"d/" * 60 + "x": b"1"}), "too long a name, or too deep"),
    "link.tar": (
        lambda: packed.tarred({}, members=[packed.member("l", tarfile.SYMTYPE, "/etc")]),
        "is a link",
    ),
    "hard.tar": (
        lambda: packed.tarred({}, members=[packed.member("l", tarfile.LNKTYPE, "/etc")]),
        "is a link",
    ),
    "link.zip": (lambda: packed.zipped({"l": b"/etc"}, modes={"l": 0o120777}), "is a link"),
    "device.tar": (lambda: packed.tarred({}, members=[packed.member("d", tarfile.CHRTYPE)]), "is no file"),
    "pipe.tar": (lambda: packed.tarred({}, members=[packed.member("p", tarfile.FIFOTYPE)]), "is no file"),
    "twice.zip": (lambda: twice(), "'a' is in it twice"),
    "file-and-folder.tar": (
        lambda: packed.tarred({"a": b"1", "a/b": b"2"}),
        "a file and a directory at once",
    ),
    "bomb.zip": (lambda: packed.zip_bomb(100_000_000), "more than 100 times its size"),
    "bomb.gz": (lambda: packed.gzip_bomb(100_000_000), "more than 100 times its size"),
    "bomb.tar.gz": (
        lambda: packed.tarred({"a": bytes(50_000_000)}, mode="w:gz"),
        "more than 100 times its size",
    ),
    "bomb.zst": (lambda: zstandard.compress(bytes(100_000_000)), "more than 100 times its size"),
    "overlapping.zip": (lambda: packed.overlapping_zip(20, 100_000), "shares bytes with another entry"),
    "many.zip": (
        lambda: packed.zipped(dict.fromkeys(map(str, range(10_001)), b"")),
        "more than 10,000 entries",
    ),
    "broken.tar.gz": (lambda: packed.tarred(FILES, mode="w:gz")[:-30], "it is a broken gzip archive"),
    "none.zip": (lambda: b"text", "it is no archive, but text"),
    "nested.zip": (lambda: packed.nested_zip(4), "archives are within archives more than 2 deep"),
}


def twice() -> bytes:
    """A zip file with an entry twice."""
    import warnings
    import zipfile

    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("a", b"1")
        archive.writestr("a", b"2")
    return out.getvalue()


@pytest.mark.parametrize("name", [*REFUSED])
def test_it_is_refused_and_nothing_is_left(hop: Hop, put: Put, folder: Path, name: str) -> None:
    make, reason = REFUSED[name]
    outcome = unpack(hop, put(name, make()), nested=True)
    assert outcome.state == "dead"
    assert reason in outcome.error["message"]
    assert (outcome.error["category"], outcome.attempt) == ("invalid_input", 1)
    assert untouched(folder, name)


def test_a_zip_that_lies_about_its_sizes_is_stopped_by_what_comes_out(
    hop: Hop, put: Put, folder: Path
) -> None:
    content = bytearray(packed.zip_bomb(60_000_000))
    size = (60_000_000).to_bytes(4, "little")
    while (at := content.find(size)) >= 0:
        content[at : at + 4] = (100).to_bytes(4, "little")
    outcome = unpack(hop, put("a.zip", bytes(content)))
    assert outcome.state == "dead"
    assert outcome.error["category"] == "invalid_input"
    assert untouched(folder, "a.zip")


def test_links_can_be_left_out(hop: Hop, put: Put, folder: Path) -> None:
    link = packed.member("l", tarfile.SYMTYPE, "/etc/passwd")
    found = unpack(hop, put("a.tar", packed.tarred({"a": b"1"}, members=[link])), skip_links=True).result()
    assert found.links_left_out == 1
    assert tree(folder / "out") == {"a": b"1"}
    assert not (folder / "out" / "l").is_symlink()


def test_nothing_is_overwritten_and_only_writable_roots_are_written_to(
    put: Put, folder: Path, tmp_path: Path
) -> None:
    settings: Any = {
        "plugins.file.settings.roots": {
            "in": {"path": str(folder)},
            "target": {"path": str(tmp_path / "target"), "writable": True},
        }
    }
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "link").symlink_to(folder)
    way = put("a.zip", packed.zipped(FILES))
    with Hop(File, folder=tmp_path / "two", settings=settings) as hop:
        assert "expected one with `writable = true`" in unpack(hop, way).error["message"]
        assert unpack(hop, way, into_root="target").ok
        assert "is in the root `target` already" in unpack(hop, way, into_root="target").error["message"]
        for into in ("../x", "/x", "link/x", "missing/x"):
            outcome: Any = hop.run("file.unpack_archive", root="in", way=way, into=into, into_root="target")
            assert outcome.error["category"] == "invalid_input", into
        assert tree(tmp_path / "target") == {f"out/{name}": content for name, content in FILES.items()}


def test_an_attempt_that_dies_leaves_nothing_and_the_next_one_is_whole(
    hop: Hop, put: Put, folder: Path
) -> None:
    hop.inject(DieAfter(save=1))
    outcome = unpack(hop, put("a.zip", packed.zipped(FILES)))
    assert (outcome.attempt, outcome.ok) == (2, True)
    assert tree(folder / "out") == FILES
    assert sorted(one.name for one in folder.iterdir()) == ["a.zip", "out"]


NAMES = st.lists(
    st.sampled_from(
        ["a", "b", "..", ".", "", "C:", "x\\y", "é", "\u202e", "a" * 256, "con", "/", "\x7f", "~", "\udcff"]
    ),
    min_size=1,
    max_size=5,
).map("/".join)


@given(
    names=st.lists(NAMES, min_size=1, max_size=4, unique=True),
    kinds=st.lists(
        st.sampled_from([tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE]),
        min_size=4,
        max_size=4,
    ),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_names_there_are_nothing_leaves_the_directory(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], kinds: list[bytes]
) -> None:
    from hopyard_file.parsing.faults import Limits, Refused
    from hopyard_file.parsing.unpacking import Unpacker

    outside = tmp_path_factory.mktemp("outside")
    target = outside / "target"
    target.mkdir()
    (outside / "witness").write_text("as it was")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", errors="surrogateescape") as archive:
        for name, kind in zip(names, kinds, strict=False):
            info = packed.member(name, kind, "../witness")
            info.size = 1 if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(b"x"))
    descriptor = os.open(target, os.O_RDONLY)
    try:
        Unpacker(descriptor, Limits(), len(out.getvalue()), nested=False, skip_links=True).run(
            out.getvalue(), "a.tar"
        )
    except Refused:
        pass
    finally:
        os.close(descriptor)
    assert sorted(one.name for one in outside.iterdir()) == ["target", "witness"]
    assert (outside / "witness").read_text() == "as it was"
    assert not any(one.is_symlink() for one in target.rglob("*"))
