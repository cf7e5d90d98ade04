"""Commands about addresses that get no mail."""

from __future__ import annotations

import click
from hopyard.cli import emit, json_option, say, table, with_hopyard


@click.command("suppress")
@click.argument("address")
@click.option("--reason", default="said by a person", show_default=True, help="Why.")
@json_option
def suppress(address: str, reason: str, as_json: bool) -> None:
    """Send ADDRESS no more mail; what waits for it is not sent."""
    from hopyard_email.outbox import suppression

    new = with_hopyard(lambda hopyard: suppression.suppress(address, reason))
    said = "gets no more mail" if new else "got no mail already"
    emit({"address": address, "new": new}, as_json, lambda _: say(f"{address} {said}."))


@click.command("unsuppress")
@click.argument("address")
@json_option
def unsuppress(address: str, as_json: bool) -> None:
    """Let ADDRESS get mail again."""
    from hopyard_email.outbox import suppression

    was = with_hopyard(lambda hopyard: suppression.unsuppress(address))
    said = "gets mail again" if was else "was not suppressed"
    emit({"address": address, "was_suppressed": was}, as_json, lambda _: say(f"{address} {said}."))


@click.command("suppressed")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@json_option
def suppressed(limit: int, as_json: bool) -> None:
    """List the addresses that get no mail, and why."""
    from hopyard_email.outbox import suppression

    found = with_hopyard(lambda hopyard: suppression.suppressed(limit))
    rows = [(one["address"], one["reason"], f"{one['created']:%Y-%m-%d %H:%M}") for one in found]
    emit(found, as_json, lambda _: table("Suppressed", ("address", "reason", "since (UTC)"), rows))
