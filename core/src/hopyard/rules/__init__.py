"""Rules of schedules: one parser for plugins, settings, command line and scheduler, and their arithmetic.

When clocks change:

* A wall time that does not exist that day is due at the first moment after the gap, once.
* A wall time that occurs twice is due once, the first time. Frequencies within the day go on through
  both: cron rules whose minute or hour field starts with `*`, and RRULEs with FREQ=HOURLY, MINUTELY or
  SECONDLY (except with COUNT, which counts each wall time once).
* `every` counts seconds and does not look at clocks.

Due times of a rule are distinct and in order. A rule without an anchor starts on 1 January 1970 at 00:00
(`every`: in UTC, `rrule`: in the rule's zone); cron and `at` have no use for an anchor. Here a
rule without a zone is in UTC; the rule of a schedule has got the installation's before (`Rule.resolved`).
"""

from __future__ import annotations

from hopyard.rules._cron import check as check_cron
from hopyard.rules._due import between, last, last_between, next_after, upcoming
from hopyard.rules._rrule import parse as check_rrule
from hopyard.rules._rule import KINDS, Rule, check_every, from_json, to_json
from hopyard.rules._wording import describe
from hopyard.rules._zones import moment_of, zone_of

__all__ = [
    "KINDS",
    "Rule",
    "between",
    "check_cron",
    "check_every",
    "check_rrule",
    "describe",
    "from_json",
    "last",
    "last_between",
    "moment_of",
    "next_after",
    "to_json",
    "upcoming",
    "zone_of",
]
