"""The environment in which the processes under fire run: wheels of this checkout, built once a session.

Nothing of the checkout is read afterwards, so that one may go on working while the suite runs.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

from installed import ROOT, UV, build, run


class Installation:
    """A virtual environment with all wheels, and a copy of the suite's own modules beside it."""

    def __init__(self, folder: Path) -> None:
        begun = time.monotonic()
        self.bin = folder / "environment" / "bin"
        self.path = folder / "path"
        """For PYTHONPATH: what runs in the processes and is no part of the product."""
        wheels = build(folder / "wheels")
        run([UV, "venv", "--quiet", "--python", sys.executable, self.bin.parent])
        python = self.bin / "python"
        constraints = ROOT / "constraints.txt"
        run(
            [
                UV,
                "pip",
                "install",
                "--quiet",
                "--compile-bytecode",
                "--python",
                python,
                "-c",
                constraints,
                *(f"{path}[web]" if name == "hopyard" else path for name, path in wheels.items()),
            ]
        )
        shutil.copytree(
            Path(__file__).parent, self.path / "chaos", ignore=shutil.ignore_patterns("__pycache__")
        )
        where = run([python, "-c", "import hopyard; print(hopyard.__file__)"], cwd=folder).stdout.strip()
        assert Path(where).is_relative_to(self.bin.parent), where
        self.seconds = time.monotonic() - begun
        self.what = ", ".join(path.name.split("-py3")[0] for path in wheels.values())
