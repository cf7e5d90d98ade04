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
from hopyard.errors import PayloadError, SpecError
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
    #: By job: the ids that are promised to what follows it.
    promises: dict[str, set[str]] = field(default_factory=dict)

    def add(self, job: NewJob, options: Mapping[str, Any]) -> None:
        """Take a job, and the ids that Celery's `options` promise to what follows it."""
        self.jobs.append(job)
        if job.linked and self.check:
            follow = [one for name in _FOLLOW for one in members(options.get(name))]
            self.promises[job.id] = {job_id(one["options"]["task_id"]) for one in promised(follow)}


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
    """Return what follows a job, from its message's body, as `signatures` does. Raises `PayloadError`."""
    if body.endswith(_PLAIN):  # as good as all: not worth parsing
        return {}
    return signatures(json.loads(body)[2])


def signatures(embed: Any) -> dict[str, Any]:
    """Return what follows a job: `callbacks`, `errbacks` and `chain` as lists, `chord` as one signature.

    Each is as Celery reads it: what a signature leaves out has Celery's default. Raises `PayloadError` for
    what is no signature, anywhere within them.
    """
    if embed is None:
        return {}
    if not isinstance(embed, Mapping):
        raise PayloadError(f"what follows the job is {checks.shown(embed)}, expected an object of signatures")
    found: dict[str, Any] = {name: embed[name] for name in EMBED if embed.get(name)}
    try:
        for name, value in found.items():
            found[name] = _read(name, value) if name == "chord" else _read_all(name, value)
    except RecursionError:
        raise PayloadError("what follows the job is nested too deeply") from None
    return found


#: Where a signature that runs others has them, by its kind.
_WITHIN: Final = {"chain": ("tasks",), "group": ("tasks",), "chord": ("header", "body")}


def _read(where: str, value: Any) -> Signature:
    """Return a signature with all its parts, and those within it. Raises `PayloadError`."""
    if not isinstance(value, Mapping) or not isinstance(value.get("task"), str):
        raise PayloadError(f"{where}: found {checks.shown(value)}, expected a signature that names its task")
    where = f"{where}: {value['task'][:80]}"
    args, kwargs, options = value.get("args"), value.get("kwargs"), value.get("options")
    for name, part, kind, expected in (
        ("args", args, list | tuple, "a list"),
        ("kwargs", kwargs, Mapping, "an object"),
        ("options", options, Mapping, "an object"),
    ):
        if part is not None and not isinstance(part, kind):
            raise PayloadError(f"{where}: {name}: found {checks.shown(part)}, expected {expected}")
    subtask = value.get("subtask_type")
    named, given = dict(kwargs or {}), dict(options or {})
    for name in _WITHIN.get(subtask, ()) if isinstance(subtask, str) else ():
        inner = named.get(name)
        if isinstance(inner, Mapping):
            named[name] = _read(where, inner)
        elif inner is not None or name != "body":
            named[name] = _read_all(where, inner)
    for name in _FOLLOW:
        if inner := given.get(name):
            given[name] = _read(where, inner) if name == "chord" else _read_all(where, inner)
    made = {"args": [*(args or ())], "kwargs": named, "options": given}
    return {"subtask_type": None, "immutable": False, **value, **made}


def _read_all(where: str, value: Any) -> list[Signature]:
    return [_read(where, one) for one in members(value)]


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
    for name in ("group_index", "chord"):
        if options.get(name) not in (None, "", {}, []) and not options.get("group_id"):
            checks.refuse(f"{task}: {name}", options[name], "none without a `group_id`")
    for name in _FOLLOW:
        for one in members(options.get(name)):
            if not isinstance(one, Mapping) or not isinstance(one.get("task"), str):
                checks.refuse(f"{task}: {name}", one, "a signature, or a list of them")


def linked(job: NewJob, options: Mapping[str, Any]) -> NewJob:
    """Return a job with Celery's options for links, groups and ancestors.

    Raises `PayloadError`, `SpecError`.
    """
    check_options(job.task, options)
    embed = EMBED | {
        "callbacks": members(options.get("link")) or None,
        "errbacks": members(options.get("link_error")) or None,
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
    try:
        links(body)
    except PayloadError as error:
        raise SpecError(f"{job.task}: {error}") from None
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


def promised(found: Iterable[Any]) -> Iterator[Signature]:
    """Yield each task within signatures that has an id already: somebody may wait for its result.

    What is no signature is passed over: those beside it are promised all the same.
    """
    for one in found:
        if not isinstance(one, Mapping):
            continue
        inner, options = one.get("kwargs"), one.get("options")
        options = options if isinstance(options, Mapping) else {}
        kind = one.get("subtask_type")
        if isinstance(kind, str) and kind in _WITHIN:
            if isinstance(inner, Mapping):
                yield from promised(part for name in _WITHIN[kind] for part in members(inner.get(name)))
        elif isinstance(one.get("task"), str) and isinstance(id_ := options.get("task_id"), str) and id_:
            yield {**one}
        yield from promised(
            part for name in ("link", "chain", "chord") for part in members(options.get(name))
        )


def members(value: Any) -> list[Any]:
    """Return one signature, or a list of them, as a list."""
    if not value:
        return []
    return [*value] if isinstance(value, list | tuple) else [value]


async def refuse_taken(tx: Connection, database: Database, found: Collection, new: set[str]) -> None:
    """Raise `SpecError` if an id in a canvas is another job's: what hangs on it would never run.

    `new` are those of its jobs that were just stored. A job that is there already with the same arguments,
    the same group, and the same that follows it, is the same job.
    """
    jobs = {job.id: job for job in found.jobs}
    if len(jobs) < len(found.jobs):
        twice = next(job for job in found.jobs if jobs[job.id] is not job)
        raise SpecError(f"{twice.task}: task_id: {twice.id} is given to two jobs of one canvas")
    promises = set[str]().union(*(ids for id_, ids in found.promises.items() if id_ in new))
    if both := promises & new:
        raise SpecError(f"{jobs[min(both)].task}: task_id: {min(both)} is given to two jobs of one canvas")
    ids = [*promises, *(jobs.keys() - new)]
    for id_, there in (await following.existing(tx, database, ids) if ids else {}).items():
        job = jobs.get(id_)
        if job is None or not _same(job, there):
            raise SpecError(
                f"task_id: found {id_}, the id of a job of {there.task} ({there.state.label}) that is in the "
                "ledger already; expected a new one: what hangs on it would never run"
            )


def _same(job: NewJob, there: following.Existing) -> bool:
    """Say whether a call is that of a job which is there already."""
    if (job.task, job.job_group) != (there.task, there.job_group):
        return False
    (*ours, follows), (*theirs, followed) = json.loads(job.body), json.loads(there.body)
    return bool(ours == theirs and _unaddressed(follows) == _unaddressed(followed))


def _unaddressed(follow: Any) -> Any:
    """Return signatures without the address that Celery gives each thread, where it wants its answers."""
    if isinstance(follow, dict):
        return {name: _unaddressed(value) for name, value in follow.items() if name != "reply_to"}
    return [_unaddressed(one) for one in follow] if isinstance(follow, list) else follow
