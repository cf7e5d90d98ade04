"""A worker that is killed at each saved step of a run: each tool is paid once, and its person told once.

The real `hopyard up` against a model's server that answers by what was asked before: it pays twice, opens a
door for which a person has to agree, and says that it is done. After every second save of the conversation
the worker is killed, as `kill -9` does: after the first, third and so on of one request, the others of
another, for a job whose worker dies three times is given up.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from faulty_llm import calls, says
from servers import fresh_database
from stacks import DEADLINE, Stack, running_stack

STEPS = [("pay", {"amount": 1}), ("pay", {"amount": 2}), ("open_door", {"which": "north"})]

HOPFILE = '''
import hashlib
import os
import signal
from pathlib import Path

from hopyard import Plugin, PluginSettings, Queue, Tool, hookimpl, task
from hopyard_ai.acting import _Attempt

HERE = Path(__file__).parent
real = _Attempt._save


async def save(self, messages):
    """Keep the conversation, and die the first time that it has come so far."""
    await real(self, messages)
    step = messages.count("part_kind") // 2
    mark = HERE / f"died-{self._request.id}-{step}"
    if step % 2 == ("odd" in self._request.instruction) and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


_Attempt._save = save


def note(text):
    with (HERE / "done").open("a") as file:
        file.write(text + "\\n")


@task("site.pay", tool=Tool(destructive=True))
async def pay(amount: int) -> str:
    """Pay money."""
    note(f"pay {amount}")
    return f"paid {amount}"


@task("site.open_door", tool=Tool(approval=True))
async def open_door(which: str) -> str:
    """Open a door."""
    note(f"open {which}")
    return f"{which} is open"


class Site(Plugin[PluginSettings]):
    @hookimpl
    def register_queues(self):
        return [Queue("site")]

    @hookimpl
    def register_tasks(self):
        return [open_door, pay]
'''


@pytest.fixture
def llm() -> Iterator[str]:
    """The address of a model's server that takes one step for each result that it is told."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            results = sum(message["role"] == "tool" for message in asked["messages"])
            if asked.get("response_format"):
                reply = says(json.dumps({"action": "act", "reason": "it is due"}))
            elif results < len(STEPS):
                name, arguments = STEPS[results]
                reply = calls((f"call-{results}", f"site__{name}", arguments))
            else:
                reply = says("All is done.")
            data = json.dumps(reply.body).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()
    thread.join()


def ended(stack: Stack, request: str, *states: str) -> None:
    """Wait until the only run of a request is in one of these states."""
    deadline = time.monotonic() + 2 * DEADLINE
    while run(stack, request)["state"] not in states:
        assert time.monotonic() < deadline, f"not {states}\n{stack.logs()}"
        time.sleep(0.2)


def run(stack: Stack, request: str) -> dict[str, Any]:
    runs: list[dict[str, Any]] = stack.json("ai", "show", request)["runs"]
    return runs[0] if runs else {"state": ""}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_worker_killed_at_each_saved_step_pays_once_and_tells_once(
    kind: str, llm: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "hopfile.py").write_text(HOPFILE)
    (tmp_path / "hopyard.toml").write_text(
        f'[people.alice]\nzone = "UTC"\n[worker]\nlease = 6.0\n'
        f'[plugins]\nallow = ["ai", "site"]\n'
        f'[plugins.ai.settings]\nmodel = "compatible:tiny"\nbase_url = "{llm}"\n'
    )
    environment = {}
    if kind == "postgresql":
        environment["HOPYARD_DATABASE_URL"] = fresh_database(request.getfixturevalue("postgres_url"))
    with running_stack(tmp_path, environment) as stack:
        for which in ("odd", "even"):
            sentence = f"in 1 second pay everybody and open the {which} door"
            id_ = stack.json("ai", "remind", sentence, "--user", "alice")["request"]["id"]
            ended(stack, id_, "approval")
            stack.json("ai", "approve", "--user", "alice")
            ended(stack, id_, "done", "failed")
            assert (run(stack, id_)["state"], run(stack, id_)["answer"]) == ("done", "All is done."), (
                stack.logs()
            )
        done = Counter((tmp_path / "done").read_text().split("\n")[:-1])
        assert done == {"open north": 2, "pay 1": 2, "pay 2": 2}
        told = stack.json("ai", "inbox", "--user", "alice")
        assert [one["title"].split()[0] for one in told] == ["Pay", "May", "Pay", "May"]
        steps = {path.name.rsplit("-", 1)[1] for path in tmp_path.glob("died-*")}
        assert len(steps) >= len(STEPS) + 1, steps
