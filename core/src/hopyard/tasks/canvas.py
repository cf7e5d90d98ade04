"""Chains, links, groups and chords: Celery's canvas, carried by the jobs themselves.

A message's third part says what follows it: signatures as Celery writes them. Nothing of that is sent by the
process that runs a job. Here the jobs that Celery's own expansion of a signature makes are collected, so
that they can be stored together.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from hopyard import checks
from hopyard.broker.envelope import EMBED, headers_of
from hopyard.errors import PayloadError
from hopyard.ledger import following
from hopyard.ledger.database import Connection, Database
from hopyard.ledger.values import NewJob, job_id
from hopyard.tasks import tagged
from hopyard.tasks.payload import checked

_PLAIN: Final = json.dumps(EMBED) + "]"
#: The kind of an argument that stands for the results of a chord's parts.
PARTS: Final = "hopyard.parts"
_MOST_PARTS: Final = 64_000_000
Signature = dict[str, Any]
Shape = list[Any]


@dataclass
class Collection:
    """Jobs that shall be stored together, and the sizes of the chords' headers among them."""

    #: Arguments are checked where a caller waits; a job that follows another is checked when it runs.
    check: bool = True
    person: str | None = None
    jobs: list[NewJob] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    #: Of chords whose header has groups within it: the parts' ids, nested as their results shall be.
    shapes: dict[str, Shape] = field(default_factory=dict)


_current: ContextVar[Collection | None] = ContextVar("hopyard_collection", default=None)


def collection() -> Collection | None:
    """Return the collection that is open here."""
    return _current.get()


@contextmanager
def collecting(*, check: bool = True, person: str | None = None) -> Iterator[Collection]:
    """Collect the jobs that Celery's calls within the block would send."""
    made = Collection(check, person)
    token = _current.set(made)
    try:
        yield made
    finally:
        _current.reset(token)


def links(body: str) -> dict[str, Any]:
    """Return what follows a job, from its message's body: `callbacks`, `errbacks`, `chain`, `chord`."""
    if body.endswith(_PLAIN):  # as good as all: not worth parsing
        return {}
    embed = json.loads(body)[2] or {}
    return {name: value for name in EMBED if (value := embed.get(name))}


#: Celery's options that name a job, a group or their ancestors.
_IDS: Final = ("group_id", "parent_id", "root_id")
#: Those that say what follows: one signature, or a list of them.
_FOLLOW: Final = ("link", "link_error", "chain", "chord")


def check_options(task: str, options: Mapping[str, Any]) -> None:
    """Check Celery's options for links, groups and ancestors. Raises `SpecError`."""
    for name in _IDS:
        if options.get(name) not in (None, ""):
            checks.text(f"{task}: {name}", options[name], longest=500)
    index = options.get("group_index")
    if index is not None:
        checks.whole(f"{task}: group_index", index, 0, 10**9)
    for name in _FOLLOW:
        value = options.get(name) or []
        for one in value if isinstance(value, list | tuple) else [value]:
            if not isinstance(one, Mapping) or not isinstance(one.get("task"), str):
                checks.refuse(f"{task}: {name}", one, "a signature, or a list of them")


def linked(job: NewJob, options: Mapping[str, Any]) -> NewJob:
    """Return a job with Celery's options for links, groups and ancestors.

    Raises `PayloadError`, `SpecError`.
    """
    check_options(job.task, options)
    embed = EMBED | {
        "callbacks": _list(options.get("link")),
        "errbacks": _list(options.get("link_error")),
        "chain": options.get("chain") or None,
        "chord": options.get("chord") or None,
    }
    group = job_id(options["group_id"]) if options.get("group_id") else None
    parent = job_id(options["parent_id"]) if options.get("parent_id") else job.parent
    root = job_id(options["root_id"]) if options.get("root_id") else job.root
    if embed == EMBED and group is None and (parent, root) == (job.parent, job.root):
        return job
    args, kwargs, _ = json.loads(job.body)
    try:
        body = tagged.dumps([args, kwargs, embed])
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(f"{job.task}: what follows the job has no JSON form: {error}") from None
    headers = json.loads(headers_of(job)) | {
        "group": group,
        "group_index": options.get("group_index"),
        "parent_id": parent,
        "root_id": root or job.id,
    }
    return job._replace(
        body=checked(body, f"{job.task}: the arguments with all that follows the job"),
        headers=json.dumps(headers),
        parent=parent,
        root=root,
        job_group=group,
        linked=embed != EMBED,
    )


def _list(value: Any) -> list[Any] | None:
    if not value:
        return None
    return [*value] if isinstance(value, list | tuple) else [value]


def nested(shape: Shape, results: Mapping[str, Any]) -> Shape:
    """Return results by their parts' ids, nested as a shape says. Raises `KeyError` if one is missing."""
    return [nested(one, results) if isinstance(one, list) else results[one] for one in shape]


async def results(tx: Connection | Database, group: str, parts: Mapping[str, str]) -> list[Any]:
    """Return the results of a chord's parts, which are JSON texts by id, as its body takes them."""
    found = {id_: json.loads(result) for id_, result in parts.items()}
    shape = await following.shape(tx, group)
    return [*found.values()] if shape is None else nested(shape, found)


async def with_parts(database: Database, body: str) -> str:
    """Return a job's body with the results of a chord's parts in it, where it refers to them.

    Raises `PayloadError` if they are gone, or together larger than 64 MB.
    """
    args, kwargs, embed = json.loads(body)
    for n, value in enumerate(args):
        if isinstance(value, dict) and value.get("__type__") == PARTS:
            group = str(value["__value__"])
            parts = await following.parts(database, group)
            size = sum(map(len, parts.values()))
            if not parts or size > _MOST_PARTS:
                found = f"{size:,} characters" if parts else "none, they were deleted"
                raise PayloadError(
                    f"the results of the chord {group}: found {found}, "
                    f"expected at most {_MOST_PARTS:,} characters"
                )
            args[n] = await results(database, group, parts)
    return json.dumps([args, kwargs, embed])


def promised(signatures: Iterable[Signature]) -> Iterator[Signature]:
    """Yield each task within signatures that has an id already: somebody may wait for its result."""
    for signature in signatures:
        inner, options = signature["kwargs"], signature.get("options") or {}
        kind = signature.get("subtask_type")
        if kind in {"chain", "group"}:
            yield from promised(_members(inner["tasks"]))
        elif kind == "chord":
            yield from promised([*_members(inner["header"]), *_members(inner.get("body"))])
        elif options.get("task_id"):
            yield signature
        yield from promised(_members(options.get("chord")))


def _members(value: Any) -> list[Signature]:
    if not value:
        return []
    return [value] if isinstance(value, dict) else [*value]
