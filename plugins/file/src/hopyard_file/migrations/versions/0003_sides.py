"""What the two sides of a connection are, so that what was known of others is not taken for theirs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("file_cloud_connection", sa.Column("sides", sa.Text))
