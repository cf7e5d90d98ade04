"""Options of a call are refused at the call, or work: none of them stops what others submit."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from contained import Place, examples, seed
from hopyard import Unique
from hopyard.errors import HopyardError
from odd_messages import odd

_ROUND = 100
_RIGHT: dict[str, list[Any]] = {
    "delay": [0, 0.1, timedelta(seconds=0.1)],
    "eta": [datetime.now(UTC), datetime(2001, 1, 1)],
    "queue": ["site", None],
    "priority": [0, 5, 9],
    "id": ["order-17", "x" * 300],
    "person": ["alice", None],
    "unique": ["k", Unique("k", "replace"), Unique("k", "debounce", seconds=1)],
}
_CELERY = (
    "countdown",
    "eta",
    "queue",
    "priority",
    "task_id",
    "expires",
    "link",
    "link_error",
    "headers",
    "group_id",
)


def options(draw: random.Random) -> dict[str, Any]:
    """Return one to three options, of which at least one is odd."""
    names = draw.sample([*_RIGHT], draw.randint(1, 3))
    found = {name: draw.choice(_RIGHT[name]) for name in names}
    found[names[0]] = draw.choice([odd(draw), -1, 10**30, 1e308, object(), ["k"], timedelta(days=10**8)])
    return found


async def test_options_are_refused_at_the_call_or_work(place: Place, record_property: Any) -> None:
    start = seed()
    record_property("seed", start)
    echo = place.site.hopyard.task("site.echo")
    accepted, told = 0, list[str]()
    for begin in range(0, examples(400), _ROUND):
        for n in range(_ROUND):
            draw = random.Random(start + begin + n)
            given = options(draw)
            try:
                await echo.options(**given).submit(text="with options")
                accepted += 1
            except HopyardError as error:
                told.append(str(error))
            except BaseException as error:
                error.add_note(f"seed {start + begin + n}: {given!r:.500}")
                raise
        await place.check()
    assert accepted
    assert all(told)


async def test_celerys_options_are_refused_at_the_call_or_work(place: Place, record_property: Any) -> None:
    import asyncio

    start = seed()
    record_property("seed", start)
    echo, told = place.site.hopyard.task("site.echo"), list[str]()
    for begin in range(0, examples(200), _ROUND):
        for n in range(_ROUND):
            draw = random.Random(start + begin + n)
            given = {name: odd(draw) for name in draw.sample(_CELERY, draw.randint(1, 2))}
            try:
                await asyncio.to_thread(echo.apply_async, (), {"text": "with options"}, **given)
            except HopyardError as error:
                told.append(str(error))
            except BaseException as error:
                error.add_note(f"seed {start + begin + n}: {given!r:.500}")
                raise
        await place.check()
    assert all(told)
