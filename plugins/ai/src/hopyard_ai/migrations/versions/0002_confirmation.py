"""Requests that a model has read wait until their person has confirmed them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from hopyard.storage import Moment

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("ai_request", sa.Column("said", sa.Text))
    op.add_column("ai_request", sa.Column("expires", Moment))
