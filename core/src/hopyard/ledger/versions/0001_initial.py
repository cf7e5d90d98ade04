"""The ledger's tables and the two views.

The tables are created as they stand in `tables.py` at this revision; later revisions change them step by
step, and a test compares the sum of all revisions with `tables.py`.
"""

from __future__ import annotations

from alembic import op
from hopyard.ledger.tables import ledger_identity, metadata
from hopyard.ledger.values import new_id
from hopyard.specs import State

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind()
    metadata.create_all(connection)
    connection.execute(ledger_identity.insert().values(id=new_id()))
    sqlite = connection.dialect.name == "sqlite"
    for statement in (_active(sqlite), _overview(sqlite)):
        op.execute(statement)


def _active(sqlite: bool) -> str:
    def when(column: str) -> str:
        return f"strftime('%Y-%m-%dT%H:%M:%fZ', {column} / 1000000.0, 'unixepoch')" if sqlite else column

    labels = " ".join(f"WHEN {state:d} THEN '{state.label}'" for state in State)
    return f"""
CREATE VIEW active_task_progress AS
SELECT j.id AS task_id, j.task, j.queue, CASE j.state {labels} END AS state, j.attempt, j.worker,
       {when("j.created")} AS created_at, {when("j.started")} AS started_at,
       p.current, p.total, CASE WHEN p.total > 0 THEN 100.0 * p.current / p.total END AS percentage,
       p.message, {when("p.updated")} AS updated_at
  FROM job_live j LEFT JOIN job_progress p ON p.job_id = j.id"""


def _overview(sqlite: bool) -> str:
    seconds = (
        "(finished - started) / 1000000.0" if sqlite else "extract(epoch FROM finished - started)::float8"
    )
    last = (
        "strftime('%Y-%m-%dT%H:%M:%fZ', max(finished) / 1000000.0, 'unixepoch')"
        if sqlite
        else "max(finished)"
    )

    def count(state: State) -> str:
        return f"sum(CASE WHEN state = {state:d} THEN 1 ELSE 0 END)"

    return f"""
CREATE VIEW task_performance_overview AS
SELECT task, count(*) AS jobs, {count(State.SUCCEEDED)} AS succeeded, {count(State.DEAD)} AS dead,
       {count(State.CANCELLED)} AS cancelled,
       1.0 * {count(State.SUCCEEDED)} / count(*) AS success_rate,
       avg(CASE WHEN attempt > 1 THEN attempt - 1 ELSE 0 END) AS average_retries,
       avg({seconds}) AS average_seconds, max({seconds}) AS longest_seconds, {last} AS last_finished_at
  FROM job_history GROUP BY task"""
