"""On SQLite a transaction tells of the jobs that it ended (`sqlite_ended.py`), not a trigger for each."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER job_history_insert")
