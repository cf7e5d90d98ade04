"""The ledger's tables and the two views, as release 0.1.0 made them.

Nothing here may follow what the program is today: a database of that release has exactly these tables.
"""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, UUID

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Id = sa.Text().with_variant(UUID(as_uuid=False), "postgresql")
Ids = sa.Text().with_variant(ARRAY(UUID(as_uuid=False)), "postgresql")
Moment = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")

metadata = sa.MetaData()


def _job_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("id", Id, primary_key=True),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("headers", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("crashes", sa.SmallInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("worker", sa.BigInteger),
        sa.Column("claim", sa.BigInteger),
        sa.Column("cancel", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("created", Moment, nullable=False),
        sa.Column("eta", Moment),
        sa.Column("rung", Moment),
        sa.Column("started", Moment),
        sa.Column("attempts", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("schedule", sa.Text),
        sa.Column("due", Moment),
        sa.Column("parent", Id),
        sa.Column("root", Id),
        sa.Column("person", sa.Text),
        sa.Column("job_group", Id),
        sa.Column("origin", sa.Text),
        sa.Column("replay_of", Id),
        # Something follows it: a chain, links, or the body of a chord (`following.py`).
        sa.Column("linked", sa.Boolean, nullable=False, server_default=sa.text("false")),
    ]


job_live = sa.Table(
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
sa.Index(
    "job_live_queue",
    job_live.c.queue,
    job_live.c.id,
    postgresql_where=sa.text("queue > ''"),
    sqlite_where=sa.text("queue > ''"),
)
sa.Index(
    "job_live_eta",
    job_live.c.eta,
    postgresql_where=job_live.c.eta.isnot(None),
    sqlite_where=job_live.c.eta.isnot(None),
)

job_history = sa.Table(
    "job_history",
    metadata,
    *_job_columns(),
    sa.Column("finished", Moment, nullable=False),
    sa.Column("result", sa.Text),
    sa.Column("error", sa.Text),
)
sa.Index("job_history_finished", job_history.c.finished)

job_outbox = sa.Table(
    "job_outbox",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("created", Moment, nullable=False),
    # Of an entry that stands for many jobs, which were stored at once: then `id` is its own.
    sa.Column("jobs", Ids),
)

ledger_identity = sa.Table(
    "ledger_identity",
    metadata,
    # Tells this ledger from any other, by whatever address it is reached.
    sa.Column("id", Id, primary_key=True),
)

job_key = sa.Table(
    "job_key",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("job_id", Id, nullable=False),
    sa.Column("until", Moment),
)

job_follow = sa.Table(
    "job_follow",
    metadata,
    # A linked job that is over, and whose followers are not stored yet.
    sa.Column("id", Id, primary_key=True),
    sa.Column("created", Moment, nullable=False),
)

job_group = sa.Table(
    "job_group",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("remaining", sa.Integer, nullable=False),
    sa.Column("created", Moment, nullable=False),
)

job_part = sa.Table(
    "job_part",
    metadata,
    sa.Column("group_id", Id, primary_key=True),
    sa.Column("member", Id, primary_key=True),
    sa.Column("n", sa.Integer, nullable=False),  # its place among the arguments of the body
    sa.Column("result", sa.Text, nullable=False),
)

job_progress = sa.Table(
    "job_progress",
    metadata,
    sa.Column("job_id", Id, primary_key=True),
    sa.Column("current", sa.Float, nullable=False),
    sa.Column("total", sa.Float),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("updated", Moment, nullable=False),
)

job_checkpoint = sa.Table(
    "job_checkpoint",
    metadata,
    sa.Column("job_id", Id, primary_key=True),
    sa.Column("data", sa.Text, nullable=False),
    sa.Column("updated", Moment, nullable=False),
)

job_effect = sa.Table(
    "job_effect",
    metadata,
    sa.Column("job_id", Id, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("data", sa.Text),
    sa.Column("updated", Moment, nullable=False),
)

job_event = sa.Table(
    "job_event",
    metadata,
    sa.Column("n", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("job_id", Id, nullable=False),
    sa.Column("state", sa.SmallInteger, nullable=False),
    sa.Column("at", Moment, nullable=False),
)

schedule = sa.Table(
    "schedule",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, nullable=False),  # plugin | settings | user
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("declared", sa.Text),  # JSON of the plugin's or the settings' schedule; null for a user's own
    sa.Column("edited", sa.Text),  # JSON of what a user made or changed
    sa.Column("rule", sa.Text, nullable=False),  # the effective values from here on
    sa.Column("follows", sa.Text),  # of a rule `after` another schedule: that one's name
    sa.Column("kwargs", sa.Text, nullable=False),
    sa.Column("misfire", sa.Text, nullable=False),
    sa.Column("overlap", sa.Text, nullable=False),
    sa.Column("catch_up", sa.Float, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("person", sa.Text),
    sa.Column("next_due", Moment),
    sa.Column("last_due", Moment),
    sa.Column("updated", Moment, nullable=False),
)
sa.Index(
    "schedule_due",
    schedule.c.next_due,
    postgresql_where=schedule.c.next_due.isnot(None),
    sqlite_where=schedule.c.next_due.isnot(None),
)

sa.Index(
    "schedule_follows",
    schedule.c.follows,
    postgresql_where=schedule.c.follows.isnot(None),
    sqlite_where=schedule.c.follows.isnot(None),
)

schedule_fire = sa.Table(
    "schedule_fire",
    metadata,
    sa.Column("schedule", sa.Text, primary_key=True),
    sa.Column("due", Moment, primary_key=True),
    sa.Column("job_id", Id),  # null: skipped by the misfire or overlap policy
    sa.Column("fired", Moment, nullable=False),
)

worker = sa.Table(
    "worker",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("queues", sa.Text, nullable=False),
    sa.Column("plugins", sa.Text, nullable=False),
    sa.Column("started", Moment, nullable=False),
    # The lease's clock: the database's on PostgreSQL, the machine's time since boot on SQLite.
    sa.Column("beat", Moment, nullable=False),
    sa.Column("lease", sa.Float, nullable=False),
    sa.Column("stopped", Moment),
    sqlite_autoincrement=True,  # a number is never given twice: it is half of the fence
)

leader = sa.Table(
    "leader",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("term", sa.BigInteger, nullable=False),
    sa.Column("until", Moment, nullable=False),
)

command = sa.Table(
    "command",
    metadata,
    sa.Column("n", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("data", sa.Text),
    sa.Column("created", Moment, nullable=False),
    sqlite_autoincrement=True,
)

queue_state = sa.Table(
    "queue_state",
    metadata,
    sa.Column("queue", sa.Text, primary_key=True),
    sa.Column("paused", Moment),
    sa.Column("paused_by", sa.Text),
)

notification = sa.Table(
    "notification",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("person", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
    sa.Column("created", Moment, nullable=False),
)
sa.Index("notification_person", notification.c.person, notification.c.created)

delivery = sa.Table(
    "delivery",
    metadata,
    sa.Column("notification_id", Id, primary_key=True),
    sa.Column("channel", sa.Text, primary_key=True),  # masked address
    sa.Column("state", sa.Text, nullable=False),  # delivered | failed
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("updated", Moment, nullable=False),
)


def upgrade() -> None:
    connection = op.get_bind()
    metadata.create_all(connection)
    connection.execute(sa.text("INSERT INTO ledger_identity (id) VALUES (:id)"), {"id": str(uuid.uuid4())})
    sqlite = connection.dialect.name == "sqlite"
    for statement in (_active(sqlite), _overview(sqlite)):
        op.execute(statement)


def _active(sqlite: bool) -> str:
    def when(column: str) -> str:
        return f"strftime('%Y-%m-%dT%H:%M:%fZ', {column} / 1000000.0, 'unixepoch')" if sqlite else column

    return f"""
CREATE VIEW active_task_progress AS
SELECT j.id AS task_id, j.task, j.queue,
       CASE j.state WHEN 0 THEN 'scheduled' WHEN 1 THEN 'queued' WHEN 2 THEN 'running'
                    WHEN 3 THEN 'retrying' WHEN 4 THEN 'parked' END AS state,
       j.attempt, j.worker, {when("j.created")} AS created_at, {when("j.started")} AS started_at,
       p.current, p.total, CASE WHEN p.total > 0 THEN 100.0 * p.current / p.total END AS percentage,
       p.message, {when("p.updated")} AS updated_at
  FROM job_live j LEFT JOIN job_progress p ON p.job_id = j.id"""


def _overview(sqlite: bool) -> str:
    if sqlite:
        seconds = "(finished - started) / 1000000.0"
        last = "strftime('%Y-%m-%dT%H:%M:%fZ', max(finished) / 1000000.0, 'unixepoch')"
    else:
        seconds, last = "extract(epoch FROM finished - started)::float8", "max(finished)"
    return f"""
CREATE VIEW task_performance_overview AS
SELECT task, count(*) AS jobs,
       sum(CASE WHEN state = 5 THEN 1 ELSE 0 END) AS succeeded,
       sum(CASE WHEN state = 6 THEN 1 ELSE 0 END) AS dead,
       sum(CASE WHEN state = 7 THEN 1 ELSE 0 END) AS cancelled,
       1.0 * sum(CASE WHEN state = 5 THEN 1 ELSE 0 END) / count(*) AS success_rate,
       avg(CASE WHEN attempt > 1 THEN attempt - 1 ELSE 0 END) AS average_retries,
       avg({seconds}) AS average_seconds, max({seconds}) AS longest_seconds, {last} AS last_finished_at
  FROM job_history GROUP BY task"""
