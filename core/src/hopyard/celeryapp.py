"""The Celery app: ordinary to everything stock, its tasks stored in the ledger before they are sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery import Task as CeleryTask
from celery.app.amqp import AMQP
from celery.result import AsyncResult
from click import ClickException
from kombu.connection import Connection
from kombu.entity import Exchange, Queue

from hopyard import checks, current, portal
from hopyard.errors import HopyardError, SpecError
from hopyard.tasks import canvas, signals
from hopyard.tasks.declaration import Call
from hopyard.tasks.job import current_job

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.ledger.values import NewJob
    from hopyard.tasks import Task

#: Options of Celery's that change nothing for a job in the ledger.
_IGNORED = {
    "serializer",
    "compression",
    "retry",
    "retry_policy",
    "ignore_result",
    "connection",
    "producer",
    "router",
    "add_to_parent",
    "reply_to",
}
_KNOWN = {"countdown", "eta", "queue", "priority", "task_id", "routing_key", "exchange", "headers"}
#: What Celery's canvas says of a task's place among others.
_CANVAS = {"link", "link_error", "chain", "chord", "group_id", "group_index", "root_id", "parent_id"}
#: Celery's own tasks that run others within themselves.
_UNKEPT = {"celery.map", "celery.starmap"}
_LEAST_AMQP_HEARTBEAT = 5
_plainly: ContextVar[bool] = ContextVar("hopyard_send_plainly", default=False)


class HopyardCelery(Celery):  # type: ignore[misc]  # Celery has no types
    """Celery, but a Hopyard task is stored before it is sent, whichever call sends it."""

    own_routes: Mapping[str, Any] = {}

    amqp_cls = "hopyard.celeryapp:LedgerAMQP"

    def without_effect(self) -> Iterator[str]:
        """Yield a sentence for each setting of the app that its jobs will not feel."""
        if self.conf.beat_schedule:
            names = ", ".join(sorted(map(str, self.conf.beat_schedule)))[:200]
            yield (
                f"`beat_schedule` and `add_periodic_task` fire nothing here ({names}): schedules stand in "
                "the ledger, from a plugin's `register_schedules`, `[schedules]` in the settings, or "
                "`hopyard schedule add`"
            )
        if self.conf.task_routes != self.own_routes:
            yield (
                '`task_routes` moves no job of Hopyard\'s: set `queue` in `[tasks."NAME"]`, or for one call '
                "`apply_async(queue=…)`"
            )

    def send_task(self, name: str, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """As Celery's; a Hopyard task goes through the ledger."""
        hopyard: Hopyard = current.get()
        if name in hopyard.tasks:
            return send(hopyard.tasks[name], args, kwargs, options)
        if name in _UNKEPT:
            raise HopyardError(f"{name} (map, starmap, chunks) would run outside of the ledger: use a group")
        collection = canvas.collection()
        if collection is not None and not collection.check:
            hopyard.task(name)  # raises: only what the ledger holds can follow a job
        token = _plainly.set(True)
        try:
            return super().send_task(name, args, kwargs, **options | {"producer": None})
        finally:
            _plainly.reset(token)

    def producer_or_acquire(self, producer: Any = None) -> Any:
        """As Celery's; the tasks of a group are stored together when its block ends."""
        if _plainly.get():
            return super().producer_or_acquire(producer)
        collection = canvas.collection()
        return nullcontext(collection) if collection is not None else _together()


class PurgeRefused(HopyardError, ClickException):
    """Emptying the broker deletes no job: the ledger would send new messages."""


class LedgerConnection(Connection):
    """A connection to the broker on which queues cannot be purged."""

    def channel(self) -> Any:
        """As kombu's."""
        channel: Any = super().channel()  # type: ignore[no-untyped-call]
        channel.queue_purge = _refuse_purge
        return channel


class LedgerAMQP(AMQP):  # type: ignore[misc]
    """As Celery's, with connections of ours."""

    Connection = LedgerConnection


def _refuse_purge(*_: Any, **__: Any) -> None:
    raise PurgeRefused(
        "a purge deletes messages, and the ledger would send them again: cancel jobs with "
        "`hopyard jobs cancel ID …`, or stop a queue with `hopyard queues pause NAME`"
    )


class LedgerTask(CeleryTask):  # type: ignore[misc]
    """A declared task as Celery sees it."""

    Strategy = "hopyard.engine.celery_node.strategy:strategy"
    ignore_result = True
    typing = False
    abstract = True
    declaration: Task[..., Any]

    @property
    def request(self) -> Any:
        """As Celery's; within a job it tells of the job."""
        job = current_job.get()
        if job is None or job.task != self.name or self.request_stack.top is not None:
            return self._get_request()
        return job.celery_request()

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function here and now (Celery's `apply`), without a job."""
        values = self.declaration.payload.load(args, kwargs)
        result = self.declaration.function(**values)
        return portal.run(result) if self.declaration.is_async else result

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """As Celery's, through the ledger."""
        return send(self.declaration, args, kwargs, options)


@contextmanager
def _together() -> Iterator[canvas.Collection]:
    with canvas.collecting() as found:
        yield found
    portal.run(_store(found), within_loop=True)


async def _store(found: canvas.Collection) -> None:
    await current.get().client().submit_canvas(found)


def send(task: Task[..., Any], args: Any, kwargs: Any, options: dict[str, Any]) -> Any:
    """Submit a job with Celery's options; return an `AsyncResult`.

    Raises `HopyardError` for options that Hopyard cannot keep, `SpecError` for those that are wrong.
    """
    # Celery passes what nobody asked for as None, False or empty; 0 is a priority.
    given = {name: value for name, value in options.items() if not _unsaid(value)}
    unknown = sorted(given.keys() - _KNOWN - _CANVAS - _IGNORED)
    if unknown:
        raise HopyardError(
            f"{task.name}: the Celery option `{unknown[0]}` is not supported, use one of "
            f"{', '.join(sorted(_KNOWN | _CANVAS))}"
        )
    if not isinstance(args, list | tuple | None):
        checks.refuse(f"{task.name}: args", args, "a list or a tuple of arguments")
    if not isinstance(kwargs, Mapping | None):
        checks.refuse(f"{task.name}: kwargs", kwargs, "a mapping of arguments by name")
    id_ = given.get("task_id")
    collection = canvas.collection()
    check = collection is None or collection.check
    eta = given.get("eta") if check else _moment(task.name, given.get("eta"))
    call: Call[..., Any] = task.options(
        queue=getattr(given.get("queue"), "name", given.get("queue")),
        priority=given.get("priority"),
        eta=eta,
        delay=given.get("countdown"),
        id=id_,
    )
    if collection is not None:
        call = replace(call, person=collection.person)
    job = canvas.linked(call.job(tuple(args or ()), kwargs or {}, check=check), options)
    if headers := given.get("headers"):
        checks.json_table(f"{task.name}: headers", headers)
        job = signals.with_headers(job, headers)
    if collection is None and not job.linked:
        portal.run(_submit(job, fresh=not id_), within_loop=True)
    elif collection is None:
        alone = canvas.Collection()
        alone.add(job, options)
        portal.run(_store(alone), within_loop=True)
    else:
        collection.add(job, options)
    return AsyncResult(job.id, app=current.get().celery, task_name=task.name)


def _unsaid(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, list | dict | tuple) and not value)


def _moment(name: str, eta: Any) -> Any:
    """Return the eta of what follows a job, which was stored as JSON, as a datetime."""
    if isinstance(eta, Mapping):
        eta = eta.get("__value__")
    if not isinstance(eta, str):
        return eta
    try:
        return datetime.fromisoformat(eta)
    except ValueError:
        raise SpecError(
            f"{name}: eta: found {eta[:80]!r}, expected a datetime, or text as 2030-01-31T12:00:00+00:00"
        ) from None


async def _submit(job: NewJob, *, fresh: bool) -> None:
    await current.get().client().submit([job], fresh=fresh)


def build(hopyard: Hopyard) -> Celery:
    """Return the Celery app of a Hopyard."""
    from hopyard.broker.shim import limit_unpacking, repair_kombu
    from hopyard.engine.celery_node.steps import ConsumerStep, EngineStep

    repair_kombu()
    signals.show_running_task()
    limit_unpacking()
    app = HopyardCelery("hopyard", set_as_current=True)
    plugins = hopyard.plugins
    routes = {name: {"queue": options.queue} for name, options in plugins.options.items()}
    app.own_routes = dict(routes)
    amqp = hopyard.broker_url.startswith(("amqp", "pyamqp"))
    app.conf.update(
        broker_url=hopyard.broker_url,
        result_backend="hopyard.tasks.backend:LedgerBackend",
        task_queues=[
            Queue(  # type: ignore[no-untyped-call]
                name,
                Exchange(name, type="direct"),  # type: ignore[no-untyped-call]
                routing_key=name,
                queue_arguments={"x-max-priority": 9} if amqp else None,
            )
            for name in plugins.queues
        ],
        task_default_queue="hopyard",
        task_routes=routes,
        beat_scheduler="hopyard.schedule.beat:BeatScheduler",
        timezone=hopyard.settings.time_zone,
        **_settings(hopyard),
        **(_amqp_settings(hopyard.settings.worker.lease) if amqp else {}),
    )
    for declaration in plugins.tasks.values():
        kind = type(
            "LedgerTask",
            (LedgerTask,),
            {
                "name": declaration.name,
                "declaration": declaration,
                "__doc__": declaration.doc,
                "abstract": False,
            },
        )
        app.register_task(kind())
    app.steps["worker"].add(EngineStep)
    app.steps["consumer"].add(ConsumerStep)
    return app


def _settings(hopyard: Hopyard) -> dict[str, Any]:
    """Settings whose defaults lose or delay jobs, or cost without use."""
    return {
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "task_acks_late": True,
        "enable_utc": True,
        "worker_consumer": "hopyard.engine.celery_node.consumer:LedgerConsumer",
        # Jobs run on the engine's loop, threads and children; the pool is for Celery's own odd tasks.
        "worker_pool": "threads",
        "worker_concurrency": 1,
        "worker_prefetch_multiplier": 1,
        "worker_cancel_long_running_tasks_on_connection_loss": False,  # True loses tasks
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_proc_alive_timeout": 10.0,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "unacked_mutex_expire": 30,
            "visibility_timeout": 300,  # messages are acknowledged as soon as their job is claimed
            "queue_order_strategy": "priority",
            "socket_keepalive": True,
            "socket_connect_timeout": 5,
            "socket_timeout": 15,  # or a connection that was cut off holds the main thread for ever
            "health_check_interval": 25,
        },
        "beat_max_loop_interval": 1,
    }


def _amqp_settings(lease: float) -> dict[str, Any]:
    """Settings for RabbitMQ: what its lines and channels suffer ends no worker, whose jobs need neither.

    The heartbeat is after how many seconds of silence each end of a line looks again. RabbitMQ gives up a
    client at the third look that finds nothing, a client RabbitMQ at about the second: what a frozen worker
    holds unacknowledged comes back when its jobs do, at the end of its lease. RabbitMQ's manual warns of less
    than 5 s (https://www.rabbitmq.com/docs/heartbeats).
    """
    return {
        "broker_heartbeat": max(_LEAST_AMQP_HEARTBEAT, int(lease / 3)),
        # Such as its time limit of half an hour for acknowledgements, while messages wait for long jobs.
        "broker_channel_error_retry": True,
        # An exclusive queue is locked until RabbitMQ gives up the line that was cut: who comes back on
        # another one before would be refused, and end.
        "control_queue_exclusive": False,
        "control_queue_durable": True,
    }
