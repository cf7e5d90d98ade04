"""Canvas structures give the same results as with a stock Celery worker and its own result backend.

Left out is what stock Celery cannot do, or does differently from one shape to the next:

- a group straight within a group or a header: stock unrolls some and nests others;
- two groups in a row in a chain: stock makes a chord of them whose body is a group, whose own results it
  cannot join in a header;
- a group at the end of a chain within a header: stock gives its body one flat list or nested ones by version.
"""

from __future__ import annotations

import asyncio
import gc
import random
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from hopyard.local import broker
from servers import running_redis
from sites import Site

STRUCTURES = 40
SEED = 20_260

STOCK = """
from celery import Celery
app = Celery("stock", broker={url!r}, backend={url!r})
app.conf.broker_connection_retry_on_startup = True

@app.task(name="site.pair")
def pair(x=None, y=None):
    return [x, y]
"""


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Celery]:
    """A stock worker with a Redis of its own, and the app that sends to it."""
    folder = tmp_path_factory.mktemp("stock")
    with running_redis(str(broker.binary())) as url:
        (folder / "stock.py").write_text(STOCK.format(url=url))
        words = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "stock",
            "worker",
            "-P",
            "threads",
            "-c",
            "4",
            "-l",
            "WARNING",
        ]
        with (folder / "log").open("w") as log:
            worker = subprocess.Popen(words, cwd=folder, stdout=log, stderr=log)
            app = Celery("stock", broker=url, backend=url, set_as_current=False)
            try:
                yield app
            finally:
                gc.collect()  # results say goodbye to their backend, which must be there yet
                worker.terminate()
                worker.wait(60)
                app.close()


class Draw:
    """Draws structures; the same seed gives the same ones for each app."""

    def __init__(self, seed: int, app: Any) -> None:
        self._draw = random.Random(seed)
        self._app = app

    def leaf(self) -> Any:
        """A task that takes the result before it, or not."""
        made = self._app.signature("site.pair", args=(self._draw.randint(0, 99),), app=self._app)
        return made.set(immutable=True) if self._draw.random() < 0.3 else made

    def part(self, depth: int) -> Any:
        """A member of a group or a header."""
        kind = self._draw.random()
        if depth <= 0 or kind < 0.5:
            return self.leaf()
        if kind < 0.8:
            return chain(
                self.leaf(), *(self.single(depth - 1) for _ in range(self._draw.randint(1, 2))), app=self._app
            )
        return self.chord(depth - 1)

    def single(self, depth: int) -> Any:
        return self.leaf() if depth <= 0 or self._draw.random() < 0.6 else self.chord(depth - 1)

    def group(self, depth: int) -> Any:
        return group([self.part(depth - 1) for _ in range(self._draw.randint(2, 3))], app=self._app)

    def chord(self, depth: int) -> Any:
        header = [self.part(depth - 1) for _ in range(self._draw.randint(2, 3))]
        return chord(header, self.leaf(), app=self._app)

    def whole(self) -> Any:
        """A chain in which no two groups stand in a row, a group or a chord."""
        kind = self._draw.random()
        if kind < 0.2:
            return self.group(3)
        if kind < 0.4:
            return self.chord(3)
        members = [self.leaf()]
        for _ in range(self._draw.randint(1, 3)):
            after_group = isinstance(members[-1], group)
            members.append(self.leaf() if after_group or self._draw.random() < 0.4 else self.group(2))
            if self._draw.random() < 0.2 and not isinstance(members[-1], group):
                members.append(self.chord(2))
        return chain(*members, app=self._app)


# Stock's client of its result backend leaves a connection open when its thread ends.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_forty_structures_give_what_stock_gives(running: Site, stock: Celery) -> None:
    def results(app: Any) -> list[Any]:
        applied = [Draw(SEED + n, app).whole().apply_async() for n in range(STRUCTURES)]
        return [one.get(timeout=200) for one in applied]

    def stock_results() -> list[Any]:
        try:
            return results(stock)
        finally:  # the backend is this thread's own
            gc.collect()  # results say goodbye to it
            stock.backend.result_consumer.stop()
            stock.backend.client.connection_pool.disconnect()

    theirs, ours = await asyncio.gather(
        asyncio.to_thread(stock_results), asyncio.to_thread(results, running.hopyard.celery)
    )
    for n in range(STRUCTURES):
        assert ours[n] == theirs[n], Draw(SEED + n, stock).whole()
