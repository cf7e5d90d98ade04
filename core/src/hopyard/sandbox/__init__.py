"""Child processes for hostile input: limited in memory, CPU, time and answer, and cut off from the network.

What parses files of strangers in native code may crash, hang, fill the memory or be taken over. Here it does
so in a process of its own, which gets open files and an order, has neither Hopyard nor its secrets in it, and
answers JSON.

    answer = await sandbox.run(PARSING, "read", {"pages": 3}, {"file": descriptor}, Limits(memory=1 << 30))

`PARSING` is the directory of a package whose module `child` has `OPERATIONS`: functions by name that take
the order and return what becomes JSON. It imports the standard library, what is installed, its own modules,
and of Hopyard `hopyard.sandbox.confinement` alone, with `Refused`, `Missing` and `seal`; the `__init__` of
the packages that it lies in does not run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hopyard.errors import InvalidInput, ResourceError
from hopyard.redaction import redact

__all__ = ["Breakdown", "Limits", "Missing", "Refusal", "run", "run_told"]

_START: Final = (
    "import sys, types\n"
    "for name, path in (('hopyard', []), ('hopyard.sandbox', [sys.argv[1]])):\n"
    "    sys.modules[name] = types.ModuleType(name); sys.modules[name].__path__ = path\n"
    "from hopyard.sandbox.confinement import main; main()"
)
_PLACE: Final = str(Path(__file__).parent)
_LONGEST_ERROR: Final = 4_000
_PIECE: Final = 1 << 16


class Missing(InvalidInput):
    """Something is not installed here that the input needs; the message names it."""


class Refusal(InvalidInput):
    """Input that is not read, with the reason; `kind` is the word of the child's `Refused`."""

    def __init__(self, reason: str, kind: str = "") -> None:
        super().__init__(reason)
        self.kind = kind


class Breakdown(Refusal):
    """The child came to no end by itself: it crashed, or took more than it may.

    That may be the input's doing or not: limits are settings, and clocks run on while a machine is busy. What
    the child itself finds wrong with its input is a `Refusal` that is no `Breakdown`.
    """


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a child may take: bytes of memory, seconds of CPU and by the clock, bytes of its answer."""

    memory: int = 1 << 30
    cpu: int = 60
    seconds: float = 120.0
    answer: int = 50_000_000


async def run(
    package: Path, operation: str, order: Mapping[str, Any], files: Mapping[str, int], limits: Limits
) -> Any:
    """Have a child do an operation of a package; return its answer.

    `files` are open descriptors, which the order has under their names. Raises `Refusal` for input that is
    not read, `Breakdown` for a child that takes too much or crashes, `Missing`, and `ResourceError` where the
    machine was out of something.
    """
    answer: Any = (await run_told(package, operation, order, files, limits))["answer"]
    return answer


async def run_told(
    package: Path, operation: str, order: Mapping[str, Any], files: Mapping[str, int], limits: Limits
) -> dict[str, Any]:
    """As `run`; return the `answer`, and whether the child was cut off from the network (`isolated`)."""
    own = {"memory": limits.memory, "cpu": limits.cpu, "parent": os.getpid()}
    whole = {"package": str(package), "do": operation, "order": {**order, **files}, "limits": own}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-X", "utf8", "-c", _START, _PLACE),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_environment(),
        cwd="/",
        pass_fds=tuple(files.values()),
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(limits.seconds):
            told, words = await _talk(process, json.dumps(whole).encode(), limits.answer)
            await process.wait()
    except TimeoutError:
        raise Breakdown(f"reading it took longer than {limits.seconds:g} s") from None
    finally:
        await _end(process)
    return _answer(process.returncode, told, words, limits)


async def _talk(process: asyncio.subprocess.Process, order: bytes, most: int) -> tuple[bytes, bytes]:
    """Send the order; return the answer, empty where it is too long, and the end of what was printed."""
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise AssertionError("all three are pipes")
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it is dead: its exit tells why
        process.stdin.write(order)
        await process.stdin.drain()
    process.stdin.close()
    told, words = await asyncio.gather(_taken(process.stdout, most), _last(process.stderr))
    return told, words


async def _taken(stream: asyncio.StreamReader, most: int) -> bytes:
    parts, size = [], 0
    while piece := await stream.read(_PIECE):
        size += len(piece)
        if size <= most:
            parts.append(piece)
        else:
            parts.clear()  # it is no answer, and read on only for the child's end
    return b"".join(parts)


async def _last(stream: asyncio.StreamReader) -> bytes:
    kept = b""
    while piece := await stream.read(_PIECE):
        kept = (kept + piece)[-_LONGEST_ERROR:]
    return kept


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill a child with all that it started, and wait for it."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _answer(code: int | None, told: bytes, words: bytes, limits: Limits) -> dict[str, Any]:
    if code == 0 and told:
        answer: dict[str, Any] = json.loads(told)
        if "refused" in answer:
            raise Refusal(answer["refused"], answer.get("kind", ""))
        if "broken" in answer:
            raise Breakdown(answer["broken"])
        if "missing" in answer:
            raise Missing(answer["missing"])
        if "resource" in answer:
            raise ResourceError(f"it could not be read now: {answer['resource']}")
        return answer
    if code == 0:
        raise Breakdown(f"what was found in it is larger than {limits.answer:,} bytes")
    said = redact(words.decode("utf-8", "replace").strip().rpartition("\n")[2][-300:])
    if code == -signal.SIGXCPU:
        raise Breakdown(f"reading it took more than {limits.cpu} s of CPU time")
    if code == -signal.SIGKILL:
        raise ResourceError("the process that read it was killed from outside; is the machine out of memory?")
    if code is not None and code < 0:
        memory = f", or needs more than {limits.memory // 2**20:,} MB of memory"
        last = f": {said}" if said else ""
        raise Breakdown(f"it crashes the program that reads it ({signal.Signals(-code).name}){memory}{last}")
    raise Breakdown(f"it breaks the program that reads it: {said}")


def _environment() -> dict[str, str]:
    """Return what a child may know: no secrets, no proxies, no home."""
    kept = {name: value for name in ("PATH", "TESSDATA_PREFIX") if (value := os.environ.get(name))}
    one_thread = {"OMP_THREAD_LIMIT": "1", "RAYON_NUM_THREADS": "1", "TOKIO_WORKER_THREADS": "1"}
    return {**kept, **one_thread, "LANG": "C.UTF-8", "HOME": "/nonexistent", "HF_HUB_OFFLINE": "1"}
