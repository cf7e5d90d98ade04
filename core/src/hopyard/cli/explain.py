"""`hopyard explain`: why a job is not running; where what is in force for a task, or a setting, is from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from hopyard.cli import load_context
from hopyard.cli._output import emit, json_option, say, table
from hopyard.cli._session import with_hopyard
from hopyard.display import to_json

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.cli._provenance import Provenance


#: What is to be said after a word.
_AFTER: Final = {"task": "NAME", "config": "KEY"}


@click.command("explain")
@click.argument("what", metavar="[ID | task NAME | config KEY]", nargs=-1)
@click.option("--key", help="Explain the job that holds this unique key.")
@json_option
def command(what: tuple[str, ...], key: str | None, as_json: bool) -> None:
    """Say why a job is where it is, or where the values of a task or a setting are from.

    `hopyard explain ID` says of a job whether it is paused, waits, has no worker, runs … `explain task NAME`
    tells each value in force for a task, and `explain config KEY` for a setting, with the plugin, hook, file,
    variable or option that supplied it.
    """
    words = [*what]
    if len(words) == 2 and words[0] in _AFTER and key is None:
        emit(_task(words[1]) if words[0] == "task" else _setting(words[1]), as_json, _render)
    elif key is None and len(words) == 1 and words[0] in _AFTER:
        raise click.UsageError(f"the {_AFTER[words[0]]} is missing: say `{words[0]} {_AFTER[words[0]]}`")
    elif len(words) + (key is not None) == 1:
        _job(words[0] if words else None, key, as_json)
    else:
        raise click.UsageError("say one of: the job's ID, --key KEY, task NAME, config KEY")


def _job(id_: str | None, key: str | None, as_json: bool) -> None:
    async def work(hopyard: Hopyard) -> dict[str, Any]:
        from hopyard.ledger import explaining
        from hopyard.ledger.finding import find_job

        database = hopyard.client().database
        pools = {name: task.runs_in for name, task in hopyard.tasks.items()}
        if key is not None:
            return {"key": key, "reasons": await explaining.explain_key(database, key, pools)}
        found = await find_job(database, str(id_))
        return {"id": found, "reasons": await explaining.explain(database, found, pools)}

    emit(with_hopyard(work, diagnosis=True), as_json, lambda found: say("\n".join(found["reasons"])))


def _task(name: str) -> list[Provenance]:
    from hopyard.app import Hopyard
    from hopyard.cli._provenance import of_task

    context = load_context(diagnosis=True)
    task = Hopyard(context.settings, context.plugins).task(name)
    return [*of_task(context.settings, context.plugins, task)]


def _setting(key: str) -> list[Provenance]:
    from hopyard.cli._provenance import of_setting
    from hopyard.loading import effective

    context = load_context(diagnosis=True)
    return of_setting(effective(context.settings, context.plugins), key)


def _render(found: list[Provenance]) -> None:
    rows = [
        (one.what, one.value if isinstance(one.value, str) else to_json(one.value), one.source)
        for one in found
    ]
    table("Where it is from", ("what", "value", "source"), rows)
