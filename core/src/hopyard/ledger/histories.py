"""Histories of migrations as they stand in files: read, never imported.

A history is a package with a folder `versions` of Alembic revisions, whatever their files are called. Which
revisions there are, and which follows which, is read from the text of the files, so that a start-up check
runs no code of a plugin and imports nothing of Alembic.
"""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hopyard.errors import MigrationError


@dataclass(frozen=True, slots=True)
class History:
    """A line of revisions, each but the first following one other."""

    folder: Path
    revisions: frozenset[str]
    head: str
    """The newest revision."""


def read_history(package: Any) -> History:
    """Return the history in `package` (a dotted name). Raises `MigrationError` if it is none."""
    folder = versions_folder(package)
    follows: dict[str, tuple[str, ...]] = {}
    files: dict[str, Path] = {}
    for file in sorted(folder.glob("*.py")):
        if file.name.startswith((".", "__init__")):  # as Alembic passes over them
            continue
        revision, before = _revision(file)
        if revision in files:
            raise MigrationError(
                f"{files[revision].name} and {file.name} in {folder} have the same revision {revision}"
            )
        files[revision], follows[revision] = file, before
    return History(folder, frozenset(files), _head(folder, follows))


def versions_folder(package: Any) -> Path:
    """Return the folder of a history. Raises `MigrationError` if the package has none."""
    if not isinstance(package, str) or not package or package.startswith("."):
        raise MigrationError(
            f"`migrations` is {package!r}; expected the name of a package such as hopyard_x.migrations"
        )
    try:
        spec = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        spec = None
    except (Exception, SystemExit) as error:  # the packages above it are imported, and may do anything
        raise MigrationError(
            f"the migrations in {package} cannot be found: {type(error).__name__}: {error}"
        ) from error
    if spec is None:
        raise MigrationError(f"there is no package {package}, which `migrations` names")
    for place in spec.submodule_search_locations or ():
        folder = Path(place) / "versions"
        if folder.is_dir():
            return folder
    raise MigrationError(f"the package {package} has no folder `versions` with migrations")


def _revision(file: Path) -> tuple[str, tuple[str, ...]]:
    """Return the revision in a file, and those that it follows."""
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except SyntaxError as error:
        raise MigrationError(f"{file}:{error.lineno}: {error.msg}") from error
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise MigrationError(f"{file} cannot be read: {error or type(error).__name__}") from error
    given = dict(_assigned(file, tree))
    revision, before = given.get("revision"), given.get("down_revision")
    if not isinstance(revision, str) or not revision:
        raise MigrationError(f'{file} has no revision; expected a line such as revision = "0001"')
    if before is None:
        return revision, ()
    several = (before,) if isinstance(before, str) else before
    if not isinstance(several, tuple | list) or not all(isinstance(one, str) for one in several):
        raise MigrationError(f"{file}: down_revision is {before!r}; expected a revision or None")
    return revision, tuple(several)


def _assigned(file: Path, tree: ast.Module) -> list[tuple[str, Any]]:
    """Return what a module assigns to `revision` and `down_revision`, with or without annotation."""
    found = []
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            targets, value = statement.targets, statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets, value = [statement.target], statement.value
        else:
            continue
        for target in targets:
            if isinstance(target, ast.Name) and target.id in ("revision", "down_revision"):
                try:
                    found.append((target.id, ast.literal_eval(value)))
                except (ValueError, TypeError) as error:
                    raise MigrationError(
                        f"{file}:{statement.lineno}: {target.id} is computed; expected a plain text"
                    ) from error
    return found


def _head(folder: Path, follows: dict[str, tuple[str, ...]]) -> str:
    """Return the newest revision of a history that is one line."""
    if not follows:
        raise MigrationError(f"{folder} has no migrations: expected files such as 0001_initial.py")
    for revision, before in follows.items():
        for one in before:
            if one not in follows:
                raise MigrationError(
                    f"revision {revision} in {folder} follows {one}, which is not there: a file is missing"
                )
    heads = sorted({*follows} - {one for before in follows.values() for one in before})
    if not heads:
        raise MigrationError(f"the revisions in {folder} follow each other in a circle")
    if len(heads) > 1:
        raise MigrationError(
            f"the revisions {', '.join(heads)} in {folder} are all the newest: let one follow the other, "
            "or join them with `alembic merge`"
        )
    return heads[0]
