"""Rules about what tasks do, found by running them with the examples of the plugin's author."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from hopyard import portal
from hopyard.checks import shown
from hopyard.errors import HopyardError, PayloadError
from hopyard.ledger import migrations
from hopyard.ledger.database import open_database
from hopyard.ledger.histories import read_history
from hopyard.specs import Health
from hopyard.tasks.classify import classify
from hopyard.testing.contract._rules import Violation, at, rule
from hopyard.testing.contract._subject import Subject
from hopyard.testing.faults import CancelAfter, DieAfter
from hopyard.testing.hop import Hop

#: Checkpoints of one example after which the contract has it die.
_MOST_SAVES: Final = 20
_JARGON: Final = re.compile(
    r"Traceback|\bNone\b(?! of\b)|\bnull\b|Exception\b|Error:|\b[0-9a-f]{8}-[0-9a-f]{4}-"
    r"|<[\w.]+ object at|\{['\"]"
)


def _examples(subject: Subject) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    for task in subject.tasks:
        for arguments in subject.examples.get(task.name, ()):
            yield task, arguments


@rule("examples", "a task that nobody can call in a test is tried by its users first", "examples")
def _examples_given(subject: Subject) -> Iterator[Violation]:
    names = [task.name for task in subject.tasks]
    for task in subject.tasks:
        if not subject.examples.get(task.name):
            yield at(
                task.function, f"the task {task.name} has no example: say with which arguments to try it"
            )
    for name in set(subject.examples) - set(names):
        yield at(subject.cls, f"the examples name {name}, which is no task of the plugin")


@rule("payloads", "arguments travel as JSON, to another process and another day", "examples")
def _payloads(subject: Subject) -> Iterator[Violation]:
    for task, arguments in _examples(subject):
        try:
            there = json.loads(task.payload.dump((), arguments))
            back = json.loads(task.payload.dump((), _without_job(task, task.payload.load((), there))))
        except PayloadError as error:
            yield at(task.function, f"the example {arguments}: {error}")
            continue
        if {key: back[key] for key in there} != there:
            yield at(task.function, f"{task.name}: {there} comes back as {back}")


def _without_job(task: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != task.payload.job_parameter}


@rule("runs", "an example is what the author promises to work", "examples")
def _runs(subject: Subject) -> Iterator[Violation]:
    for task, arguments in _examples(subject):
        with subject.hop() as hop:
            outcome = hop.run(task, **arguments)
        if not outcome.ok:
            told = outcome.error or {}
            yield at(task.function, f"{task.name} {dict(arguments)}: {outcome.state}: {_said(told)}")


def _said(error: Mapping[str, Any]) -> str:
    return f"{error.get('kind')}: {error.get('message')}"


@rule("resumes", "workers die: what was saved is gone on with, whenever it happens", "examples")
def _resumes(subject: Subject) -> Iterator[Violation]:
    for task, arguments in _examples(subject):
        with subject.hop() as hop:
            plain = hop.run(task, **arguments)
        saves = len(plain.saved)
        comparable = saves > 0 and plain.ok and _gives_again(subject, task, arguments, plain.value)
        for save in range(1, min(saves, _MOST_SAVES) + 1):
            with subject.hop() as hop:
                hop.inject(DieAfter(save=save))
                outcome = hop.run(task, **arguments)
            where = f"after checkpoint {save} of {saves} a death"
            if not outcome.ok:
                yield at(
                    task.function,
                    f"{task.name}: {where} ends it {outcome.state}: {_said(outcome.error or {})}",
                )
            elif len(outcome.saved) > saves:
                yield at(
                    task.function,
                    f"{task.name}: {where} makes it begin anew: it saves {len(outcome.saved)} checkpoints "
                    "instead of going on from `job.checkpoint`",
                )
            elif comparable and outcome.value != plain.value:
                yield at(
                    task.function,
                    f"{task.name}: {where} changes its result: {shown(outcome.value)} instead of "
                    f"{shown(plain.value)}; keep in the checkpoint what the result is made of",
                )


def _gives_again(subject: Subject, task: Any, arguments: Mapping[str, Any], value: Any) -> bool:
    """Say whether an undisturbed run gives the same result again: of others a death changes nothing."""
    with subject.hop() as hop:
        outcome = hop.run(task, **arguments)
    return bool(outcome.ok and outcome.value == value)


@rule(
    "effects",
    "what was begun outside by a worker that died must be found out, not done twice or never",
    "examples",
)
def _effects(subject: Subject) -> Iterator[Violation]:
    for task, arguments in _examples(subject):
        with subject.hop() as hop:
            done = hop.run(task, **arguments)
        if done.effects and task.tool is not None and task.tool.read_only:
            yield at(
                task.function,
                f"{task.name} is marked read_only and has the effect `{next(iter(done.effects))}`",
            )
        for name in done.effects:
            with subject.hop() as hop:
                hop.inject(DieAfter(effect=name))
                outcome = hop.run(task, **arguments)
            if not outcome.ok:
                yield at(
                    task.function,
                    f"{task.name}: where its worker dies in the effect `{name}` it ends {outcome.state}: "
                    "answer `reconcile_effect`, or give `repeat_if_unknown`",
                )


@rule("cancels", "a person who cancels a job wants it to end", "examples")
def _cancels(subject: Subject) -> Iterator[Violation]:
    for task, arguments in _examples(subject):
        with subject.hop() as hop:
            plain = hop.run(task, **arguments)
        for moment in [name for name in ("save", "progress") if getattr(plain, _KEPT[name])]:
            with subject.hop() as hop:
                hop.inject(CancelAfter(save=int(moment == "save"), progress=int(moment == "progress")))
                outcome = hop.run(task, **arguments)
            steps = getattr(plain, _KEPT[moment])
            if outcome.state != "cancelled" and len(steps) > 1:
                yield at(
                    task.function, f"{task.name}, cancelled after its first {moment}, ends {outcome.state}"
                )


_KEPT: Final = {"save": "saved", "progress": "progress"}


@rule("idempotent", "a tool that says that a repeat changes nothing is repeated", "examples")
def _idempotent(subject: Subject) -> Iterator[Violation]:
    for task, arguments in _examples(subject):
        if task.tool is None or not task.tool.idempotent:
            continue
        with subject.hop() as hop:
            first = hop.run(task, **arguments)
            before = _rows(hop, subject.name)
            second = hop.run(task, **arguments)
            after = _rows(hop, subject.name)
        if first.ok and (not second.ok or before != after):
            changed = [table for table in after if before.get(table) != after[table]]
            told = f"the tables {', '.join(changed)} change" if changed else f"it ends {second.state}"
            yield at(task.function, f"{task.name} is marked idempotent, but in a second call {told}")


def _rows(hop: Hop, plugin: str) -> dict[str, Any]:
    async def read() -> dict[str, Any]:
        database = hop.hopyard.client().database
        tables = await database.fetch(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND (name = $1 OR name LIKE $2)",
            plugin,
            f"{plugin}\\_%".replace("\\", ""),
        )
        return {
            row["name"]: (await database.fetch(f'SELECT count(*) AS n FROM "{row["name"]}"'))[0]["n"]
            for row in tables
        }

    return portal.run(read(), within_loop=True)


@rule("messages", "people are told things in their words: no names of classes, ids and braces", "examples")
def _messages(subject: Subject) -> Iterator[Violation]:
    for task, arguments in _examples(subject):
        with subject.hop() as hop:
            hop.run(task, **arguments)
            told = hop.notifications
        for one in told:
            found = _JARGON.search(f"{one['title']}\n{one['body']}")
            if found:
                yield at(
                    task.function,
                    f"{task.name} tells {one['person']} “{one['title']}” with {found[0]!r} in it",
                )


@rule("errors-classified", "an error without a category counts as a bug: it is not tried again", "load")
def _errors_classified(subject: Subject) -> Iterator[Violation]:
    import inspect
    import sys

    for module in [module for name, module in [*sys.modules.items()] if _within(name, subject.package)]:
        for kind in [*vars(module).values()]:
            if not (
                inspect.isclass(kind) and issubclass(kind, Exception) and kind.__module__ == module.__name__
            ):
                continue
            if issubclass(kind, HopyardError) or kind.__name__.startswith("_"):
                continue
            try:
                error = kind.__new__(kind)
            except Exception:  # noqa: S112, BLE001 - it cannot be made without its arguments: nobody can ask
                continue
            asked = [subject.loaded.classify(task.name, error) for task in subject.tasks[:1]]
            if not any(asked) and classify(error).category == "bug":
                yield at(
                    kind,
                    f"{kind.__name__} has no category: derive it from `hopyard.errors`, or answer "
                    "`classify_error`",
                )


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@rule("health-checks", "`hopyard doctor` waits for each of them", "load")
def _health_checks(subject: Subject) -> Iterator[Violation]:
    with subject.hop() as hop:
        for owner, check in hop.hopyard.plugins.health_checks:
            if owner != subject.name:
                continue

            async def answer(run: Any = check.run, limit: float = check.time_limit) -> Any:
                async with asyncio.timeout(limit):
                    return await run()

            try:
                found = portal.run(answer(), within_loop=True)
            except TimeoutError:
                yield at(check.run, f"the check `{check.name}` takes longer than its {check.time_limit:g} s")
            except Exception as error:  # noqa: BLE001 - told as the violation that it is
                yield at(check.run, f"the check `{check.name}` raises {type(error).__name__}: {error}")
            else:
                if not isinstance(found, Health):
                    yield at(
                        check.run, f"the check `{check.name}` returns {type(found).__name__}, not Health"
                    )


@rule("migrations", "installations upgrade from whichever release they have", "load")
def _migrations(subject: Subject) -> Iterator[Violation]:
    package = subject.cls.migrations
    if package is None:
        return
    try:
        history = read_history(package)
        subject_tables = portal.run(_upgraded(subject.name, package), within_loop=True)
    except HopyardError as error:
        yield at(subject.cls, str(error))
        return
    for table in subject_tables:
        if table != subject.name and not table.startswith(f"{subject.name}_"):
            where = history.folder
            yield Violation(
                f"makes the table `{table}`: its name must begin with `{subject.name}_`", str(where)
            )


async def _upgraded(name: str, package: str) -> list[str]:
    """Upgrade from nothing, and from each revision on; return the tables that are not the core's."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="hopyard-contract-") as folder:
        url = f"sqlite:///{Path(folder) / 'ledger.db'}"
        core = {migrations.CORE: migrations.CORE_PACKAGE}
        await migrations.upgrade(url, core)
        before = await _tables(url)
        for done in (await migrations.upgrade(url, {**core, name: package})).values():
            if done.error is not None:
                raise done.error
        again = (await migrations.upgrade(url, {**core, name: package}))[name]
        if again.error is not None:
            raise again.error
        own = {f"hopyard_version_{name}"}
        return [table for table in await _tables(url) if table not in before and table not in own]


async def _tables(url: str) -> list[str]:
    database = open_database(url)
    try:
        rows = await database.fetch("SELECT name FROM sqlite_master WHERE type = 'table'")
        return [row["name"] for row in rows]
    finally:
        await database.close()


@rule("leaks", "a worker lives for weeks: what each job leaves behind adds up", "examples")
def _leaks(subject: Subject) -> Iterator[Violation]:
    import psutil

    process = psutil.Process()
    for task, arguments in _examples(subject):
        with subject.hop() as hop:
            hop.run(task, **arguments)  # what is made once, on first use
            threads = {thread.ident for thread in threading.enumerate()}
            files = {one.path for one in process.open_files()}
            children = {child.pid for child in process.children()}
            sockets = len(process.net_connections())
            for _ in range(2):
                hop.run(task, **arguments)
            for thread in threading.enumerate():
                if thread.ident not in threads and not thread.name.startswith(("hopyard-", "asyncio_")):
                    yield at(task.function, f"{task.name} leaves the thread {thread.name}")
            for file in sorted({one.path for one in process.open_files()} - files):
                yield at(task.function, f"{task.name} leaves the file {file} open")
            for child in [one for one in process.children() if one.pid not in children]:
                yield at(task.function, f"{task.name} leaves the child process {child.pid} running")
            if len(process.net_connections()) > sockets:
                yield at(task.function, f"{task.name} leaves a connection open")
