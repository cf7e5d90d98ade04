"""What is read of jobs while they change: events, counts by minute, log lines, and indexes for lists.

Triggers write events and counts, so that no statement that changes a job can forget to. On PostgreSQL they
run once a statement, whatever the number of jobs.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, UUID

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

Id = sa.Text().with_variant(UUID(as_uuid=False), "postgresql")
Ids = sa.Text().with_variant(ARRAY(UUID(as_uuid=False)), "postgresql")
Moment = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")
Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")

_POSTGRES = (
    """
CREATE FUNCTION hopyard_job_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO job_event (at, jobs) SELECT now(), array_agg(id) FROM changed HAVING count(*) > 0;
  RETURN NULL;
END $$""",
    # Each connection counts in rows of its own (`shard`): two that end jobs of one task at the same time
    # would wait for each other's commit.
    """
CREATE FUNCTION hopyard_job_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO job_event (at, jobs) SELECT now(), array_agg(id) FROM changed HAVING count(*) > 0;
  INSERT INTO job_minute AS m (minute, task, queue, state, shard, jobs, began, waited, ran)
  SELECT date_trunc('minute', finished), task, queue, state, pg_backend_pid(), count(*), count(started),
         coalesce(sum(extract(epoch FROM started - coalesce(eta, created))), 0),
         coalesce(sum(extract(epoch FROM finished - started)), 0)
    FROM changed GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
  ON CONFLICT (minute, task, queue, state, shard)
  DO UPDATE SET jobs = m.jobs + excluded.jobs, began = m.began + excluded.began,
                waited = m.waited + excluded.waited, ran = m.ran + excluded.ran;
  RETURN NULL;
END $$""",
    *(
        f"CREATE TRIGGER {table}_{what.lower()} AFTER {what} ON {table} "
        f"REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
        for table, what, function in (
            ("job_live", "INSERT", "hopyard_job_changed"),
            ("job_live", "UPDATE", "hopyard_job_changed"),
            ("job_history", "INSERT", "hopyard_job_ended"),
        )
    ),
)
_NOW = "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"
_EVENT = f"INSERT INTO job_event (at, jobs) VALUES ({_NOW}, json_array(NEW.id));"
_SQLITE = (
    f"CREATE TRIGGER job_live_insert AFTER INSERT ON job_live BEGIN {_EVENT} END",
    f"CREATE TRIGGER job_live_update AFTER UPDATE ON job_live BEGIN {_EVENT} END",
    f"""
CREATE TRIGGER job_history_insert AFTER INSERT ON job_history BEGIN
  {_EVENT}
  INSERT INTO job_minute (minute, task, queue, state, shard, jobs, began, waited, ran)
  VALUES (NEW.finished / 60000000 * 60000000, NEW.task, NEW.queue, NEW.state, 0, 1, NEW.started IS NOT NULL,
          coalesce((NEW.started - coalesce(NEW.eta, NEW.created)) / 1e6, 0),
          coalesce((NEW.finished - NEW.started) / 1e6, 0))
  ON CONFLICT (minute, task, queue, state, shard)
  DO UPDATE SET jobs = jobs + 1, began = began + excluded.began,
                waited = waited + excluded.waited, ran = ran + excluded.ran;
END""",
)


def upgrade() -> None:
    op.drop_table("job_event")  # nothing ever wrote to it
    op.create_table(
        "job_event",
        sa.Column("n", Number, primary_key=True, autoincrement=True),
        sa.Column("at", Moment, nullable=False),
        sa.Column("jobs", Ids, nullable=False),
    )
    op.create_table(
        "job_minute",
        sa.Column("minute", Moment, primary_key=True),
        sa.Column("task", sa.Text, primary_key=True),
        sa.Column("queue", sa.Text, primary_key=True),
        sa.Column("state", sa.SmallInteger, primary_key=True),
        sa.Column("shard", sa.Integer, primary_key=True),
        sa.Column("jobs", sa.BigInteger, nullable=False),
        sa.Column("began", sa.BigInteger, nullable=False),
        sa.Column("waited", sa.Float, nullable=False),
        sa.Column("ran", sa.Float, nullable=False),
    )
    op.create_table(
        "job_log",
        sa.Column("job_id", Id, primary_key=True),
        sa.Column("n", sa.Integer, primary_key=True),
        sa.Column("at", Moment, nullable=False),
        sa.Column("level", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
    )
    op.create_index("job_live_created", "job_live", ["created"])
    op.create_index("job_history_task", "job_history", ["task", "finished"])
    for column, condition in (
        ("person", "person IS NOT NULL"),
        ("schedule", "schedule IS NOT NULL"),
        ("parent", "parent IS NOT NULL"),
    ):
        for table, last in (("job_live", "created"), ("job_history", "finished")):
            op.create_index(
                f"{table}_{column}",
                table,
                [column, last],
                postgresql_where=sa.text(condition),
                sqlite_where=sa.text(condition),
            )
    failed = sa.text("state <> 5")
    op.create_index(
        "job_history_failed", "job_history", ["finished"], postgresql_where=failed, sqlite_where=failed
    )
    for statement in _POSTGRES if op.get_bind().dialect.name == "postgresql" else _SQLITE:
        op.execute(statement)
