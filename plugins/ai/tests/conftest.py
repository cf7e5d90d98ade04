"""A Hopyard with the ai plugin on each of the two databases, and its jobs run here and now."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from hopyard import Hopyard, current
from hopyard.broker.publisher import Publisher
from hopyard.engine.run.runner import Runner
from hopyard.ledger import migrations, notes, readers, workers
from hopyard.ledger.crashes import take_back
from hopyard.ledger.database import Database
from hopyard.ledger.read import listing
from hopyard.ledger.values import Again, Claim, Done, Progress, QueueMessage
from hopyard.specs import State, tool_name
from ledgers import migrated
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, FunctionModel

HOPFILE = '''
from hopyard import Job, Plugin, PluginSettings, Queue, RetryPolicy, Tool, hookimpl, task
from hopyard.errors import InvalidInput
from hopyard_ai import AITool

DONE = []


@task("site.weather", tool=True)
async def weather(city: str) -> dict[str, str]:
    """Tell the weather of a city."""
    DONE.append(f"weather {city}")
    return {"city": city, "sky": "sunny"}


@task("site.open_door", tool=Tool(approval=True))
async def open_door(which: str) -> str:
    """Open a door."""
    DONE.append(f"open {which}")
    return f"{which} is open"


@task("site.pay", tool=Tool(destructive=True), retry=RetryPolicy(max_retries=0))
async def pay(amount: int) -> str:
    """Pay money."""
    DONE.append(f"pay {amount}")
    return f"paid {amount}"


@task("site.echo", tool=Tool(read_only=True, idempotent=True))
async def echo(context: str, self: str = "") -> str:
    """Say it again."""
    return context + self


@task("site.broken", tool=True, retry=RetryPolicy(max_retries=0))
async def broken() -> None:
    """Never works."""
    raise InvalidInput("it never works")


@task("site.secret")
async def secret() -> None:
    """No tool."""


class Site(Plugin[PluginSettings]):
    @hookimpl
    def register_queues(self):
        return [Queue("site")]

    @hookimpl
    def register_tasks(self):
        return [broken, echo, open_door, pay, secret, weather]

    @hookimpl
    def register_tools(self):
        async def add(args):
            return args["a"] + args["b"]

        async def odd(args):
            return {"half": "\\ud800", "nul": "\\0"} if args else {(1, 2): "a tuple"}

        numbers = {"a": {"type": "integer"}, "b": {"type": "integer"}}
        schema = {"type": "object", "properties": numbers, "required": ["a", "b"]}
        anything = {"type": "object", "properties": {"text": {"type": "string"}}}
        return [AITool("add", "Adds two numbers.", schema, add), AITool("odd", "Odd.", anything, odd)]
'''

CONFIG = """
time_zone = "UTC"
[people.alice]
zone = "Europe/Berlin"
[plugins.ai.settings]
max_postponements = 2
quiet_hours = { alice = "22:00-07:00" }
"""


class Silent(Publisher):
    """A broker that keeps what was rung for."""

    def __init__(self) -> None:
        self.rung: list[str] = []

    async def publish(self, rings: Iterable[QueueMessage]) -> None:
        self.rung += [ring.id for ring in rings]

    async def empty(self, queues: Iterable[str]) -> set[str]:
        return set()

    async def remembers(self, epoch: str) -> bool:
        return True

    async def ping(self) -> None:
        """It is there."""

    async def close(self) -> None:
        """Nothing is open."""

    def abandon(self) -> None:
        """Nothing is open."""


class Crash(BaseException):
    """The worker dies here. A runner takes it for the task's own failure, so that deaths are counted."""

    deaths: ClassVar = 0

    def __init__(self) -> None:
        super().__init__()
        Crash.deaths += 1


class Floor:
    """A worker without a broker: runs jobs of the ledger one by one with the real runner."""

    def __init__(self, hopyard: Hopyard, database: Database, worker: int) -> None:
        self.hopyard = hopyard
        self.database = database
        self._worker = worker
        self._claims = 0
        self._runner = Runner(hopyard, self, cast(Any, None), lambda job, limit: None)  # type: ignore[arg-type]

    # --- what jobs ask of their host

    def note(self, progress: Progress) -> None:
        """Forget it."""

    def check(self, id_: str, claim: int) -> None:
        """Go on."""

    async def save(self, id_: str, claim: int, data: Mapping[str, Any]) -> None:
        await notes.write_checkpoint(self.database, id_, (self._worker, claim), data)

    @asynccontextmanager
    async def release_slot(self, id_: str) -> AsyncIterator[None]:
        for row in await self.database.fetch(
            f"SELECT id FROM job_live WHERE parent = $1 AND state = {State.QUEUED:d}", id_
        ):
            await self.run(str(row["id"]))
        yield

    # --- running

    async def run(self, id_: str) -> State | None:
        """Run a job that is queued or waits for its time; return how it ended, None if it is tried again."""
        await self.database.execute(
            f"UPDATE job_live SET state = {State.QUEUED:d}, eta = NULL WHERE id = $1 AND state <> $2",
            id_,
            int(State.QUEUED),
        )
        self._claims += 1
        (claim,) = await self.database.claim([id_], self._worker, self._claims)
        checkpoint = json.loads(claim.checkpoint) if claim.checkpoint else {}
        outcome = await asyncio.create_task(self._outcome(claim, checkpoint))
        if isinstance(outcome, Again):
            assert await self.database.again([outcome], self._worker) == {id_}
            return None
        assert await self.database.finish([outcome], self._worker) == {id_}
        return State(outcome.state)

    async def _outcome(self, claim: Claim, checkpoint: Mapping[str, Any]) -> Done | Again:
        deaths = Crash.deaths
        outcome = await self._runner.run(claim, checkpoint, self._worker)
        if Crash.deaths > deaths:
            raise Crash  # a worker that is dead records nothing
        return outcome

    async def crash(self, id_: str) -> None:
        """Run a job until its worker dies."""
        with pytest.raises(Crash):
            await self.run(id_)
        async with self.database.transaction() as tx:
            await take_back(tx, self.database.dialect, self._worker, "floor")

    async def waiting(self, task: str = "ai.act") -> list[dict[str, Any]]:
        """Return the live jobs of a task, the oldest first."""
        found = await listing.jobs(self.database, listing.JobFilter(task=task))
        return [job for job in reversed(found) if not State[job["state"].upper()].final]

    async def fire(self, request: str, due: Any) -> str:
        """Submit the job that the scheduler would submit for a due time; return its id."""
        from hopyard.schedule.scheduler import Scheduler
        from hopyard.schedule.store import get
        from hopyard_ai.store import schedule_name

        async with self.database.transaction() as tx:
            stored = await get(tx, schedule_name(request))
            job = Scheduler(self.hopyard)._job(stored, due)
            await tx.insert_jobs([job])
        return job.id

    async def error(self, id_: str) -> dict[str, Any]:
        """Return the error that a job ended with."""
        rows = await self.database.fetch("SELECT error FROM job_history WHERE id = $1", id_)
        found: dict[str, Any] = json.loads(rows[0]["error"])
        return found

    async def told(self, person: str = "alice") -> list[dict[str, Any]]:
        """Return the notifications of a person."""
        return await readers.notifications(self.database, person=person)

    def close(self) -> None:
        self._runner.close()


class Script:
    """What the model answers, in order; a dict is the evaluator's decision."""

    ACT: ClassVar = {"action": "act", "reason": "it is due"}
    CRASH: ClassVar = Crash

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.prompts: list[str] = []
        self.tools: set[str] = set()

    def then(self, *answers: Any) -> Script:
        """Add answers: `act`, a decision, a text, calls, or a function of the messages."""
        self.answers += answers
        return self

    def answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.prompts.append(str(getattr(messages[0].parts[0], "content", "")))
        answer = self.answers.pop(0) if self.answers else "nothing was written for this"
        if callable(answer):
            answer = answer(messages)
        if isinstance(answer, dict):
            return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, answer)])
        self.tools = {tool.name for tool in info.function_tools}
        return ModelResponse(parts=[TextPart(answer)]) if isinstance(answer, str) else answer

    @staticmethod
    def calls(*wanted: tuple[str, str, dict[str, Any]]) -> ModelResponse:
        """Return an answer that calls tools: (name, id, arguments) each."""
        return ModelResponse(
            parts=[ToolCallPart(tool_name(name), args, tool_call_id=id_) for name, id_, args in wanted]
        )

    @staticmethod
    def results(messages: list[ModelMessage]) -> str:
        """Answer with what the tools returned."""
        parts = [part for message in messages for part in message.parts if isinstance(part, ToolReturnPart)]
        return "; ".join(str(part.content) for part in parts)

    @staticmethod
    def dies(messages: list[ModelMessage]) -> str:
        """The worker dies while it waits for the model."""
        raise Crash

    def model(self, *, evaluator: bool = False) -> Model:
        return FunctionModel(self.answer, model_name="scripted")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """The model's script; without one it says so."""
    made = Script()
    monkeypatch.setattr("hopyard_ai.acting.model", made.model)
    monkeypatch.setattr("hopyard_ai.health.model", made.model)
    return made


HISTORIES = {
    migrations.CORE: migrations.CORE_PACKAGE,
    "ai": "hopyard_ai.migrations",
    "maintenance": "hopyard_maintenance.migrations",
}


@pytest.fixture(params=["sqlite", "postgresql"])
async def hopyard(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Hopyard]:
    """A Hopyard with plugins ai, maintenance and a site of its own, and a migrated ledger."""
    (tmp_path / "hopyard.toml").write_text(CONFIG)
    (tmp_path / "hopfile.py").write_text(HOPFILE)
    overrides: dict[str, Any] = {"plugins.allow": ["ai", "maintenance", "site"]}
    overrides["database_url"] = await migrated(
        HISTORIES,
        file=tmp_path / "ledger.db",
        server=request.getfixturevalue("postgres_url") if request.param == "postgresql" else None,
    )
    made = Hopyard.load(config=tmp_path / "hopyard.toml", data=tmp_path / "data", overrides=overrides)
    assert [record.reason for record in made.plugins.records if record.failed] == []
    await made.client().publisher.close()
    made.client().publisher = Silent()
    yield made
    await made.close()
    current.set_instance(None)


@pytest.fixture
async def database(hopyard: Hopyard) -> Database:
    return hopyard.client().database


@pytest.fixture
async def floor(hopyard: Hopyard, database: Database) -> AsyncIterator[Floor]:
    worker = await workers.register(
        database, name="floor@here", role="worker", queues=["ai"], plugins={}, lease=3600.0
    )
    made = Floor(hopyard, database, worker)
    yield made
    made.close()


@pytest.fixture
def done(hopyard: Hopyard) -> list[str]:
    """What the site's tools have done."""
    found: list[str] = hopyard.task("site.weather").function.__globals__["DONE"]
    found.clear()
    return found


@pytest.fixture
def setting(hopyard: Hopyard, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Change settings of the plugin for one test: `setting(daily_runs=2)`."""
    from hopyard_ai import AI

    def change(**values: Any) -> None:
        own = AI.current()
        monkeypatch.setattr(own, "settings", type(own.settings)(**(own.settings.model_dump() | values)))

    return change
