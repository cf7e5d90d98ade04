"""Celery's remote control: what `celery inspect` and `celery control` mean for the jobs that run here.

`inspect active`, `query_task`, `revoke` and `terminate` find running jobs in Celery's own table of requests.
What would report a success and change nothing is refused, and names what to use instead.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from celery.worker import state
from celery.worker.control import Panel, nok

from hopyard.celeryapp import LedgerTask
from hopyard.engine.running import Running
from hopyard.monitor.health import MARK

_SLOTS: Final = "jobs run in the slots of their queues: set `slots` in `[queues.NAME]` of hopyard.toml"
#: Commands that have no meaning here, and what to do instead.
REFUSED: Final = {
    "add_consumer": "a worker's queues are chosen when it starts: `hopyard worker -Q NAME`",
    "cancel_consumer": "no worker takes jobs of a queue that is paused: `hopyard queues pause NAME`",
    "election": "workers hold no elections: a lease in the ledger says who leads",
    "pool_grow": _SLOTS,
    "pool_shrink": _SLOTS,
    "autoscale": _SLOTS,
    "pool_restart": "the worker's pool runs no jobs: stop the worker and start it again",
    "revoke_by_stamped_headers": "jobs carry no stamps: cancel each by its id, `hopyard jobs cancel ID`",
}
#: Commands that work for Celery's own tasks, but not for those that the ledger holds.
REFUSED_FOR_JOBS: Final = {
    "rate_limit": "`{task}` takes no rate limit: limit how many run at once by the `slots` of its queue",
    "time_limit": '`{task}` is limited in the settings: set `time_limit` in `[tasks."{task}"]`',
}
_REPLACED: Final = ("active", "active_queues", "query_task", "rate_limit", "time_limit")
_stock: Final = {name: Panel.data[name] for name in _REPLACED}


def install() -> None:
    """Put our answers in the place of Celery's, in this process."""
    for name, reason in REFUSED.items():
        Panel.data[name] = partial(_refuse, reason)
    for name, reason in REFUSED_FOR_JOBS.items():
        Panel.data[name] = partial(_refuse_for_jobs, _stock[name], reason)
    Panel.data["active"] = Panel.data["dump_active"] = _active
    Panel.data["active_queues"] = _active_queues
    Panel.data["query_task"] = _query_task


def _refuse(reason: str, worker: Any, *args: Any, **kwargs: Any) -> Any:
    return nok(f"not supported: {reason}")


def _refuse_for_jobs(stock: Callable[..., Any], reason: str, worker: Any, **kwargs: Any) -> Any:
    name = kwargs.get("task_name")
    if isinstance(worker.app.tasks.get(name), LedgerTask):
        return nok(f"not supported: {reason.format(task=name)}")
    return stock(worker, **kwargs)


def _jobs() -> list[Running]:
    return [request for request in [*state.requests.values()] if isinstance(request, Running)]


def _info(worker: Any, running: Running, safe: bool = False) -> dict[str, Any]:
    return running.info(safe=safe) | {"hostname": worker.hostname}


def _active(worker: Any, safe: bool = False, **kwargs: Any) -> list[dict[str, Any]]:
    """As Celery's: the tasks that run, with the ledger's jobs among them."""
    others: list[dict[str, Any]] = _stock["active"](worker, safe=safe, **kwargs)
    return [_info(worker, running, safe) for running in _jobs()] + others


def _active_queues(worker: Any, **kwargs: Any) -> list[dict[str, Any]]:
    """As Celery's; each says that Hopyard takes its messages, whatever the ledger thinks of this worker."""
    return [{**queue, MARK: True} for queue in _stock["active_queues"](worker, **kwargs)]


def _query_task(worker: Any, ids: Any, **kwargs: Any) -> dict[str, Any]:
    """As Celery's, with the ledger's jobs among them."""
    found: dict[str, Any] = _stock["query_task"](worker, ids, **kwargs)
    ours = {running.original: ("active", _info(worker, running)) for running in _jobs()}
    return found | {id_: ours[id_] for id_ in found if id_ in ours}
