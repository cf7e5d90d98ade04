"""The texts of a new plugin's files; `$name`, `$cls`, `$package`, `$project` and `$scheme` are filled in."""

from __future__ import annotations

from typing import Final

PYPROJECT: Final = """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "$project"
version = "0.1.0"
description = "Hopyard plugin: says hello."
readme = "README.md"
requires-python = ">=3.11"
license = "MIT"
dependencies = ["hopyard>=0.1,<0.2"]

[project.optional-dependencies]
dev = ["hopyard[testing]", "mypy", "ruff"]

[project.entry-points.hopyard]
$name = "$package:$cls"

[tool.hatch.build.targets.wheel]
packages = ["src/$package"]

[tool.pytest.ini_options]
testpaths = ["tests"]
# The second is what other plugins of pytest say.
filterwarnings = ["error", "ignore::pytest.PytestDeprecationWarning"]

[tool.mypy]
strict = true
packages = ["$package"]
mypy_path = "src"

[tool.ruff]
line-length = 110
"""

GITIGNORE: Final = "__pycache__/\n*.egg-info/\n.venv/\ndist/\n.hopyard/\n"

README: Final = """# $project

A plugin for Hopyard: `$name.greet` says hello.

```console
pip install $project
hopyard run $name.greet --who Ada
```

## Development

```console
pip install -e ".[dev]"
pytest                          # the tests, and the contract of plugins
mypy && ruff check .
hopyard plugins verify $name
```
"""

README_SETTINGS: Final = """
## Settings

```toml
[plugins.$name.settings]
greeting = "Hello"              # how people are greeted
```
"""

PLUGIN: Final = '''"""Hopyard plugin `$name`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

{imports}

class $cls(Plugin[{model}]):
    """Namespace `$name`."""

{tables}{hooks}'''

REGISTER_QUEUES: Final = """    @hookimpl
    def register_queues(self) -> Iterable[Queue]:
        return [Queue("$name", slots=8)]
"""

REGISTER_TASKS: Final = """    @hookimpl
    def register_tasks(self) -> Iterable[Task[..., Any]]:
        return [greet]
"""

REGISTER_SCHEDULES: Final = """    @hookimpl
    def register_schedules(self) -> Iterable[Schedule]:
        rule = Rule(cron="0 8 * * *")
        return [Schedule("$name.every_morning", "$name.greet", rule, kwargs={"who": "world"})]
"""

REGISTER_COMMANDS: Final = """    @hookimpl
    def register_commands(self) -> Iterable[click.Command]:
        return [greetings]
"""

REGISTER_NOTIFIERS: Final = """    @hookimpl
    def register_notifiers(self) -> Iterable[Notifier]:
        return [Notifier("$scheme", deliver)]
"""

TASKS: Final = '''"""The tasks."""

from __future__ import annotations

from hopyard import {names}


@task("$name.greet"{options})
async def greet(job: Job, who: str, times: int = 1) -> list[str]:
    """Greet somebody, once or several times."""
{body}    return said
'''

_LOOP: Final = """    said = list(job.checkpoint.get("said", []))
    for n in range(len(said), times):
        job.progress(n, times, f"greeting {{who}}")
        said.append(f"{greeting}, {{who}}!")
        await job.save(said=said)  # whoever goes on after a crash begins here
"""

GREETING: Final = _LOOP.replace("{greeting}", "Hello").replace("{{who}}", "{who}")

GREETING_FROM_SETTINGS: Final = (
    "    from $package import $cls\n\n    greeting = $cls.current().settings.greeting\n"
    + _LOOP.replace("{{who}}", "{who}")
)

KEEP: Final = """    await storage.execute(
        "INSERT INTO ${name}_greeting (who, times) VALUES ($$1, $$2) "
        "ON CONFLICT (who) DO UPDATE SET times = excluded.times",
        who,
        times,
    )
"""

SETTINGS: Final = '''"""The plugin's settings."""

from __future__ import annotations

from hopyard import PluginSettings
from pydantic import Field


class ${cls}Settings(PluginSettings):
    """How people are greeted."""

    greeting: str = Field("Hello", min_length=1, description="The word before the name.")
'''

COMMANDS: Final = '''"""Commands of the group `hopyard $name`."""

from __future__ import annotations

import click
from hopyard.cli import say


@click.command()
@click.argument("who")
def greetings(who: str) -> None:
    """Greet WHO in this terminal, without a job."""
    say(f"Hello, {who}!")
'''

NOTIFIER: Final = '''"""A channel for notifications: `$scheme:///path/to/file` adds a line to a file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

from hopyard import Message
from hopyard.errors import InvalidInput


async def deliver(address: str, message: Message) -> None:
    """Write a message down. Raises `InvalidInput` for an address without a path."""
    path = urlsplit(address).path
    if not path:
        raise InvalidInput(f"{address} has no path; expected $scheme:///path/to/file")
    await asyncio.to_thread(_add, Path(path), f"{message.title}: {message.body}\\n")


def _add(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(line)
'''

MIGRATION: Final = '''"""How often somebody was greeted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "${name}_greeting",
        sa.Column("who", sa.Text, primary_key=True),
        sa.Column("times", sa.Integer, nullable=False),
    )
'''

CONFTEST: Final = '''"""The installation of the tests has this plugin and no other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from $package import $cls

pytest_plugins = ["hopyard.testing.fixtures"]


@pytest.fixture
def hop_plugins() -> Sequence[Any]:
    """What `hop` has."""
    return [$cls]
'''

TESTS: Final = """

def test_it_greets(hop: Hop) -> None:
    outcome = hop.run(greet, "Ada", times=2)
    assert outcome.result() == ["Hello, Ada!", "Hello, Ada!"]


def test_it_goes_on_after_a_crash(hop: Hop) -> None:
    hop.inject(DieAfter(save=1))
    outcome = hop.run(greet, "Ada", times=2)
    assert outcome.result() == ["Hello, Ada!", "Hello, Ada!"]
    assert outcome.attempt == 2
"""

TEST_SETTINGS: Final = """

def test_the_greeting_is_a_setting(tmp_path: Path) -> None:
    settings = {"plugins.$name.settings.greeting": "Moin"}
    with Hop($cls, folder=tmp_path, settings=settings) as hop:
        assert hop.run(greet, "Ada").result() == ["Moin, Ada!"]
"""

TEST_SCHEDULE: Final = """

def test_it_greets_the_world_each_morning(hop: Hop) -> None:
    first, second = hop.due_between("$name.every_morning", datetime(2026, 5, 1), datetime(2026, 5, 2, 12))
    assert (first.hour, second.day) == (8, 2)
    assert hop.fire("$name.every_morning").result() == ["Hello, world!"]
"""

TEST_TABLE: Final = """

def test_it_keeps_how_often(hop: Hop) -> None:
    hop.run(greet, "Ada", times=3)
    assert hop.fetch("SELECT who, times FROM ${name}_greeting") == [{"who": "Ada", "times": 3}]
"""

TEST_COMMAND: Final = """

def test_the_command_greets() -> None:
    assert CliRunner().invoke(greetings, ["Ada"]).output == "Hello, Ada!\\n"
"""

TEST_NOTIFIER: Final = """

def test_the_channel_writes_a_line(tmp_path: Path) -> None:
    file = tmp_path / "told.txt"
    message = Message("1", "ada", "Rain", "Take a coat.")
    asyncio.run(deliver(f"$scheme://{file}", message))
    assert file.read_text() == "Rain: Take a coat.\\n"
"""

TESTS_HEAD: Final = '"""The plugin, run in an installation of its own."""\n\n'

CONTRACT: Final = '''

class TestContract(PluginContract):
    """The rules for all plugins."""

    plugin = $cls
    examples: ClassVar = {"$name.greet": [{"who": "Ada"}, {"who": "Bob", "times": 3}]}
'''


def test_imports(parts: frozenset[str]) -> str:
    """Return the head of the tests' module."""
    standard = "import asyncio\n" if "notifier" in parts else ""
    standard += "from datetime import datetime\n" if "schedule" in parts else ""
    standard += "from pathlib import Path\n" if {"settings", "notifier"} & parts else ""
    standard += "from typing import ClassVar\n"
    others = "from click.testing import CliRunner\n" if "command" in parts else ""
    others += "from hopyard import Message\n" if "notifier" in parts else ""
    others += "from hopyard.testing import DieAfter, Hop, PluginContract\n"
    own = "from $package import $cls\n"
    own += "from $package.commands import greetings\n" if "command" in parts else ""
    own += "from $package.notifier import deliver\n" if "notifier" in parts else ""
    own += "from $package.tasks import greet\n"
    blocks = ["from __future__ import annotations\n", standard, others, own]
    return TESTS_HEAD + "\n".join(block for block in blocks if block)
