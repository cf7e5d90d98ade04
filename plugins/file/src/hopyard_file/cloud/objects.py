"""The other side in an object store: S3, Azure, GCS, by obstore."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from hopyard import trees
from hopyard.errors import AuthenticationError, InvalidInput, TransientError

from hopyard_file.cloud.sides import Blocks, There

if TYPE_CHECKING:
    from obstore.store import ObjectStore

#: Smaller files are one request, larger ones are sent in parts of this size.
PART: Final = 8 << 20
#: Stores take at most ten thousand parts.
_MOST_PARTS: Final = 9_000
_PAGE: Final = 1_000
_ASKED_AT_ONCE: Final = 16
_MD5: Final = re.compile("[0-9a-f]{32}")


class ObjectSide:
    """All objects below a prefix of a store."""

    def __init__(self, store: ObjectStore, prefix: str, *, md5_tags: bool) -> None:
        self._store = store
        self._prefix = f"{prefix}/" if prefix else ""
        self._md5_tags = md5_tags

    async def listed(self, most: int) -> dict[str, There]:
        import obstore

        found: dict[str, There] = {}
        twice: set[str] = set()
        with translated("listing"):
            async for page in obstore.list(self._store, self._prefix or None, chunk_size=_PAGE):
                for one in page:
                    path = str(one["path"])[len(self._prefix) :]
                    if path in found:
                        twice.add(path)
                    if path:
                        found[path] = self._there(one)
                if len(found) > most:
                    raise InvalidInput(f"the other side has more than {most:,} files (`max_files`)")
        return await self._without_folders(found, twice)

    async def _without_folders(self, found: dict[str, There], twice: set[str]) -> dict[str, There]:
        """Take out the objects that some tools make for folders, whose keys end with a slash.

        obstore cuts a slash off at either end of a key, so that they look like empty files, or like a second
        object of the same name: what may be one is asked for by the name without the slash.
        """
        folders: set[str] = set()
        for path in found:
            while (path := path.rpartition("/")[0]) and path not in folders:
                folders.add(path)
        doubtful = iter([path for path, one in found.items() if path in twice or one.size == 0])

        async def ask() -> None:
            for path in doubtful:
                there = None if path in folders and path not in twice else await self.look(path)
                if there is None:
                    del found[path]
                else:
                    found[path] = there

        await asyncio.gather(*(ask() for _ in range(_ASKED_AT_ONCE)))
        return found

    async def look(self, path: str) -> There | None:
        import obstore

        try:
            with translated(path):
                return self._there(await obstore.head_async(self._store, self._prefix + path))
        except FileNotFoundError:
            return None

    async def read(self, path: str) -> AsyncIterator[bytes]:
        import obstore

        with translated(path):
            answer = await obstore.get_async(self._store, self._prefix + path)
            async for block in answer.stream(min_chunk_size=1 << 20):
                yield bytes(block)

    async def write(self, path: str, blocks: Blocks) -> There:
        import obstore

        key = self._prefix + path
        with translated(path):
            if blocks.size <= PART:
                data = b"".join([block async for block in blocks()])
                await obstore.put_async(self._store, key, data, use_multipart=False)
            else:
                part = max(PART, -(-blocks.size // _MOST_PARTS))
                await obstore.put_async(
                    self._store, key, blocks(), use_multipart=True, chunk_size=part, max_concurrency=2
                )
        made = await self.look(path)
        if made is None:
            raise TransientError(f"{path} is not there although it was stored")
        return made

    async def delete(self, path: str) -> None:
        import obstore

        try:
            with translated(path):
                await obstore.delete_async(self._store, self._prefix + path)
        except FileNotFoundError:
            return

    async def close(self) -> None:
        """Nothing is open."""

    def _there(self, one: Any) -> There:
        tag = (one["e_tag"] or "").strip('"')  # Azure has it in quotes here and without them there
        modified = one["last_modified"].timestamp()
        checksums = {}
        if self._md5_tags and _MD5.fullmatch(tag):
            checksums["md5"] = tag
        return There(int(one["size"]), modified, tag or f"{one['size']} {modified}", checksums)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise obstore's errors as those of tasks."""
    from obstore import exceptions

    try:
        yield
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise AuthenticationError(f"{what}: {_first_line(error)}") from None
    except exceptions.InvalidPathError as error:
        # obstore gives up the whole page of a listing for one such name, and tells no other of the page.
        raise InvalidInput(
            "the other side has an object with a name that cannot be asked for (control characters, `.`, "
            f"`..`, nothing between slashes): rename or remove it there: {trees.shown(_first_line(error))}"
        ) from None
    except exceptions.NotFoundError as error:
        raise FileNotFoundError(f"{what}: {_first_line(error)}") from None
    except exceptions.BaseError as error:
        raise TransientError(f"{what}: {type(error).__name__}: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0][:300]
