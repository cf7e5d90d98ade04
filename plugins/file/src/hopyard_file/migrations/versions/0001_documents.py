"""Documents by content and by place, pages that OCR has read, and batches of files."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from hopyard.storage import Id, Moment

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _contents()
    op.create_table(
        "file_batch",
        sa.Column("job", Id, primary_key=True),
        sa.Column("root", sa.Text, nullable=False),
        sa.Column("created", Moment, nullable=False),
        sa.Column("listed", sa.Boolean, nullable=False),
    )
    op.create_index("file_batch_created", "file_batch", ["created"])
    op.create_table(
        "file_batch_item",
        sa.Column("job", Id, primary_key=True),
        sa.Column("n", sa.Integer, primary_key=True),
        sa.Column("way", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("sha256", sa.Text),
        sa.Column("seconds", sa.Float),
    )
    op.create_index("file_batch_item_state", "file_batch_item", ["job", "state", "n"])


def _contents() -> None:
    op.create_table(
        "file_content",
        sa.Column("sha256", sa.Text, primary_key=True),
        sa.Column("reading", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("media_type", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("pages", sa.Integer),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("at", Moment, nullable=False),
    )
    op.create_index("file_content_at", "file_content", ["at"])
    op.create_table(
        "file_page",
        sa.Column("sha256", sa.Text, primary_key=True),
        sa.Column("reading", sa.Text, primary_key=True),
        sa.Column("page", sa.Integer, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("confidence", sa.Float),
        sa.Column("problem", sa.Text),
        sa.Column("at", Moment, nullable=False),
    )
    op.create_table(
        "file_document",
        sa.Column("root", sa.Text, primary_key=True),
        sa.Column("way", sa.Text, primary_key=True),
        sa.Column("sha256", sa.Text),
        sa.Column("reading", sa.Text),
        sa.Column("size", sa.BigInteger),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("problem", sa.Text),
        sa.Column("notes", sa.Text, nullable=False),
        sa.Column("summary", sa.Text),
        sa.Column("categories", sa.Text),
        sa.Column("analysis", sa.Text),
        sa.Column("job", Id),
        sa.Column("person", sa.Text),
        sa.Column("at", Moment, nullable=False),
    )
    op.create_index("file_document_at", "file_document", ["at"])
    op.create_index("file_document_sha256", "file_document", ["sha256"])
