"""A new plugin as if it were installed: its sources on the path, its metadata beside them."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

BIN = Path(sys.executable).parent


def installed(folder: Path) -> dict[str, str]:
    """Write the metadata that an installer would; return an environment in which the package is found."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = folder / "metadata" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    requires = "".join(f"Requires-Dist: {one}\n" for one in project["dependencies"])
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: {project['name']}\nVersion: {project['version']}\n"
        f"Summary: {project['description']}\nLicense-Expression: {project['license']}\n"
        f"Requires-Python: {project['requires-python']}\n{requires}"
    )
    ((name, value),) = project["entry-points"]["hopyard"].items()
    (info / "entry_points.txt").write_text(f"[hopyard]\n{name} = {value}\n")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HOPYARD_", "PYTEST_"))}
    path = f"{folder / 'src'}{os.pathsep}{info.parent}"
    # This project's own plugins of pytest are no part of an author's environment.
    return {**clean, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def run(folder: Path, environment: dict[str, str], *command: str) -> str:
    """Run a program of this environment in the folder; return what it says. Fails unless it ends well."""
    done = subprocess.run(
        [BIN / command[0], *command[1:]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout
