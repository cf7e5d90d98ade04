"""Recordings below declared roots: opened, looked at, and known by what is in them."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hopyard import roots, sandbox, trees
from hopyard.errors import InvalidInput, TransientError

if TYPE_CHECKING:
    from hopyard_media.settings import MediaSettings

ENGINE: Final = Path(__file__).with_name("engine")
_PIECE: Final = 1 << 20
#: How much a child looks through in a second, at least.
_BYTES_A_SECOND: Final = 20_000_000
#: The share of its length that a file may lack before that is worth a word.
_MISSING: Final = 0.02


def settings() -> MediaSettings:
    """Return the plugin's settings in this process."""
    from hopyard_media import Media

    return Media.current().settings


#: Size, time of the last writing, which anybody may set back, and of the last change of it, which nobody may.
State = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Source:
    """An open recording. `facts` is what its container says: format, duration, streams, tags."""

    root: str
    way: str
    descriptor: int
    size: int
    sha256: str
    facts: dict[str, Any]
    state: State
    """Its size and times, by which it is seen that somebody writes to it."""

    @property
    def duration(self) -> float:
        """How long it is, in seconds."""
        return float(self.facts["duration"])

    @property
    def joined(self) -> bool:
        """Whether it is several recordings, one behind the other: its times begin anew."""
        return bool(self.facts["joined"])

    @property
    def notes(self) -> list[str]:
        """What whoever relies on the results should know of it."""
        said = self.facts["said"]
        found = ["it is several recordings, joined"] if self.joined else []
        if said and said - self.duration > _MISSING * said + 1:
            found.append(f"its head says {said:,.0f} s, and {self.duration:,.0f} s are there: it was cut off")
        return found

    def streams(self, kind: str) -> list[dict[str, Any]]:
        """Return its streams of a kind, `audio` or `video`."""
        return [one for one in self.facts["streams"] if one["type"] == kind]

    async def do(self, operation: str, order: dict[str, Any], seconds: float, **files: int) -> Any:
        """Have a child do an operation on it that concerns so many seconds of it; return its answer."""
        return (await self.told(operation, order, seconds, **files))["answer"]

    async def told(
        self, operation: str, order: dict[str, Any], seconds: float, **files: int
    ) -> dict[str, Any]:
        """As `do`; return the `answer`, and whether the child was cut off from the network."""
        given = {"file": self.descriptor, **files}
        whole = {**order, "joined": self.joined}
        told = await sandbox.run_told(ENGINE, operation, whole, given, child_limits(seconds))
        if _state(self.descriptor) != self.state:
            raise TransientError(f"{trees.shown(self.way)}: it was changed while it was read")
        return told


def child_limits(seconds: float, size: int = 0) -> sandbox.Limits:
    """Return what a child may take for so many seconds of a recording, or to look through so many bytes."""
    own = settings().limits
    cpu = 60 + int(seconds * own.seconds_per_second) + size // _BYTES_A_SECOND
    return sandbox.Limits(memory=own.memory, cpu=cpu, seconds=2.0 * cpu + 60)


@asynccontextmanager
async def opened(root: str, way: str) -> AsyncIterator[Source]:
    """Open a recording below a root.

    Raises `InvalidInput` for what is none, too large or too long, and `TransientError` for one that is being
    written.
    """
    own = settings()
    if not storable(way):
        raise InvalidInput(f"way: found {trees.shown(way)!r}, expected a name that is text")
    descriptor = await asyncio.to_thread(roots.open_file, own.roots, root, way)
    try:
        state = _state(descriptor)
        size = state[0]
        if size > own.limits.max_bytes:
            raise sandbox.Refusal(
                f"found {size:,} bytes, expected at most {own.limits.max_bytes:,} (`limits.max_bytes`)"
            )
        facts = await sandbox.run(ENGINE, "probe", {}, {"file": descriptor}, child_limits(0, size))
        _check_length(facts["duration"])
        digest = await asyncio.to_thread(_digest, descriptor)
        if _state(descriptor) != state:
            raise TransientError(f"{trees.shown(way)}: it was changed while it was read")
        yield Source(root, way, descriptor, size, digest, facts, state)
    finally:
        os.close(descriptor)


def storable(way: str) -> bool:
    """Say whether a way can be kept in a table, which bytes that are no UTF-8 cannot."""
    try:
        return "\0" not in way.encode().decode()
    except UnicodeEncodeError:
        return False


def _check_length(duration: float | None) -> None:
    most = settings().limits.max_seconds
    if not duration:
        raise sandbox.Refusal("found neither sound nor moving pictures")
    if duration > most:
        raise sandbox.Refusal(f"found {duration:,.0f} s, expected at most {most:,.0f} (`limits.max_seconds`)")


def _state(descriptor: int) -> State:
    found = os.fstat(descriptor)
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _digest(descriptor: int) -> str:
    found, at = hashlib.sha256(), 0
    while piece := os.pread(descriptor, _PIECE, at):
        found.update(piece)
        at += len(piece)
    return found.hexdigest()
