"""Files that settings, the command line or a directory name: regular ones, of a limited size."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hopyard import files
from hopyard.errors import HopyardError
from hopyard.loading import load_plugins
from hopyard.local import stack
from hopyard.settings import examine

pytestmark = pytest.mark.timeout(30)  # what is read without end, or waited for


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


def large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(50_000_000_000)  # a hole, which takes no room


ODD = {pipe: "a named pipe", device: "a device", folder: "a directory", large: "more than"}
odd = pytest.mark.parametrize(
    ("make", "words"), ODD.items(), ids=lambda value: getattr(value, "__name__", "")
)
Make = Callable[[Path], None]


@odd
def test_a_reference_to_no_regular_file_is_a_fault_of_its_key(make: Make, words: str, tmp_path: Path) -> None:
    make(tmp_path / "odd")
    (tmp_path / "hopyard.toml").write_text('broker_url = { file = "odd" }\n')
    _, (fault,) = examine(directory=tmp_path, environ={})
    assert fault.key == "broker_url"
    assert str(tmp_path / "odd") in fault.found
    assert words in fault.found


@odd
def test_settings_that_are_no_regular_file_are_a_fault(make: Make, words: str, tmp_path: Path) -> None:
    make(tmp_path / "hopyard.toml")
    _, (fault,) = examine(directory=tmp_path, environ={})
    assert words in fault.found
    _, (named,) = examine(directory=tmp_path, environ={}, config=Path("hopyard.toml"))
    assert words in named.found


def test_a_link_that_leads_nowhere_is_no_settings_file(tmp_path: Path) -> None:
    (tmp_path / "hopyard.toml").symlink_to("gone")
    _, (fault,) = examine(directory=tmp_path, environ={})
    assert "No such file" in fault.found


@odd
def test_a_hopfile_that_is_no_regular_file_is_a_failed_plugin(make: Make, words: str, tmp_path: Path) -> None:
    make(tmp_path / "hopfile.py")
    settings, _ = examine(directory=tmp_path, environ={})
    record = load_plugins(settings, role="cli", distributions=[]).record("site")
    assert record.failed
    assert words in record.reason


@odd
def test_a_data_directory_with_odd_files_is_refused(make: Make, words: str, tmp_path: Path) -> None:
    make(tmp_path / "run.json")
    with pytest.raises((OSError, HopyardError), match=words):
        stack.find(tmp_path)


def test_a_socket_is_refused_and_a_link_to_a_file_is_read(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        with pytest.raises(OSError, match="a socket"):
            files.read(tmp_path / "s", 10)
    (tmp_path / "text").write_bytes(b"\xef\xbb\xbfa\r\nb")
    (tmp_path / "link").symlink_to("text")
    assert files.read_text(tmp_path / "link", 10, "utf-8-sig") == "a\nb"
    with pytest.raises(OSError, match="more than 5 bytes"):
        files.read(tmp_path / "link", 5)
