"""The ledger's tables, the same on both databases.

`job_live` is narrow and hot: claim and finish change no column that is indexed, so that PostgreSQL updates a
row in place. `job_history` is append-only.
"""

from __future__ import annotations

from typing import Any

from hopyard.ledger import tables_read
from hopyard.ledger.types import Id, Ids, Moment
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)

metadata = MetaData()
tables_read.add(metadata)


def _job_columns() -> list[Column[Any]]:
    return [
        Column("id", Id, primary_key=True),
        Column("task", Text, nullable=False),
        Column("queue", Text, nullable=False),
        Column("priority", SmallInteger, nullable=False),
        Column("state", SmallInteger, nullable=False),
        Column("body", Text, nullable=False),
        Column("headers", Text, nullable=False),
        Column("attempt", Integer, nullable=False, server_default=text("0")),
        Column("crashes", SmallInteger, nullable=False, server_default=text("0")),
        Column("worker", BigInteger),
        Column("claim", BigInteger),
        Column("cancel", Boolean, nullable=False, server_default=text("false")),
        Column("created", Moment, nullable=False),
        Column("eta", Moment),
        Column("rung", Moment),  # when its message was last sent again
        Column("started", Moment),
        Column("attempts", Text),
        Column("reason", Text),
        Column("schedule", Text),
        Column("due", Moment),
        Column("parent", Id),
        Column("root", Id),
        Column("person", Text),
        Column("job_group", Id),
        Column("origin", Text),
        Column("replay_of", Id),
        # Something follows it: a chain, links, or the body of a chord (`following.py`).
        Column("linked", Boolean, nullable=False, server_default=text("false")),
    ]


job_live = Table(
    "job_live",
    metadata,
    *_job_columns(),
    # Half-full pages leave room for the two updates that each job gets.
    postgresql_with={
        "fillfactor": "50",
        "autovacuum_vacuum_scale_factor": "0",
        "autovacuum_vacuum_threshold": "20000",
    },
)
# Partial, so that only statements which say `queue > ''` use it: while the table is empty PostgreSQL would as
# soon look for ids in all of this index as in the primary key's, and keep that plan.
Index(
    "job_live_queue",
    job_live.c.queue,
    job_live.c.id,
    postgresql_where=text("queue > ''"),
    sqlite_where=text("queue > ''"),
)
Index(
    "job_live_eta",
    job_live.c.eta,
    postgresql_where=job_live.c.eta.isnot(None),
    sqlite_where=job_live.c.eta.isnot(None),
)

job_history = Table(
    "job_history",
    metadata,
    *_job_columns(),
    Column("finished", Moment, nullable=False),
    Column("result", Text),
    Column("error", Text),
)
Index("job_history_finished", job_history.c.finished)
# What people list jobs by. Those of a queue are found among the latest (`read/listing.py`).
Index("job_history_task", job_history.c.task, job_history.c.finished)
Index(
    "job_history_failed",
    job_history.c.finished,
    postgresql_where=text("state <> 5"),
    sqlite_where=text("state <> 5"),
)
Index("job_live_created", job_live.c.created)
for _table, _last in ((job_live, "created"), (job_history, "finished")):
    for _name in ("person", "schedule", "parent"):
        Index(
            f"{_table.name}_{_name}",
            _table.c[_name],
            _table.c[_last],
            postgresql_where=text(f"{_name} IS NOT NULL"),
            sqlite_where=text(f"{_name} IS NOT NULL"),
        )

# What jobs hold of the installation's resources while they run, and what they wait for. Whether a row still
# counts is told by `job_live`: nothing has to be given back, so nothing leaks with a process that dies.
job_resource = Table(
    "job_resource",
    metadata,
    Column("job_id", Id, primary_key=True),
    Column("resource", Text, primary_key=True),
    Column("amount", BigInteger, nullable=False),
    # The claim under which it is held; NULL while the job waits.
    Column("claim", BigInteger),
    Column("since", Moment, nullable=False),
    # Until when it is kept free for a job that waits, whose message was sent.
    Column("called", Moment),
)

job_outbox = Table(
    "job_outbox",
    metadata,
    Column("id", Id, primary_key=True),
    Column("created", Moment, nullable=False),
    # Of an entry that stands for many jobs, which were stored at once: then `id` is its own.
    Column("jobs", Ids),
)

ledger_identity = Table(
    "ledger_identity",
    metadata,
    # Tells this ledger from any other, by whatever address it is reached.
    Column("id", Id, primary_key=True),
)

job_key = Table(
    "job_key",
    metadata,
    Column("key", Text, primary_key=True),
    Column("job_id", Id, nullable=False),
    Column("until", Moment),
)

job_follow = Table(
    "job_follow",
    metadata,
    # A linked job that is over, and whose followers are not stored yet.
    Column("id", Id, primary_key=True),
    Column("created", Moment, nullable=False),
)

job_group = Table(
    "job_group",
    metadata,
    Column("id", Id, primary_key=True),
    Column("remaining", Integer, nullable=False),
    Column("created", Moment, nullable=False),
)

job_part = Table(
    "job_part",
    metadata,
    Column("group_id", Id, primary_key=True),
    Column("member", Id, primary_key=True),
    Column("n", Integer, nullable=False),  # its place among the arguments of the body
    Column("result", Text, nullable=False),
)

job_progress = Table(
    "job_progress",
    metadata,
    Column("job_id", Id, primary_key=True),
    Column("current", Float, nullable=False),
    Column("total", Float),
    Column("message", Text, nullable=False),
    Column("updated", Moment, nullable=False),
)

job_checkpoint = Table(
    "job_checkpoint",
    metadata,
    Column("job_id", Id, primary_key=True),
    Column("data", Text, nullable=False),
    Column("updated", Moment, nullable=False),
)

job_effect = Table(
    "job_effect",
    metadata,
    Column("job_id", Id, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("data", Text),
    Column("updated", Moment, nullable=False),
)

schedule = Table(
    "schedule",
    metadata,
    Column("name", Text, primary_key=True),
    Column("source", Text, nullable=False),  # plugin | settings | user
    Column("task", Text, nullable=False),
    Column("declared", Text),  # JSON of the plugin's or the settings' schedule; null for a user's own
    Column("edited", Text),  # JSON of what a user made or changed
    Column("rule", Text, nullable=False),  # the effective values from here on
    Column("follows", Text),  # of a rule `after` another schedule: that one's name
    Column("kwargs", Text, nullable=False),
    Column("misfire", Text, nullable=False),
    Column("overlap", Text, nullable=False),
    Column("catch_up", Float, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("person", Text),
    Column("next_due", Moment),
    Column("last_due", Moment),
    Column("updated", Moment, nullable=False),
)
Index(
    "schedule_due",
    schedule.c.next_due,
    postgresql_where=schedule.c.next_due.isnot(None),
    sqlite_where=schedule.c.next_due.isnot(None),
)

Index(
    "schedule_follows",
    schedule.c.follows,
    postgresql_where=schedule.c.follows.isnot(None),
    sqlite_where=schedule.c.follows.isnot(None),
)

schedule_fire = Table(
    "schedule_fire",
    metadata,
    Column("schedule", Text, primary_key=True),
    Column("due", Moment, primary_key=True),
    Column("job_id", Id),  # null: skipped by the misfire or overlap policy
    Column("fired", Moment, nullable=False),
    # Nobody has looked yet whether its job succeeded, for the schedules that follow this one.
    Column("pending", Boolean, nullable=False, server_default=text("false")),
)
Index(
    "schedule_fire_pending",
    schedule_fire.c.schedule,
    schedule_fire.c.due,
    postgresql_where=schedule_fire.c.pending,
    sqlite_where=schedule_fire.c.pending,
)

worker = Table(
    "worker",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("role", Text, nullable=False),
    Column("queues", Text, nullable=False),
    Column("plugins", Text, nullable=False),
    Column("started", Moment, nullable=False),
    # By the lease's clock (`Dialect.clock`).
    Column("beat", Moment, nullable=False),
    Column("lease", Float, nullable=False),
    Column("stopped", Moment),
    sqlite_autoincrement=True,  # a number is never given twice: it is half of the fence
)

leader = Table(
    "leader",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("term", BigInteger, nullable=False),
    Column("until", Moment, nullable=False),
    Column("lease", Float, nullable=False, server_default=text("8")),  # seconds
)

command = Table(
    "command",
    metadata,
    Column("n", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("data", Text),
    Column("created", Moment, nullable=False),
    sqlite_autoincrement=True,
)

queue_state = Table(
    "queue_state",
    metadata,
    Column("queue", Text, primary_key=True),
    Column("paused", Moment),
    Column("paused_by", Text),
)

notification = Table(
    "notification",
    metadata,
    Column("id", Id, primary_key=True),
    Column("person", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("created", Moment, nullable=False),
)
Index("notification_person", notification.c.person, notification.c.created)

delivery = Table(
    "delivery",
    metadata,
    Column("notification_id", Id, primary_key=True),
    Column("channel", Text, primary_key=True),  # masked address
    Column("state", Text, nullable=False),  # delivered | failed
    Column("attempts", Integer, nullable=False),
    Column("error", Text),
    Column("updated", Moment, nullable=False),
)

set_aside = Table(
    "set_aside",
    metadata,
    Column("kind", Text, primary_key=True),  # message | follow-up | duty
    Column("target", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("times", Integer, nullable=False),
    Column("first", Moment, nullable=False),
    Column("last", Moment, nullable=False),
)
Index("set_aside_last", set_aside.c.last)
