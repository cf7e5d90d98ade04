"""What both sides of a calendar said at the last sync: an ETag that changes by itself is no change."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; what is there gets its mark when it is written or read next."""
    op.add_column("sync_pair", sa.Column("mark", sa.Text))
