"""The tasks. Their bodies are elsewhere: declaring them must stay cheap."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hopyard import Job, RetryPolicy, Tool, people, task
from hopyard.errors import InvalidInput

from hopyard_email.models import Attachment, Categorized, Mail, Outgoing, Processed, Queued, State, Summarized

_RETRY = RetryPolicy(max_retries=3, backoff=30)


@task("email.send", retry=_RETRY, time_limit=120, tool=Tool(approval=True))
async def send(
    job: Job,
    to: list[str],
    subject: str = "",
    text: str | None = None,
    html: str | None = None,
    template: str | None = None,
    values: dict[str, Any] | None = None,
    cc: list[str] | None = None,
    bcc: list[str] | None = None,
    sender: str | None = None,
    reply_to: str | None = None,
    account: str | None = None,
    headers: dict[str, str] | None = None,
    attachments: list[Attachment] | None = None,
    bulk: bool = False,
    key: str | None = None,
) -> Queued:
    """Send an email now: to whom, a subject, and a text, HTML or a template. The same `key` sends it once."""
    from hopyard_email.sending import send_mail

    mail = Mail.given(
        to=to,
        subject=subject,
        text=text,
        html=html,
        template=template,
        values=values,
        cc=cc,
        bcc=bcc,
        sender=sender,
        reply_to=reply_to,
        account=account,
        headers=headers,
        attachments=attachments,
        bulk=bulk,
        person=job.person,
    )
    return await send_mail(job, mail, key)


@task("email.send_scheduled_email", retry=_RETRY, time_limit=120, tool=Tool(approval=True))
async def send_scheduled_email(
    job: Job,
    to: list[str],
    at: datetime,
    subject: str = "",
    text: str | None = None,
    html: str | None = None,
    template: str | None = None,
    values: dict[str, Any] | None = None,
    zone: str | None = None,
    person: str | None = None,
    not_after: datetime | None = None,
    cc: list[str] | None = None,
    bcc: list[str] | None = None,
    sender: str | None = None,
    reply_to: str | None = None,
    account: str | None = None,
    headers: dict[str, str] | None = None,
    attachments: list[Attachment] | None = None,
    bulk: bool = False,
    key: str | None = None,
) -> Queued:
    """Send an email at a moment: `at` is in the recipient's time zone (`zone`, or the person's)."""
    from hopyard_email.sending import moments, send_mail

    whose = person or (job.person if job.person in people.known() else None)
    due, last = moments(at, not_after, zone, whose)
    mail = Mail.given(
        to=to,
        subject=subject,
        text=text,
        html=html,
        template=template,
        values=values,
        cc=cc,
        bcc=bcc,
        sender=sender,
        reply_to=reply_to,
        account=account,
        headers=headers,
        attachments=attachments,
        bulk=bulk,
        person=job.person or person,
    )
    return await send_mail(job, mail, key, due=due, not_after=last)


@task("email.process_email_queue", queue="email.outbox", retry=_RETRY, time_limit=400)
async def process_email_queue(job: Job) -> Processed:
    """Send what waits in the outbox, each mail once, as fast as limits allow."""
    from hopyard_email import Email
    from hopyard_email.smtp.queue import Sender

    return await Sender(job, Email.current().settings).run()


@task("email.send_daily_email_summary", retry=_RETRY, time_limit=300)
async def send_daily_email_summary(job: Job) -> Summarized:
    """Mail each person what they were told since the last summary, at their hour, if it is anything."""
    from hopyard_email.summary import summarize

    return await summarize(job)


@task("email.categorize_incoming_email", retry=_RETRY, time_limit=1800)
async def categorize_incoming_email(job: Job, mailbox: str | None = None) -> Categorized:
    """Read new mail, label it by rules and a classifier, and take in bounces and complaints."""
    from hopyard_email.incoming.categorizing import categorize

    return await categorize(job, mailbox)


@task("email.suppress", retry=_RETRY, time_limit=60, tool=Tool(idempotent=True, approval=True))
async def suppress(address: str, reason: str = "unsubscribed") -> bool:
    """Send an address no more mail, for instance because its owner has unsubscribed. False: it got none."""
    from hopyard_email.outbox.suppression import suppress as suppress_address

    return await suppress_address(address, reason)


@task("email.list_mail", retry=_RETRY, time_limit=60, tool=Tool(read_only=True, idempotent=True))
async def list_mail(job: Job, state: State | None = None, limit: int = 20) -> list[Outgoing]:
    """List the emails that this person had sent or were sent for them, with their states; the latest first.

    A call that is for nobody sees none.
    """
    from hopyard_email.outbox.letters import listed

    if not 1 <= limit <= 100:
        raise InvalidInput(f"limit: found {limit}, expected 1 to 100")
    if job.person is None:
        return []
    found = await listed(state=state, person=job.person, limit=limit)
    return [Outgoing.of(one) for one in found]
