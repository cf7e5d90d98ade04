"""Unpacking an archive of a root into a new directory of a writable one.

A child writes into a directory with a hidden name beside the target. When all of it is there it gets its
name; where something is refused, or a worker dies, nothing stands under that name.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import TYPE_CHECKING, Any, Final

from hopyard import trees
from hopyard.errors import InvalidInput, ResourceError

from hopyard_file import roots
from hopyard_file.documents import children
from hopyard_file.documents.children import Refusal
from hopyard_file.documents.models import Unpacked
from hopyard_file.documents.processing import own
from hopyard_file.documents.reading import limits, opened

if TYPE_CHECKING:
    from hopyard import Job

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SPARE: Final = 50_000_000
_ANSWER: Final = 4_000_000


async def unpack(
    job: Job, root: str, way: str, into_root: str, into: str, *, nested: bool, skip_links: bool
) -> Unpacked:
    """Unpack an archive. Raises `Refusal`, `ResourceError`, and `InvalidInput` for a target that is there."""
    target = roots.writable(into_root)
    *folders, name = roots.way_below(into, "into").split("/")
    parent = await asyncio.to_thread(_parent, target.path, folders)
    try:
        hidden = f".{name[:100]}.{job.id}.hopyard"
        # An attempt that died may have renamed it already, and only not have lived to say so.
        if (
            (done := job.checkpoint.get("unpacked"))
            and not _is_there(parent, hidden)
            and _is_there(parent, name)
        ):
            return Unpacked(**done)
        if _is_there(parent, name):
            raise InvalidInput(
                f"into: {trees.shown(into)} is in the root `{into_root}` already: nothing is overwritten"
            )
        await asyncio.to_thread(_remove, parent, hidden)
        try:
            answer = await _unpacked(job, root, way, parent, hidden, nested=nested, skip_links=skip_links)
            found = _report(answer, root, way, f"{into_root}:{into}")
            await job.save(unpacked=found.model_dump(mode="json", exclude={"summary"}))
            await asyncio.to_thread(_publish, parent, hidden, name, into)
        except BaseException:
            await asyncio.to_thread(_remove, parent, hidden)
            raise
        return found
    finally:
        os.close(parent)


async def _unpacked(
    job: Job, root: str, way: str, parent: int, hidden: str, *, nested: bool, skip_links: bool
) -> dict[str, Any]:
    settings = own()
    job.progress(0, None, f"unpacking {trees.shown(way)}")
    os.mkdir(hidden, 0o755, dir_fd=parent)
    folder = os.open(hidden, _FOLDER, dir_fd=parent)
    order = {
        "do": "unpack",
        "name": way.rpartition("/")[2],
        "limits": limits(settings),
        "memory": settings.memory,
        "cpu": int(settings.unpack.seconds),
        "writes": settings.unpack.max_total_bytes + _SPARE,
        "nested": nested,
        "skip_links": skip_links,
    }
    try:
        async with opened(root, way) as descriptor:
            return await children.run(
                order,
                {"file": descriptor, "directory": folder},
                seconds=settings.unpack.seconds,
                most_bytes=_ANSWER,
            )
    except Refusal as error:
        raise Refusal(f"{trees.shown(way)}: {error}", error.sha256, error.size) from None
    finally:
        os.close(folder)


def _parent(path: str, folders: list[str]) -> int:
    """Return a descriptor of the directory in which the target will be; those on the way must be there."""
    try:
        return trees.open_directory("/".join([path, *folders]))
    except FileNotFoundError:
        raise InvalidInput(f"into: {trees.shown('/'.join(folders)) or 'the root'} is not there") from None


def _is_there(parent: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _remove(parent: int, name: str) -> None:
    """Remove what an attempt left; by directory descriptors, so that no link leads out of it."""
    if _is_there(parent, name):
        shutil.rmtree(name, dir_fd=parent)


def _publish(parent: int, hidden: str, name: str, into: str) -> None:
    """Give a finished directory its name; an empty directory of that name is replaced, nothing else."""
    try:
        os.rename(hidden, name, src_dir_fd=parent, dst_dir_fd=parent)
        os.fsync(parent)
    except (FileExistsError, NotADirectoryError):
        raise InvalidInput(f"into: {trees.shown(into)} was made by somebody else meanwhile") from None
    except OSError as error:
        if error.errno is not None and os.path.exists(f"/proc/self/fd/{parent}/{name}"):
            raise InvalidInput(f"into: {trees.shown(into)} was made by somebody else meanwhile") from None
        raise ResourceError(f"{trees.shown(into)} cannot be made: {error.strerror}") from None


def _report(answer: dict[str, Any], root: str, way: str, into: str) -> Unpacked:
    return Unpacked(
        root=root,
        way=way,
        into=into,
        sha256=answer["sha256"],
        files=answer["files"],
        bytes=answer["bytes"],
        links_left_out=answer["links_left_out"],
        examples=answer["examples"],
    )
