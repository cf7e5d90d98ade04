"""Rules about the source: found in its syntax, without running any of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

import hopyard
from hopyard.testing.contract._rules import Violation, rule, shortened
from hopyard.testing.contract._subject import Source, Subject

_CLIENTS: Final = ("requests", "httpx", "httpx2", "aiohttp", "urllib3", "urllib.request", "http.client")
_UNSAFE: Final = ("pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle")
_BLOCKING: Final = (
    *("time.sleep", "subprocess.run", "subprocess.call", "subprocess.check_call", "subprocess.check_output"),
    *("os.system", "os.wait", "urllib.request.urlopen", "socket.create_connection", "sqlite3.connect"),
    *("requests.get", "requests.post", "requests.put", "requests.delete", "requests.request"),
)
_NAIVE: Final = ("datetime.datetime.utcnow", "datetime.datetime.utcfromtimestamp", "datetime.datetime.today")
#: By the place at which each takes a zone.
_ZONED: Final = {"datetime.datetime.now": 0, "datetime.datetime.fromtimestamp": 1}
_BROAD: Final = ("Exception", "BaseException")


def _imports(source: Source, *, types: bool = False) -> Iterator[tuple[str, str, int]]:
    """Yield what a file imports: module, name (empty for the module itself) and line.

    With `types` also what only type checkers import.
    """
    for node in _nodes(source.tree, types):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "", node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((node.module or "", alias.name, node.lineno) for alias in node.names)


def _nodes(tree: ast.AST, types: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not types and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _nodes(node, types)


class _Names:
    """What the names in a file stand for."""

    def __init__(self, source: Source) -> None:
        self._known: dict[str, str] = {}
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Import):
                self._known |= {alias.asname: alias.name for alias in node.names if alias.asname}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                self._known |= {
                    alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names
                }

    def of(self, node: ast.AST) -> str:
        """Return a dotted name as it would be without aliases: `sleep` is `time.sleep`."""
        if isinstance(node, ast.Name):
            return self._known.get(node.id, node.id)
        return f"{self.of(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""

    def calls(self, tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
        """Yield the calls below a node, but not those in functions within it."""
        for node in ast.iter_child_nodes(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if isinstance(node, ast.Call):
                yield self.of(node.func), node
            yield from self.calls(node)

    def all_calls(self, source: Source) -> Iterator[tuple[str, ast.Call]]:
        """Yield all calls in a file."""
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call):
                yield self.of(node.func), node


@rule("readable", "a module that Python cannot read ends whatever imports it", "sources")
def _readable(subject: Subject) -> Iterator[Violation]:
    if subject.sources is not None:  # read them
        for file, (line, reason) in subject.unreadable.items():
            yield Violation(f"Python cannot read it: {reason}", shortened(file), line)


@rule("public-api", "what is not public changes from release to release without a word", "sources")
def _public_api(subject: Subject) -> Iterator[Violation]:
    for source in subject.sources:
        for module, name, line in _imports(source, types=True):
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
        for name, call in _Names(source).all_calls(source):
            if name in ("eval", "exec"):
                yield Violation(f"calls {name}", source.shown, call.lineno)


@rule(
    "no-print",
    "standard output belongs to the command: log with `job.log`, show with `hopyard.cli`",
    "sources",
)
def _no_print(subject: Subject) -> Iterator[Violation]:
    for source in subject.sources:
        for name, call in _Names(source).all_calls(source):
            if name in ("print", "builtins.print"):
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
                for name, call in _Names(source).calls(node):
                    if name in _BLOCKING:
                        yield Violation(f"`async def {node.name}` calls {name}", source.shown, call.lineno)


@rule("aware-times", "a time without a zone means another moment on another machine", "sources")
def _aware_times(subject: Subject) -> Iterator[Violation]:
    for source in subject.sources:
        for name, call in _Names(source).all_calls(source):
            if name in _NAIVE or (name in _ZONED and not _has_zone(call, _ZONED[name])):
                yield Violation(f"{name}() has no zone: datetime.now(UTC)", source.shown, call.lineno)


def _has_zone(call: ast.Call, place: int) -> bool:
    given = call.args[place : place + 1] + [word.value for word in call.keywords if word.arg == "tz"]
    return any(not (isinstance(one, ast.Constant) and one.value is None) for one in given)


@rule("no-swallowing", "an error that nobody sees is a job that silently did nothing", "sources")
def _no_swallowing(subject: Subject) -> Iterator[Violation]:
    for source in subject.sources:
        names = _Names(source)
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ExceptHandler):
                kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
                broad = any(kind is None or names.of(kind) in _BROAD for kind in kinds)
                if broad and all(_silent(one) for one in node.body):
                    yield Violation("swallows every error", source.shown, node.lineno)
            elif isinstance(node, ast.Call) and _suppresses_all(names, node):
                yield Violation("swallows every error", source.shown, node.lineno)


def _suppresses_all(names: _Names, call: ast.Call) -> bool:
    return names.of(call.func) == "contextlib.suppress" and any(names.of(one) in _BROAD for one in call.args)


def _silent(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Return):
        value = statement.value
        return value is None or (isinstance(value, ast.Constant) and value.value is None)
    told = isinstance(statement, ast.Expr) and not isinstance(statement.value, ast.Constant | ast.Name)
    return isinstance(statement, ast.Pass | ast.Continue | ast.Break | ast.Expr) and not told
