"""`hopyard ai …`: people's requests from a shell."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click
from hopyard.cli import emit, json_option, say, table, with_hopyard

from hopyard_ai.preview_command import account, preview, user_option

if TYPE_CHECKING:
    from hopyard_ai.models import Answered, Approval, Connection, Reminder, Request, Run

T = TypeVar("T")
_OUTCOMES = {True: "", False: " (failed)", None: " (not ended)"}


def _do(work: Callable[[], Awaitable[T]]) -> T:
    return with_hopyard(lambda hopyard: work())


whose_option = click.option("--user", "-u", help="Whose requests; everybody's unless given.")
asked_option = click.option("--user", "-u", help="Who answers; the name of the account unless given.")


@click.command("remind")
@click.argument("text", nargs=-1, required=True)
@user_option
@click.option("--title", help="What it is called; made from the text unless given.")
@click.option("--zone", help="IANA time zone; the person's unless given.")
@click.option(
    "--after", metavar="ID", help="Do it each time that this request was done, instead of at a time."
)
@json_option
def remind(
    text: tuple[str, ...],
    user: str | None,
    title: str | None,
    zone: str | None,
    after: str | None,
    as_json: bool,
) -> None:
    """Ask for something in plain English: `hopyard ai remind "every weekday at 8 tell me the disk usage"`."""
    from hopyard_ai import confirming, manager

    asks = not as_json and sys.stdin.isatty() and sys.stdout.isatty()
    person, said = account(user), " ".join(text)
    made = _do(
        lambda: manager.create(said, person=person, title=title, zone=zone, after=after, tell=not asks)
    )
    if asks and made.request.state == "unconfirmed":
        say(made.sentence)
        yes = click.confirm("Is this right?")
        made = _do(lambda: confirming.confirm(made.request.id, person=person, yes=yes))
    emit(made, as_json, _render_reminder)


def _render_reminder(made: Reminder) -> None:
    say(made.sentence)
    if made.request.state == "deleted":
        return
    say(f"  id    {made.request.id}")
    say(f"  when  {made.request.when}")
    say(f"  what  {made.request.instruction}")
    for n, at in enumerate(made.request.next_times):
        say(f"  {'next' if n == 0 else '    '}  {at:%a %Y-%m-%d %H:%M:%S %Z} ({at:%z})")


@click.command("list")
@whose_option
@click.option("--all", "everything", is_flag=True, help="Completed ones too.")
@json_option
def list_(user: str | None, everything: bool, as_json: bool) -> None:
    """List requests."""
    from hopyard_ai import store

    states = (*store.OPEN, "completed") if everything else store.OPEN
    found = _do(lambda: store.requests(person=user, states=states))
    emit([request.model_dump(mode="json") for request in found], as_json, lambda _: _render_list(found))


def _render_list(found: list[Request]) -> None:
    table(
        "Requests",
        ("id", "person", "what", "when", "next", "state"),
        [
            (
                one.id,
                one.person,
                one.title,
                one.when,
                f"{one.next_times[0]:%a %Y-%m-%d %H:%M:%S %Z}" if one.next_times else "",
                one.state,
            )
            for one in found
        ],
    )


@click.command("show")
@click.argument("id")
@whose_option
@json_option
def show(id: str, user: str | None, as_json: bool) -> None:  # noqa: A002 - the argument's name on the command line
    """Show a request and its latest runs: decision, tool calls, answer, cost."""
    from hopyard_ai import store

    async def work() -> tuple[Request, list[Run]]:
        request = await store.find_request(id, user)
        return request, await store.runs(request.id)

    request, runs = _do(work)
    both: dict[str, Any] = {
        "request": request.model_dump(mode="json"),
        "runs": [run.model_dump(mode="json") for run in runs],
    }
    emit(both, as_json, lambda _: _render_show(request, runs))


def _render_show(request: Request, runs: list[Run]) -> None:
    from hopyard_ai import confirming

    _render_list([request])
    unconfirmed = request.state == "unconfirmed"
    say(f"\n{confirming.question(request) if unconfirmed else request.instruction}\n")
    table(
        "Runs",
        ("due", "state", "decision", "tools", "answer", "tokens", "job"),
        [
            (
                f"{run.due:%Y-%m-%d %H:%M:%S}",
                run.state,
                f"{run.decision['action']}: {run.decision['reason']}" if run.decision else "",
                ", ".join(f"{call['name']}{_OUTCOMES[call['ok']]}" for call in run.calls),
                run.answer,
                run.tokens,
                run.job,
            )
            for run in runs
        ],
    )


def _changes(name: str, help_text: str, verb: str) -> click.Command:
    @click.command(name, help=help_text)
    @click.argument("id")
    @whose_option
    @json_option
    def command(id: str, user: str | None, as_json: bool) -> None:  # noqa: A002 - the argument's name on the command line
        from hopyard_ai import manager

        request: Request = _do(lambda: getattr(manager, verb)(id, person=user))
        emit(request.model_dump(mode="json"), as_json, lambda _: _render_list([request]))

    return command


pause = _changes("pause", "Let a request rest; its due times pass.", "pause")
resume = _changes("resume", "Let a paused request go on, from now.", "resume")
complete = _changes("complete", "Say that a request is done for good.", "complete")


@click.command("update")
@click.argument("id")
@click.option("--title")
@click.option("--what", help="What is to be done.")
@click.option("--when", "when_", help='When, and nothing else: "every weekday at 9".')
@whose_option
@json_option
def update(
    id: str,  # noqa: A002
    title: str | None,
    what: str | None,
    when_: str | None,
    user: str | None,
    as_json: bool,
) -> None:
    """Change a request."""
    from hopyard_ai import manager

    request = _do(lambda: manager.update(id, person=user, title=title, instruction=what, when=when_))
    emit(request.model_dump(mode="json"), as_json, lambda _: _render_list([request]))


@click.command("delete")
@click.argument("id")
@whose_option
def delete(id: str, user: str | None) -> None:  # noqa: A002
    """Remove a request; its runs stay for the record."""
    from hopyard_ai import manager

    _do(lambda: manager.delete(id, person=user))


@click.command("run")
@click.argument("id")
@whose_option
@json_option
def run_now(id: str, user: str | None, as_json: bool) -> None:  # noqa: A002
    """Act on a request now, beside its schedule."""
    from hopyard_ai import manager

    _tell_job(_do(lambda: manager.run_now(id, person=user)), as_json)


@click.command("answer")
@click.argument("id")
@click.argument("text", nargs=-1, required=True)
@asked_option
@json_option
def answer(id: str, text: tuple[str, ...], user: str | None, as_json: bool) -> None:  # noqa: A002
    """Answer a question that was asked about a request; ID is the request's or the run's."""
    from hopyard_ai import manager

    _tell_answered(_do(lambda: manager.answer(id, " ".join(text), person=account(user))), as_json)


@click.command("confirm")
@click.argument("id")
@click.option("--no", "refuse", is_flag=True, help="Drop it instead.")
@asked_option
@json_option
def confirm(id: str, refuse: bool, user: str | None, as_json: bool) -> None:  # noqa: A002
    """Agree to what a model made of your request; until then it does nothing."""
    from hopyard_ai import confirming

    made = _do(lambda: confirming.confirm(id, person=account(user), yes=not refuse))
    emit(made, as_json, _render_reminder)


@click.command("approve")
@click.argument("id", required=False)
@click.option("--deny", is_flag=True, help="Refuse instead.")
@asked_option
@json_option
def approve(id: str | None, deny: bool, user: str | None, as_json: bool) -> None:  # noqa: A002
    """Agree to one tool call that waits; ID is in the message that asked. Without it, to the only one."""
    from hopyard_ai import approving

    _tell_answered(_do(lambda: approving.approve(id, person=account(user), yes=not deny)), as_json)


@click.command("approvals")
@whose_option
@json_option
def approvals(user: str | None, as_json: bool) -> None:
    """List the tool calls that wait for somebody's approval."""
    from hopyard_ai import approving

    found = _do(lambda: approving.open_approvals(user))
    emit([one.model_dump(mode="json") for one in found], as_json, lambda _: _render_approvals(found))


def _render_approvals(found: list[Approval]) -> None:
    from hopyard_ai.approving import call_text

    table(
        "Approvals",
        ("id", "person", "call", "it", "request", "until"),
        [
            (
                one.id,
                one.person,
                call_text(one.tool, one.args),
                one.effect,
                one.title,
                f"{one.expires:%Y-%m-%d %H:%M %Z}" if one.expires else "",
            )
            for one in found
        ],
    )


def _tell_answered(answered: Answered, as_json: bool) -> None:
    emit(answered.model_dump(), as_json, lambda _: _render_answered(answered))


def _render_answered(answered: Answered) -> None:
    say(answered.sentence)
    if answered.job is not None:
        say(f"job {answered.job}: `hopyard jobs show {answered.job}`")


def _tell_job(id_: str, as_json: bool) -> None:
    emit(
        {"job": id_},
        as_json,
        lambda data: say(f"job {data['job']}: `hopyard jobs show {data['job']}`"),
    )


@click.command("inbox")
@user_option
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@json_option
def inbox(user: str | None, limit: int, as_json: bool) -> None:
    """Show what people were told, and how it was delivered."""
    from hopyard import people

    found = _do(lambda: people.inbox(user, limit))
    emit(found, as_json, _render_inbox)


def _render_inbox(found: list[dict[str, Any]]) -> None:
    table(
        "Notifications",
        ("at (UTC)", "person", "title", "text", "delivered"),
        [
            (
                (one["created"] or "")[:19].replace("T", " "),
                one["person"],
                one["title"],
                one["body"],
                ", ".join(f"{sent['channel']}: {sent['state']}" for sent in one["deliveries"]),
            )
            for one in found
        ],
    )


@click.command("check")
@click.option("--timeout", type=float, default=20.0, show_default=True, help="Seconds for each model.")
@json_option
@click.pass_context
def check(context: click.Context, timeout: float, as_json: bool) -> None:
    """Say which of the configured models answer, and how fast."""
    from hopyard_ai.health import connections

    found: list[Connection] = _do(lambda: connections(timeout))
    emit(
        [one.model_dump() for one in found],
        as_json,
        lambda _: table(
            "Models",
            ("model", "", "seconds", "answer"),
            [(one.model, "ok" if one.ok else "WRONG", one.seconds, one.detail) for one in found],
        ),
    )
    context.exit(0 if all(one.ok for one in found) else 1)


COMMANDS = (
    remind,
    preview,
    list_,
    show,
    update,
    pause,
    resume,
    complete,
    delete,
    run_now,
    answer,
    confirm,
    approve,
    approvals,
    inbox,
    check,
)
