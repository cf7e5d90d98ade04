"""Texts: answers kept for equal questions, what jobs spent, templates, categories, vectors, limits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from hopyard.storage import Id, Moment

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ai_answer",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("created", Moment, nullable=False),
    )
    op.create_index("ai_answer_created", "ai_answer", ["created"])
    op.create_table(
        "ai_usage",
        sa.Column("job_id", Id, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("person", sa.Text),
        sa.Column("requests", sa.Integer, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("cost", sa.Float),
        sa.Column("at", Moment, nullable=False),
    )
    op.create_index("ai_usage_at", "ai_usage", ["at"])
    op.create_index("ai_usage_person", "ai_usage", ["person", "at"])
    op.create_table(
        "ai_limit",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("free_at", Moment, nullable=False),
    )
    op.create_table(
        "ai_template",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("about", sa.Text, nullable=False),
        sa.Column("created", Moment, nullable=False),
        sa.Column("withdrawn", Moment),
    )
    op.create_table(
        "ai_category",
        sa.Column("taxonomy", sa.Text, primary_key=True),
        sa.Column("category", sa.Text, primary_key=True),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("learned", sa.Boolean, nullable=False),
        sa.Column("created", Moment, nullable=False),
    )
    op.create_table(
        "ai_sorted",
        sa.Column("taxonomy", sa.Text, primary_key=True),
        sa.Column("item", sa.Text, primary_key=True),
        sa.Column("category", sa.Text, primary_key=True),
        sa.Column("confidence", sa.Float, nullable=False),
        sa.Column("job_id", Id, nullable=False),
        sa.Column("at", Moment, nullable=False),
    )
    op.create_index("ai_sorted_category", "ai_sorted", ["taxonomy", "category"])
    op.create_table(
        "ai_vector",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("hash", sa.Text, primary_key=True),
        sa.Column("vector", sa.LargeBinary, nullable=False),
        sa.Column("created", Moment, nullable=False),
    )
    op.create_table(
        "ai_embedding",
        sa.Column("collection", sa.Text, primary_key=True),
        sa.Column("item", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("meta", sa.Text, nullable=False),
        sa.Column("at", Moment, nullable=False),
    )
    op.create_index("ai_embedding_vector", "ai_embedding", ["model", "hash"])
