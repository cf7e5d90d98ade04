"""A unique key is its task's: keys that are held get their task's name in front."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("job_live", "job_history"):
        task = f"SELECT j.task FROM {table} j WHERE j.id = job_key.job_id"
        op.execute(f"UPDATE job_key SET key = ({task}) || ':' || key WHERE EXISTS ({task})")
