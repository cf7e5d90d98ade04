"""The command line: `hopyard COMMAND`. Each command's module is imported when the command is used.

For command modules, also of plugins: `load_settings`, `load_context` and `load_hopyard` give what the global
options ask for, `with_hopyard` runs a coroutine with it, `submitted` has a worker do something and follows
it; `emit`, `table`, `say` and `progress` print.
"""

from __future__ import annotations

from hopyard.cli._context import Context, load_context, load_hopyard, load_settings
from hopyard.cli._group import HopyardGroup
from hopyard.cli._jobs import submitted
from hopyard.cli._output import emit, json_option, progress, say, table
from hopyard.cli._session import with_hopyard

__all__ = [
    "COMMANDS",
    "Context",
    "emit",
    "json_option",
    "load_context",
    "load_hopyard",
    "load_settings",
    "main",
    "progress",
    "say",
    "submitted",
    "table",
    "with_hopyard",
]

COMMANDS = {
    "demo": ("hopyard.cli.demo:command", "Show what Hopyard does, on this machine, in a minute."),
    "up": ("hopyard.cli.up:command", "Start everything on this machine."),
    "worker": ("hopyard.cli.worker:command", "Run jobs."),
    "beat": ("hopyard.cli.beat:command", "Submit what is scheduled."),
    "web": ("hopyard.cli.web:command", "Serve the dashboard and the HTTP API."),
    "top": ("hopyard.cli.top:command", "Show what runs, in this terminal, kept up to date."),
    "tasks": ("hopyard.cli.tasks:command", "List the tasks of all plugins."),
    "run": ("hopyard.cli.run:command", "Submit a job and follow it."),
    "jobs": ("hopyard.cli.jobs:command", "List, show, cancel, replay and discard jobs."),
    "explain": ("hopyard.cli.explain:command", "Say why a job is not running."),
    "queues": ("hopyard.cli.queues:command", "List queues, pause and resume them."),
    "resources": ("hopyard.cli.resources:command", "Say who holds GPUs and the like, and who waits."),
    "schedule": ("hopyard.cli.schedule:command", "List and change schedules."),
    "new": ("hopyard.cli.new:command", "Make a plugin, or a hopfile.py, that works at once."),
    "plugins": ("hopyard.cli.plugins:command", "List plugins, their state and what is wrong with them."),
    "config": ("hopyard.cli.config:command", "Check and show the settings."),
    "db": ("hopyard.cli.db:command", "Create and upgrade the database."),
    "set-aside": ("hopyard.cli.set_aside:command", "List what could not be dealt with."),
    "doctor": ("hopyard.cli.doctor:command", "Find out what is wrong with this installation."),
}

main = HopyardGroup("hopyard", COMMANDS, help="Background jobs on Celery, by plugins, none lost.")
