"""`hopyard run TASK`: submit a job with typed options and follow it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from hopyard.cli import load_context
from hopyard.cli._output import emit, json_option, progress
from hopyard.cli._session import with_hopyard
from hopyard.errors import PayloadError

if TYPE_CHECKING:
    from hopyard.app import Hopyard


@click.command("run", context_settings={"ignore_unknown_options": True})
@click.argument("task")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("--detach", is_flag=True, help="Print the job's id and do not wait.")
@click.option("--timeout", type=float, help="Seconds to wait at most; the job goes on.")
@click.option("--person", help="Whom it is done for.")
@json_option
def command(
    task: str,
    arguments: tuple[str, ...],
    detach: bool,
    timeout: float | None,
    person: str | None,
    as_json: bool,
) -> None:
    """Submit TASK and wait for its result: `hopyard run weather.refresh --city Oslo --days 2`.

    Values are JSON where they can be read as such, else text.
    """
    load_context()
    given = parse(arguments)

    async def work(hopyard: Hopyard) -> dict[str, Any]:
        handle = await hopyard.task(task).options(person=person).submit(**given)
        if detach:
            return {"id": handle.id, "task": task}
        with progress(task) as report:
            async for status in handle.stream():
                total = status.total or 1.0
                report((status.current or 0.0) / total, status.message or status.state.label)
        await handle.result(timeout)
        return {"id": handle.id, "task": task, "result": json.loads(await _result(hopyard, handle.id))}

    emit(with_hopyard(work), as_json, _render)


async def _result(hopyard: Hopyard, id_: str) -> str:
    return (await hopyard.client().ended([id_]))[id_].result or "null"


def parse(arguments: Sequence[str]) -> dict[str, Any]:
    """Return `--city Oslo --days=2 --fast` as keyword arguments. Raises `PayloadError`."""
    given: dict[str, Any] = {}
    rest = [*arguments]
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            raise PayloadError(f"`{word}` is no option: write arguments as --name value")
        name, equals, value = word[2:].partition("=")
        if not equals:
            value = rest.pop(0) if rest and not rest[0].startswith("--") else "true"
        given[name.replace("-", "_")] = _value(value)
    return given


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _render(answer: dict[str, Any]) -> None:
    click.echo(answer["id"])
    if "result" in answer:
        click.echo(json.dumps(answer["result"], indent=2, ensure_ascii=False))
