"""`hopyard file …` for documents and archives."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
from hopyard.cli import emit, json_option, say, submitted, table, with_hopyard

if TYPE_CHECKING:
    from hopyard import Hopyard

    from hopyard_file.documents.models import BatchReport, Document, ExtractedText, FileAnalysis, Unpacked

root_argument = click.argument("root")
way_argument = click.argument("way")


def _have(task: str, /, **arguments: Any) -> Any:
    return with_hopyard(lambda hopyard: submitted(hopyard, task, arguments))


@click.command("process")
@root_argument
@way_argument
@click.option("--uploaded-as", help="What its uploader called it: it is checked as a stranger's file.")
@click.option("--digest/--no-digest", default=None, help="Have the ai plugin sum it up, or not.")
@click.option("--category", "categories", multiple=True, help="A label to choose from; several times.")
@json_option
def process(
    root: str,
    way: str,
    uploaded_as: str | None,
    digest: bool | None,
    categories: tuple[str, ...],
    as_json: bool,
) -> None:
    """Have a worker read the document WAY below ROOT."""
    arguments: dict[str, Any] = {
        "root": root,
        "way": way,
        "digest": digest,
        "categories": list(categories) or None,
    }
    if uploaded_as is None:
        found = _have("file.process_document", **arguments)
    else:
        found = _have("file.process_uploaded_file", **arguments, name=uploaded_as)
    emit(found, as_json, _render_document)


def _render_document(found: Document) -> None:
    say(found.summary)
    rows: list[tuple[object, ...]] = [
        ("sha256", found.sha256),
        ("bytes", found.size),
        ("type", found.media_type),
    ]
    rows += [*found.metadata.items()]
    rows += [("digest", found.digest)] if found.digest else []
    rows += [("categories", ", ".join(found.categories))] if found.categories else []
    table("Document", ("what", "value"), rows)


@click.command("extract")
@root_argument
@way_argument
@click.option("--first", type=click.IntRange(1), default=1, show_default=True, help="The first page.")
@click.option("--last", type=click.IntRange(1), help="The last page.")
@click.option("--ocr/--no-ocr", default=True, help="Read scanned pages, or not.")
@json_option
def extract(root: str, way: str, first: int, last: int | None, ocr: bool, as_json: bool) -> None:
    """Have a worker extract the text of the PDF WAY below ROOT."""
    found = _have("file.extract_text_from_pdf", root=root, way=way, first=first, last=last, ocr=ocr)
    emit(found, as_json, _render_text)


def _render_text(found: ExtractedText) -> None:
    for page in found.text:
        say(f"--- page {page.number}{' (OCR)' if page.ocr else ''}", err=True)
        say(page.text if page.problem is None else f"[{page.problem}]")
    say(found.summary, err=True)
    if found.more:
        say("There is more: `hopyard file show --text` prints all of it.", err=True)


@click.command("analyze")
@root_argument
@way_argument
@json_option
def analyze(root: str, way: str, as_json: bool) -> None:
    """Have the document WAY below ROOT analysed by the ai plugin."""
    emit(_have("file.analyze_file_with_ai", root=root, way=way), as_json, _render_analysis)


def _render_analysis(found: FileAnalysis) -> None:
    say(found.summary)
    table("Key information", ("what", "value"), [(one.name, one.value) for one in found.key_information])
    for title, lines in (("Key points", found.key_points), ("Recommendations", found.recommendations)):
        if lines:
            table(title, ("",), [(line,) for line in lines])


@click.command("batch")
@click.argument("root_or_job")
@click.option("--under", default="", help="A directory below the root.")
@click.option("--pattern", "patterns", multiple=True, default=("*",), show_default=True, help="Which names.")
@click.option("--ocr/--no-ocr", default=True, help="Read scanned pages, or not.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Errors to show."
)
@json_option
def batch(
    root_or_job: str, under: str, patterns: tuple[str, ...], ocr: bool, limit: int, as_json: bool
) -> None:
    """Have a worker read all files of a root; with the id of a batch's job, show what became of it."""

    async def work(hopyard: Hopyard) -> Any:
        from hopyard_file import roots
        from hopyard_file.documents import batch as batches

        if root_or_job not in roots.settings().roots:
            found = await batches.report(root_or_job)
            found.errors = await batches.errors(root_or_job, limit)
            return found
        arguments: dict[str, Any] = {"under": under, "patterns": list(patterns), "ocr": ocr}
        return await submitted(hopyard, "file.batch_process_files", {"root": root_or_job, **arguments})

    found: BatchReport = with_hopyard(work)
    emit(found, as_json, _render_batch)
    if found.failed or found.refused:
        sys.exit(1)


def _render_batch(found: BatchReport) -> None:
    if found.errors:
        table("Not read", ("file", "why"), [(one.way, one.error) for one in found.errors])
    say(found.summary)
    for note in found.notes:
        say(f"  {note}")


@click.command("unpack")
@root_argument
@way_argument
@click.argument("into")
@click.option("--into-root", help="A writable root; the same one unless given.")
@click.option("--nested", is_flag=True, help="Unpack archives in it as well.")
@click.option("--skip-links", is_flag=True, help="Leave links out; they are a reason to refuse it otherwise.")
@json_option
def unpack(
    root: str, way: str, into: str, into_root: str | None, nested: bool, skip_links: bool, as_json: bool
) -> None:
    """Have a worker unpack the archive WAY below ROOT into the new directory INTO."""
    arguments: dict[str, Any] = {
        "nested": nested,
        "skip_links": skip_links,
        "into": into,
        "into_root": into_root,
    }
    emit(_have("file.unpack_archive", root=root, way=way, **arguments), as_json, _render_unpacked)


def _render_unpacked(found: Unpacked) -> None:
    table("Files", ("file", "bytes"), found.examples)
    say(found.summary)


@click.command("list")
@click.argument("root", required=False)
@click.option("--under", default="", help="Those whose way begins so.")
@click.option(
    "--state", type=click.Choice(["read", "refused", "failed"]), help="Those that were read, or not."
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many.")
@json_option
def list_(root: str | None, under: str, state: str | None, limit: int, as_json: bool) -> None:
    """List the documents that were looked at, those of late first."""
    from hopyard_file.documents import store

    found = with_hopyard(lambda hopyard: store.documents(root, state=state, under=under, limit=limit))
    emit(found, as_json, _render_list)


def _render_list(found: list[dict[str, Any]]) -> None:
    table(
        "Documents",
        ("at", "root", "file", "state", "kind", "pages", "bytes", "why"),
        [
            (
                f"{one['at']:%Y-%m-%d %H:%M}",
                *(
                    one["root"],
                    one["way"],
                    one["state"],
                    one["kind"],
                    one["pages"],
                    one["size"],
                    one["problem"],
                ),
            )
            for one in found
        ],
    )


@click.command("show")
@root_argument
@way_argument
@click.option("--text", "whole", is_flag=True, help="Print all of its text and nothing else.")
@json_option
def show(root: str, way: str, whole: bool, as_json: bool) -> None:
    """Show what is known of the file WAY below ROOT; it is not read for that."""

    async def work(hopyard: Hopyard) -> Any:
        from hopyard_file.documents import store

        found = await store.document(root, way)
        if found is None:
            return None
        content = await store.latest(found["sha256"]) if found["sha256"] else None
        if content is not None:
            found |= {"metadata": content.metadata, "characters": len(content.text), "text": content.text}
        return found

    found = with_hopyard(work)
    if found is None:
        raise click.ClickException(f"{root}:{way} was never looked at: `hopyard file process {root} {way}`")
    if whole:
        if found.get("text") is None:
            raise click.ClickException(f"{root}:{way} has no text: {found['problem'] or found['state']}")
        say(found["text"].replace("\f", "\n\n"))
        return
    found.pop("text", None)
    emit(found, as_json, _render_known)


def _render_known(found: dict[str, Any]) -> None:
    rows = [
        (name, value) for name, value in found.items() if value not in (None, [], {}) and name != "metadata"
    ]
    table("Document", ("what", "value"), [*rows, *found.get("metadata", {}).items()])


COMMANDS = (process, extract, analyze, batch, unpack, list_, show)
