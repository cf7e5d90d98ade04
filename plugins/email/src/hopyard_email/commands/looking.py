"""Commands that only look: letters, accounts, mail that came in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import click
from hopyard.cli import emit, json_option, say, table, with_hopyard

from hopyard_email.models import State

if TYPE_CHECKING:
    from hopyard_email.models import Happened, Letter


@click.command("list")
@click.option("--state", type=click.Choice(get_args(State)), help="Only those in this state.")
@click.option("--to", "recipient", help="Only those to this address.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
def list_(state: str | None, recipient: str | None, limit: int, as_json: bool) -> None:
    """List letters, the latest change first."""
    from hopyard_email.outbox import letters

    found = with_hopyard(lambda hopyard: letters.listed(state=state, recipient=recipient, limit=limit))
    emit(found, as_json, _render_letters)


def _render_letters(found: list[Letter]) -> None:
    table(
        "Letters",
        ("id", "to", "subject", "state", "due (UTC)", "attempts", "last reply"),
        [
            (
                one.id,
                one.recipient,
                one.subject,
                one.state,
                f"{one.due:%Y-%m-%d %H:%M:%S}",
                one.attempts,
                one.reply or "",
            )
            for one in found
        ],
    )


@click.command("show")
@click.argument("id")
@click.option("--content", is_flag=True, help="Show the mail itself, too.")
@json_option
def show(id: str, content: bool, as_json: bool) -> None:  # noqa: A002 - the argument's name
    """Show a letter and its timeline. ID may be its beginning or end."""
    from hopyard_email.outbox import letters

    async def work(hopyard: object) -> tuple[Letter, list[Happened], bytes | None]:
        letter = await letters.find(id)
        raw = await letters.content(letter.mail) if content else None
        return letter, await letters.timeline(letter.id), raw

    letter, happened, raw = with_hopyard(work)
    data: dict[str, Any] = {"letter": letter, "timeline": happened}
    if content:
        data["content"] = raw.decode("utf-8", "replace") if raw is not None else None
    emit(data, as_json, lambda _: _render_show(letter, happened, data))


def _render_show(letter: Letter, happened: list[Happened], data: dict[str, Any]) -> None:
    _render_letters([letter])
    say(f"\nFrom {letter.sender} by account {letter.account}, Message-ID {letter.message_id}")
    if letter.state == "unknown":
        say(
            "Nobody knows whether it was sent: find out, then `hopyard email resolve ID --sent`, or "
            "`--again` to send it once more."
        )
    rows = [(f"{one.at:%Y-%m-%d %H:%M:%S}", one.what, one.detail) for one in happened]
    table("Timeline", ("at (UTC)", "what", "detail"), rows)
    if "content" in data:
        say(data["content"] if data["content"] is not None else "Its content was removed.")


@click.command("accounts")
@click.option("--test", is_flag=True, help="Connect to each and log in; nothing is sent.")
@json_option
@click.pass_context
def accounts(context: click.Context, test: bool, as_json: bool) -> None:
    """List the accounts, and whether they can send."""
    from hopyard_email.checking import check_accounts

    found = with_hopyard(lambda hopyard: check_accounts(test=test))
    rows = [
        (one["name"], one["server"], one["sender"], one["limit"] or "", one["state"], one["detail"])
        for one in found
    ]
    emit(
        found,
        as_json,
        lambda _: table("Accounts", ("name", "server", "sender", "limit", "state", "detail"), rows),
    )
    context.exit(0 if all(one["ok"] for one in found) else 1)


@click.command("incoming")
@click.option("--mailbox", help="Only this mailbox.")
@click.option("--label", help="Only mails with this label.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
def incoming(mailbox: str | None, label: str | None, limit: int, as_json: bool) -> None:
    """List mail that came in, with its labels."""
    from hopyard_email.incoming import folders

    found = with_hopyard(lambda hopyard: folders.listed(mailbox=mailbox, label=label, limit=limit))
    rows = [
        (
            one["mailbox"],
            one["sender"],
            one["subject"],
            one["kind"],
            ", ".join(one["labels"]),
            one["chosen_by"],
            one["problem"] or "",
        )
        for one in found
    ]
    heads = ("mailbox", "from", "subject", "kind", "labels", "by", "problem")
    emit(found, as_json, lambda _: table("Incoming", heads, rows))
