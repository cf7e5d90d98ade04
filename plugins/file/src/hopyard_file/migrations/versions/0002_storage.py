"""How backups ended; connections to clouds, what both sides had at the last sync, what was set aside."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from hopyard.storage import Id, Moment

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "file_backup_state",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("ended", Moment),
        sa.Column("succeeded", Moment),
        sa.Column("report", sa.Text),
    )
    op.create_table(
        "file_cloud_connection",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("holder", sa.Text),
        sa.Column("job", sa.Text),
        sa.Column("held_until", Moment),
        sa.Column("started", Moment),
        sa.Column("ended", Moment),
        sa.Column("succeeded", Moment),
        sa.Column("told", sa.Text),
        sa.Column("report", sa.Text),
    )
    op.create_table(
        "file_cloud_entry",
        sa.Column("connection", sa.Text, primary_key=True),
        sa.Column("path", sa.Text, primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("here", sa.Text, nullable=False),
        sa.Column("there", sa.Text, nullable=False),
    )
    op.create_table(
        "file_cloud_set_aside",
        sa.Column("id", Id, primary_key=True),
        sa.Column("connection", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", Moment, nullable=False),
    )
    op.create_index("file_cloud_set_aside_connection", "file_cloud_set_aside", ["connection"])
