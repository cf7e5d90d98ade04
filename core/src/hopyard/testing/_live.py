"""A real worker and a real broker beside a test: Celery's worker in a thread of the test's process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from celery._state import _set_task_join_will_block
from celery.worker import state as worker_state

from hopyard.errors import HopyardError
from hopyard.local import broker
from hopyard.testing._site import Site

#: Until the worker takes messages, and until it has ended, in seconds.
_STARTING: Final = 30.0
_ENDING: Final = 30.0
_PAUSE: Final = 0.005


@contextmanager
def live(site: Site) -> Iterator[None]:
    """Run the site's jobs by a worker of its own, over an embedded broker, until the block ends."""
    running = broker.start(site.settings.data)
    try:
        with site.connected(running.url):
            yield from _worked(site)
    finally:
        broker.stop(running)


def _worked(site: Site) -> Iterator[None]:
    worker = site.celery.WorkController(
        hostname="testing@here", without_mingle=True, without_gossip=True, pool="solo", quiet=True
    )
    failed: list[BaseException] = []
    thread = threading.Thread(
        target=_serve, args=(worker, failed), name="hopyard-testing-worker", daemon=True
    )
    worker_state.reset_state()
    thread.start()
    try:
        _await_ready(worker, thread, failed)
        _set_task_join_will_block(False)  # for the whole process, by the pool: here tests wait for results
        yield
    finally:
        worker_state.should_stop = 0
        thread.join(_ENDING)
        worker_state.should_stop = None
        worker_state.should_terminate = None
        if thread.is_alive():
            raise HopyardError(f"the worker has not ended within {_ENDING:g} s")


def _serve(worker: Any, failed: list[BaseException]) -> None:
    try:
        worker.start()
    except SystemExit:
        pass
    except BaseException as error:  # noqa: BLE001 - told to the test
        failed.append(error)


def _consumes(worker: Any) -> bool:
    """Say whether all steps of Celery's consumer have begun, of which the last one takes messages."""
    consumer = getattr(worker, "consumer", None)
    if consumer is None:
        return False
    steps = [step for step in consumer.steps if step is not None]
    return bool(steps) and consumer.blueprint.started == len(steps)


def _await_ready(worker: Any, thread: threading.Thread, failed: list[BaseException]) -> None:
    deadline = time.monotonic() + _STARTING
    while not _consumes(worker):
        if failed or not thread.is_alive():
            raise HopyardError(
                f"the worker did not start: {failed[0]!r}" if failed else "the worker has ended"
            )
        if time.monotonic() > deadline:
            raise HopyardError(f"the worker does not consume after {_STARTING:g} s")
        time.sleep(_PAUSE)
