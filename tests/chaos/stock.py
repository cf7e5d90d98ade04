"""Stock Celery at the safest settings that its documentation gives, for the baseline T0."""

from __future__ import annotations

import os
import time

from celery import Celery
from chaos.sink import tell_now

SETTINGS = {
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "worker_prefetch_multiplier": 1,
    "task_ignore_result": True,
    "broker_transport_options": {"visibility_timeout": 5},
    "broker_connection_retry_on_startup": True,
}

app = Celery("stock", broker=os.environ.get("HOPYARD_INTERNAL_STOCK", "memory://"))
app.conf.update(SETTINGS)


@app.task(name="stock.step", bind=True)  # type: ignore[untyped-decorator]
def step(self) -> None:  # type: ignore[no-untyped-def]
    """Report and take 20 ms."""
    tell_now(what="start", job=self.request.id, fence=[os.getpid(), 0], pid=os.getpid())
    time.sleep(0.02)
    tell_now(what="end", job=self.request.id, fence=[os.getpid(), 0], pid=os.getpid())
