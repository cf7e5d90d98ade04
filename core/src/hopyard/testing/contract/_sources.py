"""Rules about the source: found in its syntax, without running any of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

import hopyard
from hopyard.testing.contract._rules import Violation, rule
from hopyard.testing.contract._subject import Source, Subject

_CLIENTS: Final = ("requests", "httpx", "httpx2", "aiohttp", "urllib3", "urllib.request", "http.client")
_UNSAFE: Final = ("pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle")
_BLOCKING: Final = (
    *("time.sleep", "subprocess.run", "subprocess.call", "subprocess.check_call", "subprocess.check_output"),
    *("os.system", "os.wait", "urllib.request.urlopen", "socket.create_connection", "sqlite3.connect"),
    *("requests.get", "requests.post", "requests.put", "requests.delete", "requests.request"),
)
_NAIVE: Final = ("datetime.utcnow", "datetime.utcfromtimestamp", "datetime.datetime.utcnow")
_NOW: Final = (
    "datetime.now",
    "datetime.datetime.now",
    "datetime.fromtimestamp",
    "datetime.datetime.fromtimestamp",
)


def _imports(source: Source) -> Iterator[tuple[str, str, int]]:
    """Yield what a file imports: module, name (empty for the module itself) and line."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "", node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((node.module or "", alias.name, node.lineno) for alias in node.names)


def _calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Yield the calls below a node with their dotted names; not those of functions within it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Call):
            yield _dotted(node.func), node
        yield from _calls(node)


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return ""


def _all_calls(source: Source) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            yield _dotted(node.func), node


@rule("public-api", "what is not public changes from release to release without a word", "sources")
def _public_api(subject: Subject) -> Iterator[Violation]:
    for source in subject.sources:
        for module, name, line in _imports(source):
            if module == "hopyard":
                public = not name or name in hopyard.__all__ or f"hopyard.{name}" in hopyard.PUBLIC_MODULES
            elif module.startswith("hopyard."):
                public = module in hopyard.PUBLIC_MODULES and not name.startswith("_")
            else:
                continue
            if not public:
                what = f"{name} of {module}" if name else module
                yield Violation(f"imports {what}, which is not public", source.shown, line)


@rule("no-other-plugin", "a plugin must work without the others: call their tasks by name", "sources")
def _no_other_plugin(subject: Subject) -> Iterator[Violation]:
    for source in subject.sources:
        for module, _, line in _imports(source):
            top = module.partition(".")[0]
            if top.startswith("hopyard_") and top != subject.package:
                yield Violation(f"imports {module}, which is another plugin's", source.shown, line)


@rule(
    "egress",
    "requests that tasks make go through `hopyard.egress`, which refuses private addresses",
    "sources",
)
def _egress(subject: Subject) -> Iterator[Violation]:
    for source in subject.sources:
        for module, name, line in _imports(source):
            whole = f"{module}.{name}" if name else module
            if any(whole == client or whole.startswith(f"{client}.") for client in _CLIENTS):
                yield Violation(f"imports {whole}, a client of its own: take `Egress`", source.shown, line)


@rule("no-pickle", "data that runs code when it is read lets whoever writes it in", "sources")
def _no_pickle(subject: Subject) -> Iterator[Violation]:
    for source in subject.sources:
        for module, _, line in _imports(source):
            if module.partition(".")[0] in _UNSAFE:
                yield Violation(f"imports {module}: take JSON", source.shown, line)
        for name, call in _all_calls(source):
            if name in ("eval", "exec"):
                yield Violation(f"calls {name}", source.shown, call.lineno)


@rule(
    "no-print",
    "standard output belongs to the command: log with `job.log`, show with `hopyard.cli`",
    "sources",
)
def _no_print(subject: Subject) -> Iterator[Violation]:
    for source in subject.sources:
        for name, call in _all_calls(source):
            if name == "print":
                yield Violation("calls print", source.shown, call.lineno)


@rule(
    "no-blocking",
    "an `async def` that blocks stops all jobs of its worker: await, or make it a `def`",
    "sources",
)
def _no_blocking(subject: Subject) -> Iterator[Violation]:
    for source in subject.sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.AsyncFunctionDef):
                for name, call in _calls(node):
                    if name in _BLOCKING:
                        yield Violation(f"`async def {node.name}` calls {name}", source.shown, call.lineno)


@rule("aware-times", "a time without a zone means another moment on another machine", "sources")
def _aware_times(subject: Subject) -> Iterator[Violation]:
    for source in subject.sources:
        for name, call in _all_calls(source):
            zone = call.args or any(word.arg in ("tz", "tzinfo") for word in call.keywords)
            if name.endswith("fromtimestamp"):
                zone = len(call.args) > 1 or any(word.arg == "tz" for word in call.keywords)
            if name in _NAIVE or (name in _NOW and not zone):
                yield Violation(f"{name}() has no zone: datetime.now(UTC)", source.shown, call.lineno)


@rule("no-swallowing", "an error that nobody sees is a job that silently did nothing", "sources")
def _no_swallowing(subject: Subject) -> Iterator[Violation]:
    for source in subject.sources:
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            broad = node.type is None or _dotted(node.type) in ("Exception", "BaseException")
            silent = all(
                isinstance(one, ast.Pass | ast.Continue)
                or (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
                for one in node.body
            )
            if broad and silent:
                yield Violation("swallows every error", source.shown, node.lineno)
