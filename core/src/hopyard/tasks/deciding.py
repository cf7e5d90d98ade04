"""What plugins decide about a call before its job is stored: whether it is taken, and where it goes."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

from hopyard import current
from hopyard.errors import NotAdmitted
from hopyard.ledger.values import NewJob, utcnow
from hopyard.specs import State

if TYPE_CHECKING:
    from hopyard.loading import Plugins


def plugins_decide(plugins: Plugins) -> bool:
    """Say whether any plugin wants to decide about calls."""
    callers = plugins.callers
    return bool(callers.of("admit_task") or callers.of("route_task"))


def decided(job: NewJob, queue: str | None, priority: int | None) -> NewJob:
    """Return a job as plugins want it; `queue` and `priority` are what the caller says, which comes first.

    Raises `NotAdmitted` with the reason where a plugin refuses the call.
    """
    plugins: Plugins = current.get().plugins
    args, arguments, _ = json.loads(job.body)
    if args:  # positional ones, of a canvas
        arguments = plugins.running_task(job.task).payload.named(tuple(args), arguments)
    core = job.task.startswith("hopyard.")  # such as the delivery of a notification: always taken
    admission = None if core else plugins.admit(job.task, arguments, job.person)
    if admission is not None:
        if admission.refused is not None:
            raise NotAdmitted(f"{job.task} is not taken: {admission.refused}")
        if admission.delay:
            eta = utcnow() + timedelta(seconds=admission.delay)
            job = job._replace(state=State.SCHEDULED, eta=max(eta, job.eta or eta))
    route = plugins.route(job.task, arguments, job.person)
    if route is not None:
        job = job._replace(
            queue=queue or route.queue or job.queue,
            priority=next(one for one in (priority, route.priority, job.priority) if one is not None),
        )
    return job
