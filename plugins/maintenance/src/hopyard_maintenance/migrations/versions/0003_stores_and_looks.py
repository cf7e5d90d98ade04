"""Where each key is kept, which may change for later ones; when a state was last looked at."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from hopyard.storage import Moment

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("maintenance_key", sa.Column("store", sa.Text))
    for name in ("store", "old_store"):
        op.add_column("maintenance_rotation", sa.Column(name, sa.Text))
    op.add_column("maintenance_state", sa.Column("seen", Moment))
