"""Plugins that somebody has disabled while processes run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

Moment = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "plugin_switch",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("at", Moment, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
    )
