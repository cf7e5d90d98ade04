"""`hopyard run TASK`: submit a job with typed options and follow it."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, Final

import click

from hopyard.cli._arguments import described, parse
from hopyard.cli._context import load_hopyard
from hopyard.cli._output import emit, json_option, progress, say
from hopyard.cli._session import running
from hopyard.display import to_json
from hopyard.errors import ResultTimeout
from hopyard.redaction import masked

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.tasks import JobHandle, Task

_INTERRUPTED: Final = 130  # as shells have it for SIGINT


class _Seconds(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    """A finite number of seconds above 0."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number. Fails for any other."""
        try:
            seconds = float(value)
        except ValueError:
            seconds = math.nan
        if not 0 < seconds < math.inf:
            self.fail(f"{value!r} is no number of seconds above 0", param, ctx)
        return seconds


@click.command("run", context_settings={"allow_interspersed_args": False})
@click.argument("task")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("--detach", is_flag=True, help="Print the job's id and do not wait.")
@click.option("--timeout", type=_Seconds(), help="Wait at most so many seconds; the job goes on.")
@click.option("--person", help="Whom it is done for.")
@json_option
@click.pass_context
def command(
    context: click.Context,
    task: str,
    arguments: tuple[str, ...],
    detach: bool,
    timeout: float | None,
    person: str | None,
    as_json: bool,
) -> None:
    """Submit TASK and wait for its result: `hopyard run --person ada weather.refresh --city Oslo --days 2`.

    Options of `run` stand before the task's name, the task's own behind it: see `hopyard run TASK --help`.
    """
    hopyard = load_hopyard()
    declared = hopyard.task(task)
    schema = declared.payload.schema()
    if arguments == ("--help",) and "help" not in schema.get("properties", {}):
        _help(declared, schema)
        return
    given = parse(arguments, task, schema)
    follow = _Follow(as_json=as_json, wait=not detach, timeout=timeout)

    async def work(hopyard: Hopyard) -> dict[str, Any]:
        return await follow.run(await declared.options(person=person).submit(**given), task, hopyard)

    try:
        answer = running(hopyard, work)
    except KeyboardInterrupt:
        if follow.id is None:
            raise
        # Lines that a narrow terminal does not break, so that each can be copied.
        say(f"\n{follow.id} goes on:", err=True)
        say(f"  hopyard jobs show {follow.id}\n  hopyard jobs cancel {follow.id}", err=True)
        context.exit(_INTERRUPTED)
    emit(masked(answer), as_json, _render)


class _Follow:
    """What is told of a job from its submission to its end."""

    def __init__(self, *, as_json: bool, wait: bool, timeout: float | None) -> None:
        self._as_json = as_json
        self._wait = wait
        self._timeout = timeout
        self.id: str | None = None
        """Known as soon as the job is accepted."""

    async def run(self, handle: JobHandle[Any], task: str, hopyard: Hopyard) -> dict[str, Any]:
        """Tell the id and whether a worker is there, then wait. Raises as `JobHandle.result`."""
        from hopyard.ledger import stored
        from hopyard.ledger.explaining import unserved
        from hopyard.tasks.client import raise_unless_succeeded

        self.id = handle.id
        say(handle.id, err=self._as_json)  # on standard output JSON is one document
        for reason in await unserved(hopyard.client().database, handle.id):
            say(f"{reason}; the job waits: start `hopyard worker` or `hopyard up`", err=True)
        if not self._wait:
            return {"id": handle.id, "task": task}
        try:
            async with asyncio.timeout(self._timeout):
                await self._watch(handle, task)
                ended = await hopyard.client().wait(handle.id, None)
        except TimeoutError:
            text = f"job {handle.id} did not end within {self._timeout:g} s: it {_goes_on(handle.id)}"
            raise ResultTimeout(text) from None
        raise_unless_succeeded(handle.id, ended)
        return {"id": handle.id, "task": task, "result": stored.value(ended.result)}

    async def _watch(self, handle: JobHandle[Any], task: str) -> None:
        with progress(task) as report:
            async for status in handle.stream():
                share = (status.current or 0.0) / (status.total or 1.0)
                report(share if math.isfinite(share) else 0.0, status.message or status.state.label)


def _goes_on(id_: str) -> str:
    return f"goes on; `hopyard jobs show {id_}` tells how it ends, `hopyard jobs cancel {id_}` stops it"


def _render(answer: dict[str, Any]) -> None:
    if "result" in answer:
        say(to_json(answer["result"], indent=2))


def _help(task: Task[..., Any], schema: dict[str, Any]) -> None:
    """Show a task's parameters as click shows a command's."""
    formatter = click.HelpFormatter()
    formatter.write_usage(f"hopyard run [OPTIONS] {task.name}", "[ARGUMENTS]")
    if task.doc:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(task.doc.strip())
    rows = [*described(schema)]
    with formatter.section("Arguments"):
        formatter.write_dl(rows or [("none", "it takes no arguments")])
    formatter.write_paragraph()
    formatter.write_text("`hopyard run --help` shows the options that stand before the task's name.")
    say(formatter.getvalue().rstrip())
