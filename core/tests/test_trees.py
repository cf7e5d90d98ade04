"""Trees that others change meanwhile: nothing outside of the place is ever looked at or removed."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hopyard import trees
from hopyard.errors import InvalidInput
from hopyard.trees import Directory, File, Troubles


def names(root: Path, troubles: Troubles | None = None) -> list[str]:
    """Walk a tree; return its files as ways from the root."""
    found = []
    with closing(trees.walk(str(root), troubles or Troubles())) as directories:
        for directory in directories:
            way = "" if directory.shown == "." else f"{directory.shown}/"
            found += [f"{way}{trees.shown(file.name)}" for file in directory.files()]
    return sorted(found)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_it_sees_regular_files_at_any_depth(tmp_path: Path) -> None:
    for name in ("a.log", "b/c.log", "b/d/e.log", "f/g.log"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    before = descriptors()
    assert names(tmp_path) == ["a.log", "b/c.log", "b/d/e.log", "f/g.log"]
    assert descriptors() == before


def test_links_pipes_and_sockets_are_no_files(tmp_path: Path) -> None:
    place, outside = tmp_path / "place", tmp_path / "outside"
    place.mkdir()
    outside.mkdir()
    (outside / "secret.log").write_text("x")
    (place / "link.log").symlink_to(outside / "secret.log")
    (place / "linked").symlink_to(outside)
    (place / "dangling.log").symlink_to("/nowhere")
    os.mkfifo(place / "pipe.log")
    subprocess.run(
        ["python3", "-c", "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])", "s.log"],
        cwd=place,
        check=True,
    )
    (place / "real.log").write_text("x")
    assert names(place) == ["real.log"]


@pytest.mark.parametrize("link", ["place", "above", "place/"])
def test_a_place_with_a_link_in_it_is_refused(tmp_path: Path, link: str) -> None:
    (tmp_path / "real" / "place").mkdir(parents=True)
    (tmp_path / "above").symlink_to("real")
    (tmp_path / "place").symlink_to("real/place")
    path = f"{tmp_path}/above/place" if link == "above" else f"{tmp_path}/{link}"
    with pytest.raises(InvalidInput, match=r"is a link: give the place itself"):
        names(Path(path))
    assert names(tmp_path / "real" / "place") == []
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidInput, match="file is no directory"):
        names(tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        names(tmp_path / "none")


def test_names_with_anything_in_them(tmp_path: Path) -> None:
    odd = [b"line\nbreak.log", b"\xff\xfe.log", "größe.log".encode(), b"-rf.log", b"\x1b[31mred.log", b"..x"]
    for name in odd:
        with open(os.path.join(os.fsencode(tmp_path), name), "wb"):
            pass
    found = names(tmp_path)
    assert len(found) == len(odd)
    assert r"line\nbreak.log" in found
    assert "größe.log" in found
    assert all(name.isprintable() for name in found)
    with closing(trees.walk(str(tmp_path), Troubles())) as directories:
        (directory,) = [one for one in directories if all(one.remove(file) for file in one.files())]
    assert directory.shown == "."
    assert names(tmp_path) == []


def deep(root: Path, depth: int) -> None:
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(os.open("bottom.log", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A place in memory where there is one: removing a deep tree takes some disks half a minute."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as folder:
        yield Path(folder)
        subprocess.run(["rm", "-rf", f"{folder}/d"], check=True)


def test_a_tree_of_ten_thousand_levels(quick: Path) -> None:
    """Its path is longer than the kernel takes, and there are not so many descriptors."""
    deep(quick, 10_000)
    seen: list[str] = []
    most, before = 0, descriptors()
    with closing(trees.walk(str(quick), Troubles())) as directories:
        for n, directory in enumerate(directories):
            if n % 1000 == 0:
                most = max(most, descriptors())
            seen += [file.name for file in directory.files() if directory.remove(file)]
    assert seen == ["bottom.log"]
    assert most <= before + 2
    assert n == 10_000


class Race:
    """Something happens between the walk's look at a directory and its next step."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.troubles = Troubles()

    def steps(self) -> Iterator[Directory]:
        with closing(trees.walk(str(self.root), self.troubles)) as directories:
            yield from directories


def test_a_directory_that_becomes_a_link_is_not_entered(tmp_path: Path) -> None:
    place, outside = tmp_path / "place", tmp_path / "outside"
    (place / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "kept.log").write_text("x")
    seen: list[str] = []
    scan = trees._below

    def swap(descriptor: int) -> list[str]:
        found = scan(descriptor)
        if found == ["sub"]:
            (place / "sub").rmdir()
            (place / "sub").symlink_to(outside)
        return found

    trees._below = swap
    try:
        for directory in Race(place).steps():
            seen += [file.name for file in directory.files()]
    finally:
        trees._below = scan
    assert seen == []


def test_a_directory_that_becomes_a_link_after_it_was_opened(tmp_path: Path) -> None:
    """What is removed is what was opened, wherever its name leads now."""
    place, outside = tmp_path / "place", tmp_path / "outside"
    (place / "sub").mkdir(parents=True)
    outside.mkdir()
    for folder in (place / "sub", outside):
        (folder / "old.log").write_text("x")
    for directory in Race(place).steps():
        files = [*directory.files()]
        if files:
            (place / "sub").rename(tmp_path / "elsewhere")
            (place / "sub").symlink_to(outside)
            assert directory.remove(files[0])
    assert (outside / "old.log").exists()
    assert not (tmp_path / "elsewhere" / "old.log").exists()


def test_a_directory_that_is_moved_away_ends_the_walk(tmp_path: Path) -> None:
    """`..` leads elsewhere then, and nothing there is looked at."""
    place, outside = tmp_path / "place", tmp_path / "outside"
    (place / "a").mkdir(parents=True)
    (place / "b").mkdir()
    outside.mkdir()
    (outside / "kept.log").write_text("x")
    race, seen = Race(place), list[str]()
    for directory in race.steps():
        seen += [file.name for file in directory.files()]
        if directory.shown != ".":
            (place / directory.shown).rename(outside / "moved")
    assert seen == []
    assert len(race.troubles.words) == 1
    assert "was moved meanwhile" in race.troubles.words[0]


def test_a_file_that_changed_since_is_left_alone(tmp_path: Path) -> None:
    for name in ("kept", "written.log", "replaced.log", "linked.log", "gone.log", "old.log"):
        (tmp_path / name).write_text("x")
    for directory in Race(tmp_path).steps():
        files = {file.name: file for file in directory.files()}
        (tmp_path / "written.log").write_text("more")
        (tmp_path / "replaced.log").unlink()
        (tmp_path / "replaced.log").mkdir()
        (tmp_path / "linked.log").unlink()
        (tmp_path / "linked.log").symlink_to(tmp_path / "kept")
        (tmp_path / "gone.log").unlink()
        removed = {name for name in files if name != "kept" and directory.remove(files[name])}
        assert removed == {"old.log"}
        break
    assert (tmp_path / "kept").read_text() == "x"
    assert (tmp_path / "written.log").read_text() == "more"


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A place with a directory of the same file system bound into it a second time."""
    place, other = tmp_path / "place", tmp_path / "other"
    (place / "mount").mkdir(parents=True)
    other.mkdir()
    (other / "kept.log").write_text("x")
    bound = subprocess.run(
        ["mount", "--bind", str(other), str(place / "mount")], capture_output=True, check=False
    )
    if bound.returncode:
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", str(place / "mount")], check=True)


def test_other_mounts_are_left_alone_even_of_the_same_file_system(mounted: Path) -> None:
    (mounted / "own.log").write_text("x")
    assert os.stat(mounted).st_dev == os.stat(mounted / "mount").st_dev
    troubles = Troubles()
    assert names(mounted, troubles) == ["own.log"]
    assert troubles.words == ["mount: is another mount, which is left alone"]


def test_what_may_not_be_entered_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(30):
        (tmp_path / f"closed{n}").mkdir()
    (tmp_path / "open.log").write_text("x")
    real = os.open

    def refuse(path: object, *args: object, **kwargs: object) -> int:
        if str(path).startswith("closed"):  # root may enter everything
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)
    troubles = Troubles()
    assert names(tmp_path, troubles) == ["open.log"]
    assert troubles.count == 30
    assert len(troubles.words) == 20
    assert troubles.words[0].endswith(": Permission denied")


def test_open_files_are_known(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_text("x")
    identity = (file.stat().st_dev, file.stat().st_ino)
    assert identity not in trees.open_files()
    with file.open():
        assert identity in trees.open_files()


def test_long_names_are_shortened() -> None:
    assert len(trees.shown("x" * 5000)) == 201


def test_a_files_hard_links_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("x")
    os.link(tmp_path / "a.log", tmp_path / "b.log")
    found: list[File] = []
    for directory in Race(tmp_path).steps():
        found += directory.files()
    assert [file.links for file in found] == [2, 2]


def test_a_file_is_opened_below_its_root_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "a").write_text("inside")
    (tmp_path / "out").write_text("outside")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "out")
    (tmp_path / "in" / "way").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "in" / "pipe")
    root = str(tmp_path / "in")
    with open(trees.open_file(root, "deep/a")) as file:
        assert file.read() == "inside"
    for wrong in (
        "",
        "link",
        "way/out",
        "../out",
        "deep/../../out",
        "/etc/passwd",
        "deep//a",
        "./a",
        "pipe",
        "deep",
        "a\0",
    ):
        with pytest.raises(InvalidInput):
            trees.open_file(root, wrong)
    with pytest.raises(FileNotFoundError):
        trees.open_file(root, "deep/b")


def test_a_file_that_was_swapped_since_it_was_seen_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("seen")
    (tmp_path / "secret").write_text("hidden")
    with closing(trees.walk(str(tmp_path), Troubles())) as directories:
        directory = next(directories)
        [seen] = [file for file in directory.files() if file.name == "a"]
        descriptor = directory.open(seen)
        assert descriptor is not None
        os.close(descriptor)
        (tmp_path / "a").unlink()
        assert directory.open(seen) is None
        (tmp_path / "a").symlink_to("secret")
        assert directory.open(seen) is None
        (tmp_path / "a").unlink()
        os.mkfifo(tmp_path / "a")
        assert directory.open(seen) is None
