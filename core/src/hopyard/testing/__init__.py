"""For the tests of plugins: an installation with only the given ones, whose jobs run in the test's process.

    with Hop(Weather, folder=tmp_path) as hop:
        outcome = hop.run(refresh, city="Oslo")
        assert outcome.result() == "sunny"

With `pytest_plugins = ["hopyard.testing.fixtures"]` in its `conftest.py` a plugin's tests have the fixture
`hop`. Names are loaded when they are first used, and none of it by `import hopyard`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hopyard.testing.contract.suite import PluginContract
    from hopyard.testing.faults import CancelAfter, DieAfter, Fault, LoseLease, TimeOutAfter
    from hopyard.testing.hop import Hop
    from hopyard.testing.model import FakeModel
    from hopyard.testing.outcome import Outcome

_HOME = {
    "CancelAfter": "faults",
    "DieAfter": "faults",
    "FakeModel": "model",
    "Fault": "faults",
    "Hop": "hop",
    "LoseLease": "faults",
    "Outcome": "outcome",
    "PluginContract": "contract.suite",
    "TimeOutAfter": "faults",
}

__all__ = [
    "CancelAfter",
    "DieAfter",
    "FakeModel",
    "Fault",
    "Hop",
    "LoseLease",
    "Outcome",
    "PluginContract",
    "TimeOutAfter",
]


if not TYPE_CHECKING:  # a type checker reads the imports above

    def __getattr__(name: str) -> Any:
        if name in _HOME:
            return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
