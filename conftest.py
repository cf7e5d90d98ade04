"""The fixtures that start servers, for the tests of all packages."""

from __future__ import annotations

pytest_plugins = ["servers"]
