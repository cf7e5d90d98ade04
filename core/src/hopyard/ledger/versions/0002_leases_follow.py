"""Leaders' leases have a length, fires know if followers were looked at."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # No leader's lease of the release before was longer than these seconds.
    op.add_column("leader", sa.Column("lease", sa.Float, nullable=False, server_default=sa.text("8")))
    op.add_column(
        "schedule_fire", sa.Column("pending", sa.Boolean, nullable=False, server_default=sa.text("false"))
    )
    op.create_index(
        "schedule_fire_pending",
        "schedule_fire",
        ["schedule", "due"],
        postgresql_where=sa.text("pending"),
        sqlite_where=sa.text("pending"),
    )
    # The jobs of these may succeed after the upgrade, or have succeeded just before.
    op.execute(
        "UPDATE schedule_fire SET pending = true WHERE job_id IS NOT NULL "
        "AND schedule IN (SELECT follows FROM schedule WHERE follows IS NOT NULL)"
    )
