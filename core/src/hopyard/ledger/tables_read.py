"""The tables beside the jobs' own: what is read of jobs while they change, who may come in over HTTP, and
which plugins are switched off.
"""

from __future__ import annotations

from hopyard.ledger.types import Id, Ids, Moment
from sqlalchemy import BigInteger, Column, Float, Integer, MetaData, SmallInteger, Table, Text


def add(metadata: MetaData) -> None:
    """Add these tables to the ledger's."""
    # Written by triggers and, of jobs that ended on SQLite, by `sqlite_ended.py`: which jobs changed. Kept an
    # hour (`read/tail.py`), but for the newest row, which always stays: so no number is given twice, also by
    # SQLite without the cost of AUTOINCREMENT.
    Table(
        "job_event",
        metadata,
        Column("n", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        Column("at", Moment, nullable=False),
        Column("jobs", Ids, nullable=False),
    )

    # Written the same way: jobs that ended, by minute; `began` of them ran, `waited` and `ran` are sums of
    # their seconds.
    Table(
        "job_minute",
        metadata,
        Column("minute", Moment, primary_key=True),
        Column("task", Text, primary_key=True),
        Column("queue", Text, primary_key=True),
        Column("state", SmallInteger, primary_key=True),
        Column("shard", Integer, primary_key=True),
        Column("jobs", BigInteger, nullable=False),
        Column("began", BigInteger, nullable=False),
        Column("waited", Float, nullable=False),
        Column("ran", Float, nullable=False),
    )

    # The first lines that a job logged, secrets masked.
    Table(
        "job_log",
        metadata,
        Column("job_id", Id, primary_key=True),
        Column("n", Integer, primary_key=True),
        Column("at", Moment, nullable=False),
        Column("level", Text, nullable=False),
        Column("message", Text, nullable=False),
    )

    # Who may come in over HTTP: tokens, one-time logins, sessions, and logins that have begun (`access.py`).
    Table(
        "access_key",
        metadata,
        Column("id", Text, primary_key=True),
        Column("kind", Text, nullable=False),  # token | login | session | pending
        Column("hash", Text, nullable=False),
        Column("name", Text, nullable=False),
        Column("role", Text, nullable=False),
        Column("plugins", Text),  # JSON list; null: all
        Column("person", Text),
        Column("parent", Text),  # the key that a session was made of: it ends with it
        Column("created", Moment, nullable=False),
        Column("expires", Moment),
        Column("used", Moment),
    )

    # What was done over HTTP, and by whom.
    Table(
        "audit",
        metadata,
        Column("n", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        Column("at", Moment, nullable=False),
        Column("who", Text, nullable=False),
        Column("role", Text, nullable=False),
        Column("act", Text, nullable=False),
        Column("target", Text, nullable=False),
        Column("data", Text, nullable=False),
        Column("address", Text, nullable=False),
    )

    # Plugins that somebody has disabled: a row means off (`switches.py`).
    Table(
        "plugin_switch",
        metadata,
        Column("name", Text, primary_key=True),
        Column("at", Moment, nullable=False),
        Column("who", Text, nullable=False),
    )
