"""Lengths of leases, history by creation, fires that followers wait for, and what was set aside."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

Moment = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # No leader's lease of the release before was longer than these seconds.
    op.add_column("leader", sa.Column("lease", sa.Float, nullable=False, server_default=sa.text("8")))
    op.create_index("job_history_created", "job_history", ["created"])
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
    op.create_table(
        "set_aside",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("target", sa.Text, primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("times", sa.Integer, nullable=False),
        sa.Column("first", Moment, nullable=False),
        sa.Column("last", Moment, nullable=False),
    )
    # The jobs of these may succeed after the upgrade, or have succeeded just before.
    op.execute(
        "UPDATE schedule_fire SET pending = true WHERE job_id IS NOT NULL "
        "AND schedule IN (SELECT follows FROM schedule WHERE follows IS NOT NULL)"
    )
