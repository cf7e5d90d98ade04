"""The parent's pipe: a Python child ends when the pipe that its supervisor holds is closed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hopyard.errors import HopyardError
from hopyard.supervise import PARENT_PIPE, die_with_parent, watch_parent

IGNORE = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
WATCH = "from hopyard.supervise import watch_parent; watch_parent(grace=0.2); print('watching', flush=True)\n"
# Not `signal.pause()`: a signal that comes just before it is handled only after the next one.
PAUSE = "import time\nwhile True: time.sleep(0.02)\n"


@pytest.fixture
def pipe() -> Iterator[list[int]]:
    """The two ends; what a test closes it takes out of the list."""
    ends = list(os.pipe())
    yield ends
    for end in ends:
        os.close(end)


def watching(code: str, pipe: list[int], *, own_session: bool) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, PARENT_PIPE: str(pipe[0])},
        pass_fds=(pipe[0],),
        start_new_session=own_session,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "watching\n"
    return process


def let_go(process: subprocess.Popen[str], pipe: list[int]) -> int:
    """Close the supervisor's end and return how the child ended."""
    assert process.poll() is None
    os.close(pipe.pop())
    code = process.wait(20)
    assert process.stdout is not None
    process.stdout.close()
    return code


def test_the_child_is_terminated(pipe: list[int]) -> None:
    assert let_go(watching(WATCH + PAUSE, pipe, own_session=True), pipe) == -signal.SIGTERM


def test_a_child_that_goes_on_is_ended_after_the_grace(pipe: list[int]) -> None:
    assert let_go(watching(IGNORE + WATCH + PAUSE, pipe, own_session=False), pipe) == 1


def test_a_child_that_goes_on_is_killed_with_its_group(pipe: list[int]) -> None:
    spawn = "import subprocess; subprocess.Popen(['sleep', '1000'])\n"  # holds standard output open
    process = watching(IGNORE + spawn + WATCH + PAUSE, pipe, own_session=True)
    os.close(pipe.pop())
    output, _ = process.communicate(timeout=20)
    assert output == ""
    assert process.returncode == -signal.SIGKILL


def test_without_a_supervisor_there_is_no_leash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PARENT_PIPE, raising=False)
    assert watch_parent() is None


def test_the_leash_is_not_handed_on(pipe: list[int]) -> None:
    """A process that the child starts must not take the number for a pipe of its own."""
    show = f"import os; print(os.environ.get({PARENT_PIPE!r}), os.get_inheritable({pipe[0]}), flush=True)\n"
    process = watching(WATCH + show + PAUSE, pipe, own_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "None False\n"
    let_go(process, pipe)


@pytest.mark.parametrize("value", ["pipe", "99999", ""])
def test_a_leash_that_is_no_pipe_is_an_error(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(PARENT_PIPE, value)
    with pytest.raises(HopyardError, match="open pipe"):
        watch_parent()


@pytest.mark.skipif(sys.platform != "linux", reason="a promise of the Linux kernel")
def test_the_kernels_own_signal_is_not_sent_twice(pipe: list[int]) -> None:
    """A second SIGTERM would make a gently stopping program hurry."""
    code = (
        "import os, signal\n"
        # Not `print`: the signal may come while `watching` is being printed.
        "signal.signal(signal.SIGTERM, lambda *_: os.write(1, b'terminated\\n'))\n"
        + WATCH.replace("grace=0.2", "grace=5")  # on a busy machine it takes a moment to answer
        + PAUSE
    )
    middle = (
        "import os, subprocess, sys\n"
        "from hopyard.supervise import die_with_parent\n"
        f"subprocess.Popen([sys.executable, '-c', {code!r}], pass_fds=({pipe[0]},), start_new_session=True,\n"
        "                 preexec_fn=die_with_parent())\n" + PAUSE
    )
    process = watching(middle, pipe, own_session=True)
    process.kill()
    os.close(pipe.pop())
    output, _ = process.communicate(timeout=60)
    assert output == "terminated\n"


@pytest.mark.skipif(sys.platform != "linux", reason="a promise of the Linux kernel")
def test_die_with_parent_sends_the_signal_that_was_asked_for() -> None:
    assert die_with_parent(signal.SIGINT) is not None
    inner = (
        "import signal\n"
        # Who was started in the background of a shell inherits that the signal is ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "try: print('up', flush=True); signal.pause()\nexcept KeyboardInterrupt: print('int')"
    )
    outer = (
        "import signal, subprocess, sys\n"
        "from hopyard.supervise import die_with_parent\n"
        f"subprocess.Popen([sys.executable, '-c', {inner!r}], preexec_fn=die_with_parent(signal.SIGINT))\n"
        "signal.pause()"
    )
    process = subprocess.Popen([sys.executable, "-c", outer], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.kill()
    output, _ = process.communicate(timeout=20)
    assert output == "int\n"
