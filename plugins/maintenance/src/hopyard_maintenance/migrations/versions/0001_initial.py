"""Samples of resource use, and the last known state of what is watched."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from hopyard.storage import Moment

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "maintenance_sample",
        sa.Column("at", Moment, primary_key=True),
        sa.Column("data", sa.Text, nullable=False),
    )
    op.create_table(
        "maintenance_state",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("ok", sa.Boolean, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("changed", Moment, nullable=False),
    )
