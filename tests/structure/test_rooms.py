"""The house: what may import what, what imports stay light, and what every package must say of itself."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core" / "src" / "hopyard"
PLUGINS = sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))

#: Ground floor first: a room imports from its own line and from those above.
FLOORS = (
    (
        "errors",
        "checks",
        "files",
        "trees",
        "cleaning",
        "fields",
        "ending",
        "entrypoints",
        "rules",
        "retry",
        "specs",
        "addresses",
        "events",
        "panels",
        "routing",
    ),
    (
        "hookspecs",
        "redaction",
        "display",
        "current",
        "portal",
        "sandbox",
        "settings",
        "plugin",
        "roots",
        "egress",
    ),
    ("_egress_http",),
    ("loading",),
    ("ledger",),
    ("broker",),
    ("tasks",),
    ("notifications",),
    ("app", "switching", "celery", "celeryapp", "builtin"),
    ("engine", "schedule", "monitor"),
    ("storage", "schedules", "people", "jobs", "health", "leases"),  # with what is above: what plugins import
    ("supervise", "local"),
    ("web",),
    ("cli", "testing"),
)
FLOOR = {room: n for n, rooms in enumerate(FLOORS) for room in rooms}
#: Downward imports that assembly needs: inside functions, when everything is loaded, each with its reason.
ASSEMBLY = {
    ("app", "local"): "the embedded broker's address",
    ("builtin", "monitor"): "the core's plugin brings the core's checks",
    ("celeryapp", "engine"): "Celery's steps are the engine's",
    ("egress", "_egress_http"): "one room in two files",
}
SOURCES = sorted([*CORE.rglob("*.py"), *(f for p in PLUGINS for f in (p / "src").rglob("*.py"))])

HEAVY = (
    *("alembic", "anthropic", "apprise", "asyncpg", "celery", "fastapi", "httpx2", "openai", "psutil"),
    *("pydantic_ai", "redis", "sqlalchemy"),
)


def runtime_imports(tree: ast.AST) -> Iterator[str]:
    """Yield the absolute names of modules that a file imports, other than for its annotations."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from runtime_imports(other)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            yield str(node.module)
            if node.module == "hopyard":
                yield from (f"hopyard.{alias.name}" for alias in node.names)
        else:
            yield from runtime_imports(node)


def imports_of(path: Path) -> list[str]:
    return [*runtime_imports(ast.parse(path.read_text()))]


def room_of(module: str) -> str | None:
    """Return the room of a module of the core; None for the package itself and its lazy names."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FLOOR else None


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda path: str(path.relative_to(CORE)))
def test_rooms_import_only_upwards(path: Path) -> None:
    relative = path.relative_to(CORE)
    room = relative.parts[0].removesuffix(".py")
    if room == "__init__":
        return
    assert room in FLOOR, f"{room} stands in no floor: add it to the house"
    for module in imports_of(path):
        other = room_of(module) if module.startswith("hopyard.") else None
        if other is None or other == room or (room, other) in ASSEMBLY:
            continue
        assert FLOOR[other] <= FLOOR[room], f"{relative} imports {module}, which is a floor below"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_package_imports_a_plugin(path: Path) -> None:
    """The core imports no plugin, and no plugin another one."""
    own = path.relative_to(ROOT).parts
    mine = f"hopyard_{own[1]}" if own[0] == "plugins" else "hopyard"
    for module in imports_of(path):
        top = module.split(".", 1)[0]
        assert not top.startswith("hopyard_") or top == mine, f"{path} imports {module}"


PLUGIN_SOURCES = [path for path in SOURCES if CORE not in path.parents]
_CORE_TABLES = re.compile(
    r"\b(?:FROM|INTO|UPDATE|JOIN)\s+(job_\w+|schedule\w*|worker|leader|command|notification|delivery|set_aside"
    r"|queue_state|ledger_identity)\b"
)


def hopyard_names(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield what a file imports of the core, also for its annotations: pairs of module and name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.split(".")[0] == "hopyard")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "hopyard":
            yield from ((node.module or "", alias.name) for alias in node.names)


@pytest.mark.parametrize("path", PLUGIN_SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_plugins_import_only_what_is_public(path: Path) -> None:
    import hopyard

    for module, name in hopyard_names(ast.parse(path.read_text())):
        if module == "hopyard":
            public = name in hopyard.__all__ or f"hopyard.{name}" in hopyard.PUBLIC_MODULES
        else:
            public = module in hopyard.PUBLIC_MODULES and not name.startswith("_")
        assert public, f"{path.relative_to(ROOT)} imports {name} of {module}, which is not public"
    found = _CORE_TABLES.search(path.read_text())
    assert found is None, f"{path.relative_to(ROOT)} has SQL on the core's table {found and found[1]}"


@pytest.mark.parametrize("module", ["hopyard", "public"])
def test_public_names_are_sorted_and_documented(module: str) -> None:
    import hopyard

    for name in [module] if module == "hopyard" else hopyard.PUBLIC_MODULES:
        imported = importlib.import_module(name)
        assert imported.__doc__, name
        if name == "hopyard.errors":
            continue
        assert imported.__all__ == sorted(imported.__all__, key=lambda one: (one.islower(), one)), name
        for one in imported.__all__:
            value = getattr(imported, one)
            if inspect.isclass(value) or inspect.isfunction(value):
                assert value.__doc__, f"{name}.{one} has no docstring"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 400


def metadata(path: Path) -> dict:  # type: ignore[type-arg]
    return tomllib.loads((path / "pyproject.toml").read_text())


def test_every_member_is_in_the_workspace() -> None:
    root = metadata(ROOT)
    sources = root["tool"]["uv"]["sources"]
    names = [metadata(path)["project"]["name"] for path in (ROOT / "core", *PLUGINS)]
    assert sorted(sources) == sorted(names)
    assert all(source == {"workspace": True} for source in sources.values())
    assert sorted(root["project"]["dependencies"]) == sorted(names)


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_is_named_as_its_folder(plugin: Path) -> None:
    project = metadata(plugin)["project"]
    name = plugin.name
    assert project["name"] == f"hopyard-{name}"
    assert list(project["entry-points"]["hopyard"]) == [name]
    assert project["entry-points"]["hopyard"][name].startswith(f"hopyard_{name}:")
    assert any(re.match(r"hopyard(\[\w+\])?>=", needed) for needed in project["dependencies"])
    assert name in metadata(ROOT / "core")["project"]["optional-dependencies"]


def committed() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
    )
    names = [name for name in listed.stdout.decode().split("\0") if name]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def test_no_file_names_a_registry_or_a_place_on_a_machine() -> None:
    hosts = ("pypi.org", "pythonhosted.org", "index-url", "find-links", "/root/", "/home/")
    if not (ROOT / ".git").exists():
        pytest.skip("says something of the repository")
    found = []
    for path in committed():
        if path == Path(__file__):
            continue
        text = path.read_text(errors="replace")
        found += [f"{path.relative_to(ROOT)}: {host}" for host in hosts if host in text]
    assert found == []


def test_versions_are_exact_and_from_registries() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.\-]+==[A-Za-z0-9.\-+!]+", pin) for pin in pins)
    assert not [pin for pin in pins if pin.lower().startswith("hopyard")]


# --- light imports


def modules_after(code: str) -> set[str]:
    """Return the top-level packages that a fresh interpreter has loaded after some code."""
    ask = f"{code}\nimport json, sys\nprint('\\n' + json.dumps(sorted(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return {name.split(".", 1)[0] for name in json.loads(ran.stdout.rsplit("\n", 2)[-2])}


def test_importing_hopyard_is_cheap() -> None:
    assert modules_after("import hopyard").isdisjoint([*HEAVY, "pydantic", "kombu", "click", "rich"])


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugins_declarations_are_light(plugin: Path) -> None:
    """Every role loads them, also one that never runs a job of it."""
    package = f"hopyard_{plugin.name}"
    code = f"import {package}"
    if (plugin / "src" / package / "tasks.py").exists():
        code += f", {package}.tasks"
    assert sorted(modules_after(code) & set(HEAVY)) == []


def test_the_command_lines_help_is_light() -> None:
    code = "import sys\nsys.argv = ['hopyard', '--help']\nfrom hopyard.cli import main\n"
    code += "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code"
    assert sorted(modules_after(code) & {*HEAVY, "pydantic"}) == []


def test_the_public_names_are_those_of_the_lazy_table() -> None:
    import hopyard

    assert hopyard.__all__ == sorted(hopyard.__all__, key=lambda name: (name.islower(), name))
    assert set(hopyard.__all__) == set(hopyard._MODULE_OF)
    assert all(getattr(hopyard, name) is not None for name in hopyard.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        hopyard.nothing  # noqa: B018
