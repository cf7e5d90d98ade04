"""Who asks, and what they may see and do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from hopyard.ledger.access import Key
from hopyard.ledger.read.listing import JobFilter


class Role(IntEnum):
    """What somebody may do; each may do what those before it may."""

    VIEWER = 1
    """See jobs, queues, schedules, workers and plugins."""
    SUBMITTER = 2
    """Submit jobs, and deal with people's requests."""
    OPERATOR = 3
    """Cancel, replay and discard jobs; pause queues; change and fire schedules."""
    ADMIN = 4
    """Make and revoke tokens, disable and enable plugins, and read what was done."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who has come in.

    `plugins` are those whose jobs, queues and schedules concern them; None is all. `person` restricts them to
    what is done for that person: their own requests, jobs and notifications, and nothing of the machinery.
    """

    id: str
    name: str
    role: Role
    plugins: tuple[str, ...] | None = None
    person: str | None = None
    by_cookie: bool = False

    @classmethod
    def of(cls, key: Key) -> Viewer:
        """Return whom a key lets in."""
        return cls(
            key.id, key.name, Role[key.role.upper()], key.plugins, key.person, by_cookie=key.kind == "session"
        )

    def may(self, role: Role) -> bool:
        """Say whether they may do what this role may."""
        return self.role >= role

    def concerns(self, name: str) -> bool:
        """Say whether a task, queue or schedule (`plugin` or `plugin.name`) is one of their plugins'."""
        return self.plugins is None or name.partition(".")[0] in self.plugins

    def sees(self, task: str, person: str | None) -> bool:
        """Say whether they may see a job of this task, done for this person."""
        return self.concerns(task) and (self.person is None or self.person == person)

    def narrowed(self, **wanted: object) -> JobFilter:
        """Return a filter for jobs that leaves out what they may not see."""
        plugins: Sequence[str] | None = self.plugins
        asked = wanted.pop("plugins", None)
        if isinstance(asked, Sequence):
            plugins = tuple(name for name in asked if self.plugins is None or name in self.plugins)
        if self.person is not None:
            if wanted.get("person") not in (None, self.person):
                plugins = ()
            wanted["person"] = self.person
        return JobFilter(plugins=plugins, **wanted)  # type: ignore[arg-type]
