"""Resources that jobs hold while they run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

Id = sa.Text().with_variant(UUID(as_uuid=False), "postgresql")
Moment = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "job_resource",
        sa.Column("job_id", Id, primary_key=True),
        sa.Column("resource", sa.Text, primary_key=True),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("claim", sa.BigInteger),
        sa.Column("since", Moment, nullable=False),
        sa.Column("called", Moment),
    )
