"""Hopyard plugin `email`: sends mail once, sorts what comes in, and tells people by mail."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click
from hopyard import HealthCheck, Notifier, Plugin, Queue, Rule, Schedule, Task, hookimpl

from hopyard_email import tasks
from hopyard_email.models import Attachment, Mail, Queued
from hopyard_email.settings import EmailSettings

__all__ = ["Attachment", "Email", "EmailSettings", "Mail", "Queued"]


class Email(Plugin[EmailSettings]):
    """Namespace `email`."""

    migrations = "hopyard_email.migrations"
    after = ("ai",)

    @hookimpl
    def register_queues(self) -> Iterable[Queue]:
        # One sender in each worker process, with several connections.
        return [Queue("email", slots=4), Queue("email.outbox", slots=1, group="email")]

    @hookimpl
    def register_tasks(self) -> Iterable[Task[..., Any]]:
        return [
            tasks.send,
            tasks.send_scheduled_email,
            tasks.process_email_queue,
            tasks.send_daily_email_summary,
            tasks.categorize_incoming_email,
            tasks.suppress,
            tasks.list_mail,
        ]

    @hookimpl
    def register_schedules(self) -> Iterable[Schedule]:
        name = "email.process_email_queue"
        found = [Schedule(name, name, Rule(every=300.0), overlap="skip")]
        if self.settings.summary.people:
            # Eight o'clock is at another moment in each zone, on a quarter of an hour everywhere.
            name = "email.send_daily_email_summary"
            found.append(Schedule(name, name, Rule(cron="*/15 * * * *"), overlap="skip"))
        if self.settings.incoming:
            name = "email.categorize_incoming_email"
            found.append(Schedule(name, name, Rule(every=300.0), overlap="skip"))
        return found

    @hookimpl
    def register_health_checks(self) -> Iterable[HealthCheck]:
        from hopyard_email import health

        return [
            HealthCheck("outbox", health.outbox),
            HealthCheck("accounts", health.accounts),
            HealthCheck("configuration", health.configuration),
        ]

    @hookimpl
    def register_notifiers(self) -> Iterable[Notifier]:
        from hopyard_email.notifier import deliver

        return [Notifier("mailto", deliver)] if self.settings.channel and self.settings.accounts else []

    @hookimpl
    def register_commands(self) -> Iterable[click.Command]:
        from hopyard_email.commands import COMMANDS

        return COMMANDS
