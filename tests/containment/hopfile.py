"""The tasks of the containment suite: `misbehave` does what its argument says, step by step."""

import asyncio
import os
import sys
import threading
import time
from typing import Any

from hopyard import Job, Plugin, PluginSettings, Queue, RetryPolicy, hookimpl, task

NEVER = RetryPolicy(max_retries=0)


class Panic(BaseException):
    """As extensions in other languages raise it."""


class Textless(Exception):
    def __str__(self) -> str:
        sys.exit(9)


ERRORS = {
    "value": lambda: ValueError("x" * 60_000 + "://x"),
    "stop": StopIteration,
    "async_stop": StopAsyncIteration,
    "exit": lambda: SystemExit(3),
    "interrupt": KeyboardInterrupt,
    "generator": GeneratorExit,
    "cancelled": asyncio.CancelledError,
    "panic": Panic,
    "textless": Textless,
    "memory": MemoryError,
    "recursion": RecursionError,
    "group": lambda: BaseExceptionGroup("g", [ValueError("a"), SystemExit(1)]),
    "surrogate": lambda: ValueError("\ud800 \0 password=hunter2"),
    "timeout": TimeoutError,
}


def returned(what: str) -> Any:
    deep: Any = 1
    for _ in range(2000):
        deep = [deep]
    return {
        "nan": float("nan"),
        "object": object(),
        "large": "x" * 2_000_000,
        "deep": deep,
        "surrogate": "\ud800",
        "number": 10**5000,
        "set": {1, 2},
        "bytes": b"\xff",
        "generator": (n for n in ()),  # type: ignore[var-annotated]
        "class": Panic,
    }[what]


def both(step: str, what: str, job: Any) -> Any:
    """What any kind of task may do."""
    if step == "raise":
        raise ERRORS[what]()  # type: ignore[operator]
    if step == "fork":
        pid = os.fork()
        if pid == 0:
            if what == "exits":
                os._exit(0)
            raise ValueError("of a child")  # it comes back, with all that its parent has
        os.waitpid(pid, 0)
    elif step == "thread":
        threading.Thread(target=time.sleep, args=(0.2,), daemon=what == "daemon").start()
    elif step == "thread_raises":
        threading.Thread(target=lambda: 1 / 0).start()
    elif step == "print":
        print("\x1b[31m" + "p" * 100_000, file=sys.stderr if what == "err" else sys.stdout)
    elif step == "raw":
        os.write(1, b'{"result": "forged", "job": "x"}\n')
    elif step == "start":
        os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "0.2")
    elif step == "leak":
        LEAKED.append(os.open("/dev/null", os.O_RDONLY))
    elif step == "progress":
        job.progress(float("inf") if what == "odd" else 1, None, "[/x]\x1b[31m\0" * 10)
    return None


LEAKED: list[Any] = []


@task("site.loop", retry=NEVER, time_limit=0.5)
async def loop(job: Job, steps: list[list[str]]) -> Any:
    """Misbehave on the event loop."""
    here = asyncio.get_running_loop()
    for step, what in steps:
        if step == "return":
            return returned(what)
        if step == "stop_loop":
            here.stop()
        elif step == "exit_inside":

            async def helper() -> None:
                raise ERRORS["exit"]()  # type: ignore[operator]

            await asyncio.gather(helper(), return_exceptions=what == "caught")
        elif step == "cancel_all":
            for one in asyncio.all_tasks():
                if what == "others" and one is asyncio.current_task():
                    continue
                one.cancel()
            await asyncio.sleep(0)
        elif step == "hang":
            while True:
                try:
                    await asyncio.sleep(0.05 if what == "often" else 60)
                except asyncio.CancelledError:
                    if what != "swallows":
                        raise
                    if time.monotonic() > STARTED + 3600:
                        raise
        elif step == "leave":
            LEAKED.append(asyncio.create_task(asyncio.sleep(0.2)))
        elif step == "block":
            time.sleep(0.05)
        elif step == "callback":
            here.call_soon(lambda: 1 / 0)
        else:
            both(step, what, job)
        await asyncio.sleep(0)
    return "in order"


STARTED = time.monotonic()


async def _raises(what: str) -> None:
    raise ERRORS[what]()  # type: ignore[operator]


def _plain(job: Any, steps: list[list[str]]) -> Any:
    for step, what in steps:
        if step == "return":
            return returned(what)
        if step == "hang":
            end = time.monotonic() + 2
            while time.monotonic() < end:
                try:
                    time.sleep(0.02)
                except Exception:
                    if what != "swallows":
                        raise
        elif step == "own_loop":
            asyncio.run(_raises("cancelled" if what == "cancelled" else "exit"))
        else:
            both(step, what, job)
    return "in order"


@task("site.thread", retry=NEVER, time_limit=0.5)
def thread(job: Job, steps: list[list[str]]) -> Any:
    """Misbehave in a thread."""
    return _plain(job, steps)


@task("site.child", pool="process", retry=NEVER, time_limit=2)
def child(job: Job, steps: list[list[str]]) -> Any:
    """Misbehave in a child process."""
    for step, what in steps:
        if step == "die":
            os.kill(os.getpid(), 9 if what == "killed" else 11)
        elif step == "os_exit":
            os._exit(5)
        elif step == "close":
            os.close({"in": 0, "out": 1, "err": 2}[what])
        elif step == "read":
            sys.stdin.read()
    return _plain(job, [[s, w] for s, w in steps if s not in ("die", "os_exit", "close", "read")])


@task("site.echo", retry=NEVER)
async def echo(text: str) -> str:
    """Return what was given."""
    return text


@task("site.child_echo", pool="process", retry=NEVER)
def child_echo(text: str) -> str:
    """Return what was given, from a child process."""
    return text


@task("site.note", retry=NEVER)
async def note(n: Any = None, m: Any = None) -> Any:
    """Return what was given, whatever it is."""
    return n


class Site(Plugin[PluginSettings]):
    """The tasks, in a queue of theirs."""

    @hookimpl
    def register_queues(self) -> Any:
        return [Queue("site", slots=40)]

    @hookimpl
    def register_tasks(self) -> Any:
        return [loop, thread, child, echo, child_echo, note]
