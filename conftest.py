"""The fixtures that start servers, for the tests of all packages."""

from __future__ import annotations

import os

pytest_plugins = ["servers"]

# The width of the terminal that the tests are started from: tables would be narrower in one than in another.
os.environ.pop("COLUMNS", None)
