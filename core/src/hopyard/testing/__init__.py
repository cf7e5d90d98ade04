"""For the tests of plugins: an installation with only the given ones, and jobs that run in the test's process.

    with Hop(Weather, folder=tmp_path) as hop:
        outcome = hop.run(refresh, city="Oslo")
        assert outcome.result() == "sunny"

As a pytest plugin (`hopyard.testing.fixtures`) it brings the fixture `hop`. Nothing of this is loaded by
`import hopyard`.
"""

from __future__ import annotations

from hopyard.testing.faults import CancelAfter, DieAfter, Fault, LoseLease, TimeOutAfter
from hopyard.testing.hop import Hop
from hopyard.testing.outcome import Outcome

__all__ = ["CancelAfter", "DieAfter", "Fault", "Hop", "LoseLease", "Outcome", "TimeOutAfter"]
