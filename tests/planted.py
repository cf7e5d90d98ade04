"""A right plugin as files, and forty faults, each of which one rule of the contract finds.

A fault replaces a piece of a file; the line with `# fault` in it is the one that the contract has to name.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

INIT: Final = '''"""A sample plugin: the weather."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import contextmanager
from typing import Any

from hopyard import Effect, Health, HealthCheck, Plugin, PluginSettings, Queue, Reconciled, Rule, Schedule
from hopyard import hookimpl
from pydantic import Field, SecretStr

from hopyard_weather.tasks import announce, forecast, note, rename
from hopyard_weather.errors import StationSilent


class WeatherSettings(PluginSettings):
    """Where the weather is."""

    city: str = Field("Oslo", description="The city unless one is given.")
    api_key: SecretStr = Field(SecretStr("none"), description="Of the weather service.")


class Weather(Plugin[WeatherSettings]):
    """Namespace `weather`."""

    migrations = "hopyard_weather.migrations"

    @hookimpl
    def register_queues(self) -> Iterable[Queue]:
        return [Queue("weather")]

    @hookimpl
    def register_tasks(self) -> Iterable[Any]:
        return [announce, forecast, note, rename]

    @hookimpl
    def register_schedules(self) -> Iterable[Schedule]:
        rule = Rule(cron="0 8 * * *")
        return [Schedule("weather.daily", "weather.forecast", rule, kwargs={"city": "Rome"})]

    @hookimpl
    def register_health_checks(self) -> Iterable[HealthCheck]:
        return [HealthCheck("station", station, time_limit=0.2)]

    @hookimpl
    def reconcile_effect(self, effect: Effect) -> Reconciled | None:
        return Reconciled(happened=True, outcome="sent") if effect.task.startswith("weather.") else None


async def station() -> Health:
    return Health(True, "it answers")
'''

TASKS: Final = '''"""The tasks of the weather."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from hopyard import Job, Tool, notify, storage, task


@task("weather.forecast", tool=Tool(read_only=True))
async def forecast(job: Job, city: str, days: int = 3) -> list[str]:
    """Tell the weather of a city for some days."""
    found = list(job.checkpoint.get("found", []))
    for day in range(len(found), days):
        job.progress(day, days, f"day {day + 1}")
        found.append(f"{city}: sunny")
        await job.save(found=found)
    return found


@task("weather.announce")
async def announce(job: Job, person: str, at: datetime | None = None) -> str:
    """Tell a person that the sun shines."""
    moment = at or datetime.now(UTC)

    async def send(to: str) -> str:
        await notify(to, "The sun shines", f"It is fine on {moment:%d %B}.")
        return "sent"

    return await job.effect("tell", send, to=person)


@task("weather.note", tool=Tool(idempotent=True))
async def note(city: str, text: str) -> str:
    """Keep a note about a city, one for each."""
    await storage.execute(
        "INSERT INTO weather_note (city, text) VALUES ($1, $2) "
        "ON CONFLICT (city) DO UPDATE SET text = excluded.text",
        city,
        text,
    )
    return text


@task("weather.rename")
def rename(job: Job, names: list[str]) -> int:
    """Give many stations their names."""
    done = int(job.checkpoint.get("done", 0))
    for n in range(done, len(names)):
        job.sync.save(done=n + 1)
    return len(names)
'''

ERRORS: Final = '''"""What goes wrong."""

from hopyard.errors import TransientError


class StationSilent(TransientError):
    """A station does not answer."""
'''

MIGRATION: Final = '''"""Notes about cities."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "weather_note",
        sa.Column("city", sa.Text, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
    )
'''

FILES: Final = {
    "hopyard_weather/__init__.py": INIT,
    "hopyard_weather/tasks.py": TASKS,
    "hopyard_weather/errors.py": ERRORS,
    "hopyard_weather/py.typed": "",
    "hopyard_weather/migrations/__init__.py": "",
    "hopyard_weather/migrations/versions/0001_notes.py": MIGRATION,
}

METADATA: Final = """Metadata-Version: 2.1
Name: hopyard-weather
Version: 1.2
Summary: The weather
License-Expression: MIT
Requires-Python: >=3.11
Requires-Dist: hopyard>=0.1,<0.2
"""

EXAMPLES: Final = {
    "weather.forecast": [{"city": "Oslo"}],
    "weather.announce": [{"person": "alice", "at": "2026-05-01T08:00:00Z"}],
    "weather.note": [{"city": "Oslo", "text": "bring a coat"}],
    "weather.rename": [{"names": ["a", "b", "c"]}],
}


@dataclass(frozen=True)
class Planted:
    """A fault: what is replaced, and the rule that has to find it."""

    rule: str
    file: str
    old: str
    new: str


def _in_init(rule: str, old: str, new: str) -> Planted:
    return Planted(rule, "hopyard_weather/__init__.py", old, new)


def _in_tasks(rule: str, old: str, new: str) -> Planted:
    return Planted(rule, "hopyard_weather/tasks.py", old, new)


_TOP: Final = "import asyncio\n"
_SAVE: Final = "        await job.save(found=found)\n"

#: By a name for the test.
FAULTS: Final = {
    "a private module": _in_tasks("public-api", _TOP, _TOP + "from hopyard.ledger import effects  # fault\n"),
    "another plugin": _in_tasks("no-other-plugin", _TOP, _TOP + "import hopyard_maintenance  # fault\n"),
    "a client of its own": _in_tasks("egress", _TOP, _TOP + "import urllib.request  # fault\n"),
    "pickle": _in_tasks("no-pickle", _TOP, _TOP + "import pickle  # fault\n"),
    "eval": _in_tasks("no-pickle", "    return len(names)\n", '    return eval("len(names)")  # fault\n'),
    "print": _in_tasks("no-print", _SAVE, "        print(found)  # fault\n" + _SAVE),
    "a sleep on the loop": _in_tasks(
        "no-blocking", _SAVE, "        import time\n        time.sleep(0.01)  # fault\n" + _SAVE
    ),
    "a naive now": _in_tasks("aware-times", "datetime.now(UTC)", "datetime.now()  # fault"),
    "a swallowed error": _in_tasks(
        "no-swallowing",
        "        job.sync.save(done=n + 1)\n",
        "        try:\n            job.sync.save(done=n + 1)\n        except Exception:  # fault\n"
        "            pass\n",
    ),
    "a sleep by another name": _in_tasks(
        "no-blocking", _SAVE, "        from time import sleep\n        sleep(0.01)  # fault\n" + _SAVE
    ),
    "a now without its zone": _in_tasks("aware-times", "datetime.now(UTC)", "datetime.now(None)  # fault"),
    "an error that nobody hears of": _in_tasks(
        "no-swallowing",
        "        job.sync.save(done=n + 1)\n",
        "        try:\n            job.sync.save(done=n + 1)\n        except (OSError, Exception):  # fault\n"
        "            return None\n",
    ),
    "suppressed errors": _in_tasks(
        "no-swallowing",
        "        job.sync.save(done=n + 1)\n",
        "        import contextlib\n        with contextlib.suppress(Exception):  # fault\n"
        "            job.sync.save(done=n + 1)\n",
    ),
    "secrets in a table": _in_init(
        "settings-documented",
        'api_key: SecretStr = Field(SecretStr("none"), description="Of the weather service.")',
        'passwords: dict[str, str] = Field({}, description="By station.")  # fault',
    ),
    "a heavy import": _in_init(
        "light-import", "class Weather(", "import sqlalchemy  # fault\nclass Weather("
    ),
    "a thread at import": _in_init(
        "light-import",
        "class Weather(",
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "class Weather(  # fault\n",
    ),
    "a file at import": _in_init(
        "light-import",
        "class Weather(",
        "import tempfile\ntempfile.NamedTemporaryFile()\nclass Weather(  # fault\n",
    ),
    "printing at import": _in_init(
        "light-import", "class Weather(", 'import sys\nsys.stdout.write("hello")\nclass Weather(  # fault\n'
    ),
    "a name that is not its own": _in_tasks("loads", '"weather.rename"', '"mail.rename"  # fault\n'),
    "a queue that nobody declares": _in_tasks(
        "loads", '@task("weather.rename")', '@task("weather.rename", queue="nowhere")  # fault'
    ),
    "an unknown hook": _in_init(
        "loads",
        "    @hookimpl\n    def register_queues",
        "    @hookimpl\n    def register_queue(self) -> Any:  # fault\n        return []\n\n"
        "    @hookimpl\n    def register_queues",
    ),
    "a type without a JSON form": _in_tasks(
        "loads",
        '@task("weather.rename")\ndef rename(job: Job, names: list[str])',
        '@task("weather.rename")  # fault\ndef rename(job: Job, names: asyncio.Lock)',
    ),
    "a slow hook": _in_init(
        "hooks-quick",
        "    @hookimpl\n    def register_queues(self) -> Iterable[Queue]:\n",
        "    @hookimpl  # fault\n    def register_queues(self) -> Iterable[Queue]:\n"
        "        import time\n        time.sleep(1.1)\n",
    ),
    "a setting without a word": _in_init(
        "settings-documented",
        'city: str = Field("Oslo", description="The city unless one is given.")',
        'city: str = "Oslo"  # fault',
    ),
    "a secret in the open": _in_init(
        "settings-documented",
        'api_key: SecretStr = Field(SecretStr("none"), description="Of the weather service.")',
        'api_key: str = Field("none", description="Of the weather service.")  # fault',
    ),
    "a task without a word": _in_tasks(
        "documented",
        '@task("weather.rename")\ndef rename(job: Job, names: list[str]) -> int:\n'
        '    """Give many stations their names."""\n',
        '@task("weather.rename")  # fault\ndef rename(job: Job, names: list[str]) -> int:\n',
    ),
    "a tool that says nothing": _in_tasks(
        "tools",
        '@task("weather.note", tool=Tool(idempotent=True))\nasync def note(city: str, text: str) -> str:\n'
        '    """Keep a note about a city, one for each."""',
        '@task("weather.note", tool=Tool(idempotent=True))  # fault\n'
        'async def note(city: str, text: str) -> str:\n    """Note."""',
    ),
    "a tool's parameter without a type": _in_tasks(
        "tools",
        '@task("weather.note", tool=Tool(idempotent=True))\nasync def note(city: str, text: str)',
        '@task("weather.note", tool=Tool(idempotent=True))  # fault\nasync def note(city, text: str)',
    ),
    "a schedule whose arguments do not fit": _in_init(
        "loads", 'kwargs={"city": "Rome"})]', 'kwargs={"town": "Rome"})]  # fault'
    ),
    "a task that nobody tries": _in_tasks(
        "examples", '@task("weather.rename")', '@task("weather.rename")  # fault'
    ),
    "an example that does not fit": _in_tasks(
        "payloads",
        '@task("weather.rename")\ndef rename(job: Job, names: list[str])',
        '@task("weather.rename")  # fault\ndef rename(job: Job, names: list[int])',
    ),
    "an example that fails": _in_tasks(
        "runs", '@task("weather.rename")\n', '@task("weather.rename")  # fault\n'
    ),
    "it begins anew": _in_tasks(
        "resumes",
        '@task("weather.rename")\n',
        '@task("weather.rename")  # fault\n',
    ),
    "an effect that nobody can find out": _in_tasks(
        "effects", '@task("weather.announce")\n', '@task("weather.announce")  # fault\n'
    ),
    "it goes on though it is cancelled": _in_tasks(
        "cancels",
        '@task("weather.forecast", tool=Tool(read_only=True))\n',
        '@task("weather.forecast", tool=Tool(read_only=True))  # fault\n',
    ),
    "a repeat that changes more": _in_tasks(
        "idempotent",
        '@task("weather.note", tool=Tool(idempotent=True))',
        '@task("weather.note", tool=Tool(idempotent=True))  # fault',
    ),
    "jargon for people": _in_tasks(
        "messages", '@task("weather.announce")\n', '@task("weather.announce")  # fault\n'
    ),
    "an error without a category": Planted(
        "errors-classified",
        "hopyard_weather/errors.py",
        "class StationSilent(TransientError):",
        "class StationSilent(Exception):  # fault",
    ),
    "a health check that hangs": _in_init(
        "health-checks",
        'async def station() -> Health:\n    return Health(True, "it answers")\n',
        "async def station() -> Health:  # fault\n    import asyncio\n\n    await asyncio.sleep(9)\n"
        '    return Health(True, "it answers")\n',
    ),
    "a health check without an answer": _in_init(
        "health-checks",
        'async def station() -> Health:\n    return Health(True, "it answers")\n',
        "async def station() -> Any:  # fault\n    return True\n",
    ),
    "a table with a stranger's name": Planted(
        "migrations", "hopyard_weather/migrations/versions/0001_notes.py", '"weather_note"', '"note"'
    ),
    "a thread that is left": _in_tasks(
        "leaks", '@task("weather.rename")\n', '@task("weather.rename")  # fault\n'
    ),
    "a file that is left": _in_tasks(
        "leaks", '@task("weather.rename")\n', '@task("weather.rename")  # fault\n'
    ),
}

#: More replacements of faults whose marked line is not where the fault itself is.
ALSO: Final = {
    "an example that fails": [
        ("hopyard_weather/tasks.py", "    return len(names)\n", '    raise ValueError("no names")\n')
    ],
    "it begins anew": [("hopyard_weather/tasks.py", 'done = int(job.checkpoint.get("done", 0))', "done = 0")],
    "an effect that nobody can find out": [
        (
            "hopyard_weather/__init__.py",
            'if effect.task.startswith("weather.") else None',
            "if not effect else None",
        )
    ],
    "it goes on though it is cancelled": [
        (
            "hopyard_weather/tasks.py",
            _SAVE,
            "        try:\n            await job.save(found=found)\n            await asyncio.sleep(0)\n"
            "        except (asyncio.CancelledError, Exception):\n            return found\n",
        ),
        ("hopyard_weather/tasks.py", '        job.progress(day, days, f"day {day + 1}")\n', ""),
    ],
    "a repeat that changes more": [
        (
            "hopyard_weather/tasks.py",
            'VALUES ($1, $2) "\n        "ON CONFLICT (city) DO UPDATE SET text = excluded.text',
            "VALUES ($1 || (SELECT count(*) FROM weather_note), $2)",
        )
    ],
    "jargon for people": [
        (
            "hopyard_weather/tasks.py",
            'f"It is fine on {moment:%d %B}."',
            'f"{job.checkpoint.get(1)} is fine."',
        )
    ],
    "a thread that is left": [
        (
            "hopyard_weather/tasks.py",
            "    return len(names)\n",
            "    import threading\n    threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
            "    return len(names)\n",
        )
    ],
    "a file that is left": [
        (
            "hopyard_weather/tasks.py",
            "    return len(names)\n",
            '    globals().setdefault("KEPT", []).append(open(f"/tmp/hopyard-left-{job.id}", "w"))\n'
            "    import os\n    return len(names)\n",
        )
    ],
}
#: Faults that are found by an example that is not given.
WITHOUT_EXAMPLE: Final = {"a task that nobody tries": "weather.rename"}
#: Faults found in a file without one line that is to blame.
NO_LINE: Final = {"a table with a stranger's name"}


@contextmanager
def installed_sample(site: Path, files: Mapping[str, str] = FILES) -> Iterator[None]:
    """The sample plugin as if it were installed in a directory, until the end of the block.

    Then its modules are forgotten: the next test's may be others of the same names.
    """
    for name, text in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    info = site / "hopyard_weather-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text("[hopyard]\nweather = hopyard_weather:Weather\n")
    sys.path.insert(0, str(site))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(site))
        for module in [name for name in sys.modules if name.partition(".")[0] == "hopyard_weather"]:
            del sys.modules[module]
