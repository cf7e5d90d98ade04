"""Commands that send, preview, cancel, and say what became of a letter."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from hopyard.cli import emit, json_option, say, with_hopyard

_TIMES = ("%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _values(given: tuple[str, ...]) -> dict[str, Any]:
    """Return NAME=VALUE as a mapping; a value that is JSON is that, every other one is text."""
    found: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise click.UsageError(f"found {one!r}, expected NAME=VALUE")
        try:
            found[name] = json.loads(value)
        except RecursionError:
            raise click.UsageError(f"the value of {name} is nested too deep") from None
        except ValueError:
            found[name] = value
    return found


def _html(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"--html: {file} is no text in UTF-8: {error}") from None


@click.command("send")
@click.argument("to", nargs=-1, required=True)
@click.option("--subject", "-s", default="", help="The subject.")
@click.option("--text", "-t", help="The text; `-` reads it from standard input.")
@click.option("--html", type=_FILE, help="A file with the HTML part.")
@click.option("--template", help="The name of a template, in the place of text and HTML.")
@click.option("--value", "values", multiple=True, metavar="NAME=VALUE", help="A value for the template.")
@click.option("--cc", multiple=True)
@click.option("--bcc", multiple=True)
@click.option("--from", "sender", help="The address in From.")
@click.option("--account", help="The account that it goes out by.")
@click.option("--attach", multiple=True, type=_FILE, help="A file to attach.")
@click.option("--at", type=click.DateTime(_TIMES), help="When, in --zone; now unless given.")
@click.option("--zone", help="IANA time zone of --at; the installation's unless given.")
@click.option("--key", help="The same key sends it once.")
@json_option
def send(
    to: tuple[str, ...],
    subject: str,
    text: str | None,
    html: Path | None,
    template: str | None,
    values: tuple[str, ...],
    cc: tuple[str, ...],
    bcc: tuple[str, ...],
    sender: str | None,
    account: str | None,
    attach: tuple[Path, ...],
    at: datetime | None,
    zone: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Put a mail into the outbox; workers send it."""
    import base64

    from hopyard import storage

    from hopyard_email import Attachment, Email, Mail, Queued
    from hopyard_email.sending import moments, put

    # Files of who types the command are theirs to attach, wherever they lie.
    files = [Attachment(name=one.name, data=base64.b64encode(one.read_bytes()).decode()) for one in attach]
    mail = Mail.given(
        to=[*to],
        subject=subject,
        text=sys.stdin.read() if text == "-" else text,
        html=_html(html) if html else None,
        template=template,
        values=_values(values),
        cc=[*cc],
        bcc=[*bcc],
        sender=sender,
        account=account,
        attachments=files,
    )

    async def work(hopyard: object) -> Queued:
        due = moments(at, None, zone, None)[0] if at else None
        id_ = storage.derived_id("email", key) if key else None
        return await put(mail, Email.current().settings, id_=id_, due=due)

    queued = with_hopyard(work)
    emit(queued, as_json, lambda _: _render_queued(queued))


def _render_queued(queued: Any) -> None:
    say(queued.summary)
    for letter, recipient in zip(queued.letters, queued.recipients, strict=True):
        say(f"  {recipient}: `hopyard email show {letter}`")


@click.command("preview")
@click.argument("template")
@click.option("--value", "values", multiple=True, metavar="NAME=VALUE", help="A value for the template.")
@click.option(
    "--html", "html_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the HTML here."
)
@json_option
def preview(template: str, values: tuple[str, ...], html_file: Path | None, as_json: bool) -> None:
    """Show what a template becomes: subject, text, and HTML with its styles inlined."""
    from hopyard_email import Email
    from hopyard_email.composing import templates

    async def work(hopyard: object) -> dict[str, str | None]:
        settings = Email.current().settings
        made = templates.render(template, _values(values), settings)
        html, text = templates.finish(made.html, made.text, settings.max_bytes)
        return {"subject": made.subject, "text": text, "html": html}

    found = with_hopyard(work)
    if html_file is not None and found["html"] is not None:
        html_file.write_text(found["html"])
    emit(found, as_json, lambda _: say(f"Subject: {found['subject']}\n\n{found['text']}"))


@click.command("cancel")
@click.argument("id")
@json_option
@click.pass_context
def cancel(context: click.Context, id: str, as_json: bool) -> None:  # noqa: A002 - the argument's name
    """Cancel a letter that waits. ID may be its beginning or end."""
    from hopyard_email.outbox import letters

    async def work(hopyard: object) -> tuple[str, bool, str]:
        letter = await letters.find(id)
        done = await letters.cancel(letter.id)
        return letter.id, done, (await letters.find(letter.id)).state

    letter, done, state = with_hopyard(work)
    said = f"{letter} is cancelled." if done else f"{letter} waits no more: it is {state}."
    emit({"id": letter, "cancelled": done, "state": state}, as_json, lambda _: say(said))
    context.exit(0 if done else 1)


@click.command("resolve")
@click.argument("id")
@click.option("--sent", "sent", flag_value="sent", help="It was sent.")
@click.option("--again", "sent", flag_value="again", help="Send it, once more if it was sent.")
@json_option
@click.pass_context
def resolve(context: click.Context, id: str, sent: str | None, as_json: bool) -> None:  # noqa: A002
    """Say what became of a letter of which nobody knows whether it was sent."""
    from hopyard_email import Email
    from hopyard_email.outbox import letters
    from hopyard_email.waking import wake

    if sent is None:
        raise click.UsageError("expected --sent or --again")

    async def work(hopyard: object) -> tuple[str, bool, str]:
        letter = await letters.find(id)
        done = await letters.resolve(letter.id, sent=sent == "sent", settings=Email.current().settings)
        if done and sent == "again":
            await wake()
        return letter.id, done, (await letters.find(letter.id)).state

    letter, done, state = with_hopyard(work)
    said = f"{letter} is {state} now." if done else f"{letter} is not unknown: it is {state}."
    emit({"id": letter, "resolved": done, "state": state}, as_json, lambda _: say(said))
    context.exit(0 if done else 1)
