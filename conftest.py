"""The fixtures that start servers, for the tests of all packages."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

pytest_plugins = ["servers"]

# The width of the terminal that the tests are started from: tables would be narrower in one than in another.
os.environ.pop("COLUMNS", None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write halves of surrogate pairs, which odd messages leave in logs, as pytest-xdist can send them."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report
