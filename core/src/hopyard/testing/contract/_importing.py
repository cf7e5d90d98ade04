"""Rules about importing a plugin, looked at in a fresh interpreter."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final

from hopyard.testing.contract._rules import Violation, at, rule
from hopyard.testing.contract._subject import Subject

#: What an import may take beyond that of the core, in seconds of the processor.
MOST_SECONDS: Final = 0.5
#: An import that takes longer on the clock, on a busy machine too, does not end, in seconds.
_PATIENCE: Final = 30.0
#: What a producer, which only submits, must not have to load.
HEAVY: Final = (
    *(
        "aiohttp",
        "alembic",
        "anthropic",
        "av",
        "bs4",
        "boto3",
        "celery",
        "django",
        "fastapi",
        "flask",
        "google",
    ),
    *("httpx", "httpx2", "imap_tools", "jinja2", "lxml", "notion_client", "numpy", "openai", "pandas", "PIL"),
    *("psutil", "pydantic_ai", "pypdf", "redis", "requests", "scipy", "sklearn", "sqlalchemy", "tensorflow"),
    *("torch", "transformers"),
)
#: Imports the module with an audit hook that notes what an import must not do; prints JSON.
_CHILD: Final = """
import json, os, sys, threading, time
import hopyard, hopyard.plugin, pydantic
module, heavy = sys.argv[1], set(sys.argv[2].split(","))
before, seen, on = set(sys.modules), [], [False]
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
def audit(event, args):
    if not on[0]: return
    if event in ("socket.connect", "subprocess.Popen", "os.fork", "os.system", "os.posix_spawn"):
        seen.append(f"{event} {str(args[1] if event == 'socket.connect' else args[0])[:200]}")
    elif event == "open" and isinstance(args[0], str) and (args[2] or 0) & WRITES:
        if "__pycache__" in args[0]: return
        seen.append(f"writes {args[0]}")
sys.addaudithook(audit)
out = os.dup(1); os.dup2(2, 1)
real, sys.stdout = sys.stdout, open(os.devnull, "w")
class Told:
    text = ""
    def write(self, text): Told.text += text
    def flush(self): pass
sys.stdout = Told()
on[0] = True
start = time.process_time()
error = None
try: __import__(module)
except BaseException as raised: error = f"{type(raised).__name__}: {raised}"
seconds = time.process_time() - start
on[0] = False
threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
loaded = sorted(name for name in set(sys.modules) - before if name in heavy)
told = dict(seconds=seconds, seen=seen, threads=threads, loaded=loaded, printed=Told.text[:200], error=error)
os.write(out, json.dumps(told).encode())
"""


def _imported(subject: Subject) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, subject.cls.__module__, ",".join(HEAVY)],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
            env=_environment(),
        )
    except subprocess.TimeoutExpired:
        return {"error": f"it takes longer than {_PATIENCE:g} s"}
    if not done.stdout:
        return {"error": f"the interpreter ended with status {done.returncode}: {done.stderr[-500:]}"}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@rule(
    "light-import",
    "every command, producer and worker imports the plugin: it must be quick and do nothing",
    "import",
)
def _light_import(subject: Subject) -> Iterator[Violation]:
    found = _imported(subject)
    if found["error"]:
        yield at(subject.cls, f"importing {subject.cls.__module__} alone fails: {found['error']}")
        return
    for name in found["loaded"]:
        yield _where(subject, name, f"importing it loads {name}: import that inside of the task")
    for what in found["seen"]:
        yield at(subject.cls, f"importing it {what}")
    for thread in found["threads"]:
        yield at(subject.cls, f"importing it starts the thread {thread}: start it in `start_process`")
    if found["printed"]:
        yield at(subject.cls, f"importing it prints {found['printed']!r}")
    if found["seconds"] > MOST_SECONDS:
        yield at(subject.cls, f"importing it takes {found['seconds']:.1f} s, more than {MOST_SECONDS:g} s")


def _where(subject: Subject, name: str, message: str) -> Violation:
    """Return a violation where the package first imports a module as it is imported itself."""
    for source in subject.sources:
        for node in source.tree.body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(one.partition(".")[0] == name for one in names):
                return Violation(message, source.shown, node.lineno)
    return at(subject.cls, message)
