"""The few expressions in which the two databases differ, so that most statements are written once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final


class Dialect(ABC):
    """SQL fragments. Parameters are written `$1`, `$2` … on both databases."""

    name: str
    #: The database's wall clock.
    now: str
    #: The clock of leases (`leases.py`): the database's, or the machine's time since boot.
    clock: str
    #: Locks the rows that a SELECT reads until the transaction ends.
    for_update: str
    #: Has others who say it wait until the transaction ends; readers do not.
    lock_resources: str
    #: Said in a transaction before a statement that no index helps; else plans avoid that (`postgres.py`).
    no_index: str

    @abstractmethod
    def ids(self, parameter: str) -> str:
        """An `= any` test against a list of ids (see `Database.list`)."""

    @abstractmethod
    def texts(self, parameter: str) -> str:
        """An `= any` test against a list of texts."""

    @abstractmethod
    def contains(self, text: str, part: str) -> str:
        """`part` stands in `text`, to the letter."""

    @abstractmethod
    def between(self, text: str, start: str, end: str) -> str:
        """What stands in `text` behind the first `start` and before the next `end`, or to its own end."""

    @abstractmethod
    def plus(self, moment: str, seconds: str) -> str:
        """`moment` later by the number expression `seconds`."""

    @abstractmethod
    def minus(self, moment: str, seconds: str) -> str:
        """`moment` earlier by the number expression `seconds`."""

    @abstractmethod
    def rounded(self, moment: str, seconds: str) -> str:
        """`moment` down to a whole number of `seconds` since 1970."""

    def older(self, moment: str, seconds: str) -> str:
        """`moment` is more than `seconds` ago, or lies ahead, since the clock was set back meanwhile."""
        ahead = self.plus(self.now, "60")
        return f"({moment} < {self.minus(self.now, seconds)} OR {moment} > {ahead})"


class PostgresDialect(Dialect):
    name = "postgresql"
    now = "now()"
    clock = "clock_timestamp()"
    for_update = "FOR UPDATE"
    lock_resources = "LOCK TABLE job_resource IN SHARE ROW EXCLUSIVE MODE"
    no_index = "SET LOCAL enable_seqscan = on"

    def ids(self, parameter: str) -> str:
        return f"= ANY({parameter}::uuid[])"

    def texts(self, parameter: str) -> str:
        return f"= ANY({parameter}::text[])"

    def contains(self, text: str, part: str) -> str:
        return f"strpos({text}, {part}) > 0"

    def between(self, text: str, start: str, end: str) -> str:
        return f"split_part(split_part({text}, '{start}', 2), '{end}', 1)"

    def plus(self, moment: str, seconds: str) -> str:
        return f"({moment} + make_interval(secs => {seconds}))"

    def minus(self, moment: str, seconds: str) -> str:
        return f"({moment} - make_interval(secs => {seconds}))"

    def rounded(self, moment: str, seconds: str) -> str:
        return f"date_bin(make_interval(secs => {seconds}), {moment}, 'epoch'::timestamptz)"


class SqliteDialect(Dialect):
    name = "sqlite"
    now = "hopyard_now()"
    clock = "hopyard_clock()"
    for_update = ""  # BEGIN IMMEDIATE already holds the only write lock
    lock_resources = "SELECT 1"
    no_index = "SELECT 1"

    def ids(self, parameter: str) -> str:
        return f"IN (SELECT value FROM json_each({parameter}))"

    texts = ids

    def contains(self, text: str, part: str) -> str:
        return f"instr({text}, {part}) > 0"

    def between(self, text: str, start: str, end: str) -> str:
        found = f"instr({text}, '{start}')"
        rest = f"substr({text}, {found} + {len(start)})"
        upto = f"substr({rest}, 1, instr({rest} || '{end}', '{end}') - 1)"
        return f"(CASE WHEN {found} > 0 THEN {upto} ELSE '' END)"

    def plus(self, moment: str, seconds: str) -> str:
        return f"({moment} + CAST(({seconds}) * 1000000 AS INTEGER))"

    def minus(self, moment: str, seconds: str) -> str:
        return f"({moment} - CAST(({seconds}) * 1000000 AS INTEGER))"

    def rounded(self, moment: str, seconds: str) -> str:
        return f"({moment} / ({seconds} * 1000000) * ({seconds} * 1000000))"


POSTGRES: Final = PostgresDialect()
SQLITE: Final = SqliteDialect()
