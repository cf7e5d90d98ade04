"""`hopyard ai analyze|process|categorize|embed|search|templates …`: texts from a shell.

What asks a model is done by a worker, as a job: its cost is kept, and it goes on without the command.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from hopyard.cli import emit, json_option, say, submitted, table, with_hopyard
from hopyard.errors import InvalidInput

if TYPE_CHECKING:
    from hopyard import Hopyard

#: The most of a file that is sent with a job, in bytes: jobs are stored in the ledger.
_LARGEST: Final = 900_000

file_argument = click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
fresh_option = click.option("--fresh", is_flag=True, help="Ask although it was answered before.")
collection_option = click.option("--collection", default="default", show_default=True)


def _text(file: str) -> str:
    stdin = nullcontext(sys.stdin.buffer)  # stays open
    with stdin if file == "-" else Path(file).open("rb") as stream:
        data = stream.read(_LARGEST + 1)  # also of what has no size and no end, such as a pipe
    if len(data) > _LARGEST:
        raise InvalidInput(f"{file}: found more than {_LARGEST:,} bytes, which is the most that is sent")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput(
            f"{file} is no text in UTF-8; `hopyard file extract` makes text of documents"
        ) from None


def _job(task: str, **arguments: Any) -> Any:
    """Have a worker do it, and wait for what comes of it, as JSON-like data."""

    async def work(hopyard: Hopyard) -> Any:
        return (await submitted(hopyard, task, arguments)).model_dump(mode="json")

    return with_hopyard(work)


def _tell_spent(spent: dict[str, Any]) -> None:
    if spent["offline"]:
        say("made offline, without a model: by words, not by meaning")
        return
    cost = "unknown" if spent["cost"] is None else f"${spent['cost']:.4f}"
    say(f"{spent['model']}: {spent['tokens']:,} tokens, cost {cost}, {spent['cached']} answers known before")


@click.command("analyze")
@file_argument
@click.option("--category", "-c", multiple=True, help="One of the categories to choose from.")
@fresh_option
@json_option
def analyze(file: str, category: tuple[str, ...], fresh: bool, as_json: bool) -> None:
    """Say what is in a text: summary, key points, entities, categories. FILE may be - for standard input."""
    made = _job("ai.analyze_content", content=_text(file), categories=[*category], fresh=fresh)
    emit(made, as_json, _render_analysis)


def _render_analysis(made: dict[str, Any]) -> None:
    say(made["summary"])
    for point in made["key_points"]:
        say(f"- {point}")
    say(f"categories: {', '.join(made['categories']) or 'none'}")
    entities = [(one["name"], one["kind"], one["mentions"]) for one in made["entities"]]
    table("Entities", ("name", "kind", "mentions"), entities)
    _tell_spent(made["spent"])


@click.command("process")
@file_argument
@click.option(
    "--operation",
    type=click.Choice(["summarize", "analyze", "categorize", "extract_insights"]),
    default="summarize",
    show_default=True,
)
@click.option("--template", help="A template's NAME, or NAME@VERSION, instead.")
@click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="A variable of the template.")
@click.option("--category", "-c", multiple=True, help="One of the categories to choose from.")
@fresh_option
@json_option
def process(
    file: str,
    operation: str,
    template: str | None,
    variables: tuple[str, ...],
    category: tuple[str, ...],
    fresh: bool,
    as_json: bool,
) -> None:
    """Answer about a text. FILE may be - for standard input."""
    made = _job(
        "ai.process_with_llm",
        content=_text(file),
        operation=operation,
        template=template,
        variables=_pairs(variables),
        categories=[*category],
        fresh=fresh,
    )
    emit(made, as_json, _render_processed)


def _pairs(given: tuple[str, ...]) -> dict[str, str]:
    if wrong := [one for one in given if not one.partition("=")[1]]:
        raise InvalidInput(f"--var {wrong[0]}: expected NAME=VALUE")
    return {one.partition("=")[0]: one.partition("=")[2] for one in given}


def _render_processed(made: dict[str, Any]) -> None:
    say(made["text"])
    for point in made["points"]:
        say(f"- {point}")
    _tell_spent(made["spent"])


@click.command("categorize")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@click.option("--category", "-c", multiple=True, help="One of the categories; learned unless given or kept.")
@click.option("--taxonomy", default="default", show_default=True, help="Under which name they are kept.")
@click.option("--suggestions", type=click.IntRange(1, 20), default=3, show_default=True)
@fresh_option
@json_option
def categorize(
    files: tuple[str, ...],
    category: tuple[str, ...],
    taxonomy: str,
    suggestions: int,
    fresh: bool,
    as_json: bool,
) -> None:
    """Suggest categories for files with texts, all at once."""
    made = _job(
        "ai.smart_categorization",
        items=[{"key": file, "text": _text(file)} for file in files],
        categories=[*category],
        taxonomy=taxonomy,
        suggestions=suggestions,
        fresh=fresh,
    )
    emit(made, as_json, _render_sorting)


def _render_sorting(made: dict[str, Any]) -> None:
    rows = [
        (
            one["key"],
            ", ".join(f"{s['category']} ({s['confidence']:.0%})" for s in one["suggestions"]),
            one["error"] or "",
        )
        for one in made["items"]
    ]
    table(f"Categories by {made['taxonomy']}", ("item", "suggestions", "error"), rows)
    if made["learned"]:
        say(f"learned from the items: {', '.join(made['categories'])}")
    _tell_spent(made["spent"])


@click.command("categories")
@click.option("--forget", metavar="TAXONOMY", help="Remove this one, so that it is learned anew.")
@json_option
def categories(forget: str | None, as_json: bool) -> None:
    """List the kept categories, and how many items have them as a suggestion."""
    from hopyard_ai.content import sorting

    async def work(_: Hopyard) -> list[dict[str, object]]:
        if forget is not None:
            await sorting.forget(forget)
        return await sorting.overview()

    found = with_hopyard(work)
    columns = ("taxonomy", "category", "learned", "items")
    rows = [tuple(one[name] for name in columns) for one in found]
    emit(found, as_json, lambda _: table("Categories", columns, rows))


@click.command("embed")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@collection_option
@json_option
def embed(files: tuple[str, ...], collection: str, as_json: bool) -> None:
    """Give files with texts vectors, by which `hopyard ai search` finds them."""
    items = [{"key": file, "text": _text(file)} for file in files]
    made = _job("ai.generate_embeddings_batch", items=items, collection=collection)
    emit(made, as_json, _render_embedded)


def _render_embedded(made: dict[str, Any]) -> None:
    say(
        f"{made['stored']} stored in {made['collection']}, {made['unchanged']} unchanged; "
        f"{made['embedded']} new vectors of {made['dimensions']} dimensions by {made['model']}"
    )
    if made["failed"]:
        say(f"{made['failed']} have no vector:", err=True)
    for key, error in made["errors"].items():
        say(f"{key}: {error}", err=True)
    _tell_spent(made["spent"])


@click.command("search")
@click.argument("query", nargs=-1, required=True)
@collection_option
@click.option("--limit", type=click.IntRange(1, 100), default=5, show_default=True)
@json_option
def search(query: tuple[str, ...], collection: str, limit: int, as_json: bool) -> None:
    """Find the stored texts that are nearest to a query."""
    made = _job("ai.search", query=" ".join(query), collection=collection, limit=limit)
    emit(made, as_json, _render_hits)


def _render_hits(made: dict[str, Any]) -> None:
    rows = [(f"{one['score']:.3f}", one["key"], " ".join(one["text"][:200].split())) for one in made["hits"]]
    table(f"Nearest of {made['searched']:,} texts", ("score", "key", "text"), rows)
    if made["left_out"]:
        say(
            f"not compared: {made['left_out']:,} texts of another model or length; embed them again", err=True
        )
    if bare := sum(one["meta_left_out"] for one in made["hits"]):
        say(f"{bare:,} are without their meta, for which there was no room: ask for fewer", err=True)
    if made["lexical"]:
        say("by words in common, not by meaning: `embeddings.model` is local:lexical")


@click.command("collections")
@click.option("--forget", metavar="COLLECTION", help="Remove this one.")
@json_option
def collections(forget: str | None, as_json: bool) -> None:
    """List the collections of embedded texts."""
    from hopyard_ai.content import embedding

    async def work(_: Hopyard) -> list[dict[str, Any]]:
        if forget is not None:
            await embedding.forget(forget)
        return await embedding.collections()

    found = with_hopyard(work)
    columns = ("collection", "model", "texts")
    rows = [tuple(one[name] for name in columns) for one in found]
    emit(found, as_json, lambda _: table("Collections", columns, rows))


@click.command("usage")
@click.option("--days", type=click.FloatRange(0, 3660), default=30.0, show_default=True)
@json_option
def usage(days: float, as_json: bool) -> None:
    """Say what jobs spent on texts, by task and model. Runs of requests: `hopyard ai show ID`."""
    from hopyard_ai.content import spending

    async def work(_: Hopyard) -> Any:
        return await spending.overview(days)

    found = with_hopyard(work)
    rows = [
        (r["task"], r["model"], r["jobs"], r["requests"], r["tokens"], _dollars(r["cost"])) for r in found
    ]
    columns = ("task", "model", "jobs", "requests", "tokens", "cost")
    emit(found, as_json, lambda _: table(f"The last {days:g} days", columns, rows))


def _dollars(cost: float | None) -> str:
    return "unknown" if cost is None else f"${cost:.4f}"


@click.group("templates")
def templates() -> None:
    """Prompt templates for `hopyard ai process --template`."""


@templates.command("put")
@click.argument("name")
@file_argument
@click.option("--about", default="", help="What it is for.")
@json_option
def put(name: str, file: str, about: str, as_json: bool) -> None:
    """Keep a template, as a new version where there is one: $name stands for a variable, $$ for a dollar."""
    from hopyard_ai.content import templates as kept

    text = _text(file)
    made = with_hopyard(lambda _: kept.put(name, text, about)).model_dump(mode="json")
    emit(made, as_json, lambda _: say(f"{made['name']}@{made['version']}"))


@templates.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List templates, the newest version of each."""
    from hopyard_ai.content import templates as kept

    found = [one.model_dump(mode="json") for one in with_hopyard(lambda _: kept.newest())]
    rows = [(one["name"], one["version"], ", ".join(one["variables"]), one["about"]) for one in found]
    emit(found, as_json, lambda _: table("Templates", ("name", "version", "variables", "about"), rows))


@templates.command("show")
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a template: NAME, or NAME@VERSION."""
    from hopyard_ai.content import templates as kept

    made = with_hopyard(lambda _: kept.get(name)).model_dump(mode="json")
    emit(made, as_json, lambda _: say(made["text"]))


@templates.command("withdraw")
@click.argument("name")
def withdraw(name: str) -> None:
    """Have a template used no more."""
    from hopyard_ai.content import templates as kept

    with_hopyard(lambda _: kept.withdraw(name))


COMMANDS = (
    analyze,
    process,
    categorize,
    categories,
    embed,
    search,
    collections,
    usage,
    templates,
)
