"""What each stream's cursor belongs to: a stream that is pointed elsewhere begins anew."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sync_stream", sa.Column("source", sa.Text))
