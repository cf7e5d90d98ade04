"""People's requests, and each time that one was acted on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from hopyard.storage import Id, Moment

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ai_request",
        sa.Column("id", Id, primary_key=True),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("instruction", sa.Text, nullable=False),
        sa.Column("rule", sa.Text),
        sa.Column("zone", sa.Text, nullable=False),
        sa.Column("phrase", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("after_id", Id),
        sa.Column("answers", sa.Text, nullable=False),
        sa.Column("created", Moment, nullable=False),
        sa.Column("updated", Moment, nullable=False),
    )
    op.create_index("ai_request_person", "ai_request", ["person", "id"])
    op.create_index("ai_request_after", "ai_request", ["after_id"])
    op.create_table(
        "ai_run",
        sa.Column("id", Id, primary_key=True),
        sa.Column("request_id", Id, nullable=False),
        sa.Column("due", Moment, nullable=False),
        sa.Column("job_id", Id, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("postponed", sa.Integer, nullable=False),
        sa.Column("decision", sa.Text),
        sa.Column("answer", sa.Text),
        sa.Column("calls", sa.Text),
        sa.Column("pending", sa.Text),
        sa.Column("messages", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("steps", sa.Integer),
        sa.Column("tokens", sa.Integer),
        sa.Column("cost", sa.Float),
        sa.Column("started", Moment, nullable=False),
        sa.Column("finished", Moment),
    )
    op.create_index("ai_run_request", "ai_run", ["request_id", "id"])
