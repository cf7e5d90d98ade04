"""Who runs a stack in a data directory is known to others, and is alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hopyard.errors import HopyardError
from hopyard.local.stack import StackFile, StackProcess, find

BROKER, DATABASE = "redis+socket:///x", "sqlite:///s3cret"
HOLD = """
import sys
from pathlib import Path
from hopyard.local.stack import StackFile
with StackFile(Path(sys.argv[1])) as stack:
    stack.write(broker_url="redis+socket:///x", database_url="sqlite:///y")
    print("up", flush=True)
    sys.stdin.read()
"""


def holder(data: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(data)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def test_a_running_stack_is_found_and_a_stopped_one_is_not(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert find(data) is None
    with StackFile(data) as stack:
        written = stack.write(broker_url=BROKER, database_url=DATABASE, processes=[StackProcess("worker", 7)])
        assert find(data) == written
        updated = stack.update([StackProcess("worker", None)])
        found = find(data)
        assert found == updated
        assert found is not None
        assert (found.started, found.processes) == (written.started, (StackProcess("worker", None),))
    assert find(data) is None


def test_the_file_is_private_and_its_addresses_are_not_shown(tmp_path: Path) -> None:
    with StackFile(tmp_path) as stack:
        info = stack.write(broker_url=BROKER, database_url=DATABASE)
        assert (tmp_path / "run.json").stat().st_mode & 0o777 == 0o600
        assert "s3cret" not in repr(info)
        assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


def test_a_second_stack_is_refused_with_the_number_of_the_first(tmp_path: Path) -> None:
    process = holder(tmp_path)
    with pytest.raises(HopyardError, match=rf"already runs in .* \(pid {process.pid}\)"), StackFile(tmp_path):
        pass
    info = find(tmp_path)
    assert info is not None
    assert info.pid == process.pid
    process.communicate("")
    assert process.returncode == 0
    with StackFile(tmp_path):
        assert find(tmp_path) is None


def test_a_killed_stack_is_neither_found_nor_in_the_way(tmp_path: Path) -> None:
    process = holder(tmp_path)
    process.kill()
    process.communicate()
    assert (tmp_path / "run.json").exists()
    assert find(tmp_path) is None
    with StackFile(tmp_path) as stack:
        assert not (tmp_path / "run.json").exists()
        stack.write(broker_url=BROKER, database_url=DATABASE)


def test_another_process_with_the_same_number_is_not_the_stack(tmp_path: Path) -> None:
    with StackFile(tmp_path) as stack:
        stack.write(broker_url=BROKER, database_url=DATABASE)
        file = tmp_path / "run.json"
        values = json.loads(file.read_text())
        file.write_text(json.dumps(values | {"birth": values["birth"] + "1"}))
        assert find(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": 1, "processes": [], "started": "now"}'])
def test_a_file_that_no_stack_wrote_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(HopyardError, match=r"run\.json: expected what `hopyard up` writes"):
        find(tmp_path)


def test_writing_needs_the_lock(tmp_path: Path) -> None:
    with pytest.raises(HopyardError, match="while the lock is held"):
        StackFile(tmp_path).write(broker_url=BROKER, database_url=DATABASE)
    with StackFile(tmp_path) as stack, pytest.raises(HopyardError, match="`write` comes before"):
        stack.update([])
