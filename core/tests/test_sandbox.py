"""A child for hostile input: whatever it does costs the input, and is told."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from hopyard import sandbox
from hopyard.errors import InvalidInput, ResourceError
from hopyard.sandbox import Breakdown, Limits, Missing, Refusal

CHILD = """
import os, signal, socket, sys, time
from hopyard.sandbox.confinement import Missing, Refused, seal

def read(order):
    return {"text": os.pread(order["file"], 100, 0).decode(), "order": sorted(order)}

def refuses(order):
    raise Refused("it is no picture")

def refuses_a_part(order):
    raise Refused("page 3 is torn", "part")

def misses(order):
    raise Missing("pip install something")

def eats(order):
    return len(bytearray(1 << 32))

def spins(order):
    while True:
        pass

def sleeps(order):
    time.sleep(1000)

def crashes(order):
    os.kill(os.getpid(), signal.SIGSEGV)

def raises(order):
    raise KeyError("what")

def talks(order):
    print("hello from a library")
    sys.stdout.flush()
    return "x" * order["size"]

def deep(order):
    return deep(order)

def writes(order):
    seal(1000)
    with open(order["place"], "wb") as file:
        file.write(b"x" * 10_000)

def knows(order):
    return {"env": dict(os.environ), "modules": sorted(m for m in sys.modules if m.startswith("hopyard"))}

def calls(order):
    try:
        socket.create_connection(("127.0.0.1", order["port"]), 5)
    except OSError:
        return "cut off"
    return "connected"

OPERATIONS = {f.__name__: f for f in (
    read, refuses, refuses_a_part, misses, eats, spins, sleeps, crashes, raises, talks, deep, writes, knows,
    calls)}
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "odd_parsing"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "child.py").write_text(CHILD)
    return folder


async def do(package: Path, operation: str, limits: Limits | None = None, **order: Any) -> Any:
    return await sandbox.run(package, operation, order, {}, limits or Limits())


async def test_it_is_given_open_files_and_answers(package: Path, tmp_path: Path) -> None:
    (tmp_path / "input").write_text("inside")
    descriptor = os.open(tmp_path / "input", os.O_RDONLY)
    try:
        found = await sandbox.run(package, "read", {"a": 1}, {"file": descriptor}, Limits())
    finally:
        os.close(descriptor)
    assert found == {"text": "inside", "order": ["a", "file"]}


@pytest.mark.parametrize(
    ("operation", "limits", "kind", "match"),
    [
        ("refuses", Limits(), Refusal, "it is no picture"),
        ("misses", Limits(), Missing, "pip install something"),
        ("eats", Limits(memory=1 << 29), Breakdown, "more than 512 MB of memory"),
        ("spins", Limits(cpu=1), Breakdown, "more than 1 s of CPU time"),
        ("sleeps", Limits(seconds=1), Breakdown, "longer than 1 s"),
        ("crashes", Limits(), Breakdown, "crashes the program that reads it"),
        ("raises", Limits(), Breakdown, "breaks the program that reads it: KeyError"),
        ("deep", Limits(), Refusal, "nested too deeply"),
    ],
)
async def test_whatever_it_does_the_input_is_refused(
    package: Path, operation: str, limits: Limits, kind: type[InvalidInput], match: str
) -> None:
    began = time.monotonic()
    with pytest.raises(InvalidInput, match=match) as caught:
        await do(package, operation, limits)
    assert caught.type is kind, "a child that says no is told from one that broke down"
    assert time.monotonic() - began < 30  # it ended, and was not waited for


async def test_a_child_says_which_kind_of_refusal_it_is(package: Path) -> None:
    for operation, kind in (("refuses", ""), ("refuses_a_part", "part")):
        with pytest.raises(Refusal) as caught:
            await do(package, operation)
        assert caught.value.kind == kind


async def test_an_answer_is_bounded_and_what_libraries_print_is_none(package: Path) -> None:
    assert await do(package, "talks", size=10) == "x" * 10
    with pytest.raises(Breakdown, match="larger than 1,000 bytes"):
        await do(package, "talks", Limits(answer=1000), size=10_000)


async def test_no_file_grows_beyond_what_it_may(package: Path, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="could not be read now"):
        await do(package, "writes", place=str(tmp_path / "out"))


async def test_it_knows_no_secrets_and_nothing_of_hopyard(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOPYARD_AI__API_KEY", "sesame")
    found = await do(package, "knows")
    assert "sesame" not in str(found)
    assert found["modules"] == ["hopyard", "hopyard.sandbox", "hopyard.sandbox.confinement"]


async def test_it_is_cut_off_from_the_network(package: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        told = await sandbox.run_told(package, "calls", {"port": port}, {}, Limits())
    if not told["isolated"]:
        pytest.skip("this kernel gives no network of its own")
    assert told["answer"] == "cut off"


def test_a_child_dies_with_the_process_that_started_it(package: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from hopyard import sandbox\n"
        "asyncio.run(sandbox.run(Path(sys.argv[1]), 'spins', {}, {}, sandbox.Limits(cpu=600, seconds=600)))"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(package)])
    try:
        while not (below := psutil.Process(parent.pid).children()):
            assert parent.poll() is None
        while below[0].cpu_times().user < 0.5:  # by then it has limited itself, and spins
            assert below[0].is_running()
    finally:
        parent.kill()
        parent.wait()
    psutil.wait_procs(below, timeout=30)
    assert not below[0].is_running()
