"""Plugins as an installer would put them into a folder on the path."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

Install = Callable[..., None]

HEAD = """
import time
from hopyard import Plugin, PluginSettings, HealthCheck, Queue, Rule, Schedule, hookimpl, task
"""

GOOD = """
class Good(Plugin[PluginSettings]):
    @hookimpl
    def register_tasks(self):
        @task("good.work")
        def work() -> None: ...
        return [work]
"""


@contextmanager
def installing(folder: Path) -> Iterator[Install]:
    """Give a function that puts a distribution with one entry point into a folder, which is on the path."""
    before = set(sys.modules)

    def put(
        name: str, code: str, *, project: str = "", requires: str = "hopyard>=0.1,<1", value: str = ""
    ) -> None:
        project = project or f"hopyard-{name.lower()}"
        module = f"site_{project.replace('-', '_')}"
        (folder / f"{module}.py").write_text(HEAD + dedent(code))
        place = folder / f"{project.replace('-', '_')}-1.2.dist-info"
        place.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.2\nSummary: Plugin {name}\n"
        (place / "METADATA").write_text(metadata + (f"Requires-Dist: {requires}\n" if requires else ""))
        value = value or f"{module}:{name.capitalize()}"
        (place / "entry_points.txt").write_text(f"[hopyard]\n{name} = {value}\n")
        importlib.invalidate_caches()

    core = folder / "hopyard-0.1.0.dist-info"
    core.mkdir()
    (core / "METADATA").write_text("Metadata-Version: 2.1\nName: hopyard\nVersion: 0.1.0\n")
    yield put
    for module in set(sys.modules) - before:
        if module.startswith("site_"):
            del sys.modules[module]
