"""What was heard and seen of recordings, which recordings those are, and batches of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from hopyard.storage import Moment

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "media_result",
        sa.Column("sha256", sa.Text, primary_key=True),
        sa.Column("options", sa.Text, primary_key=True),
        sa.Column("step", sa.Text, primary_key=True),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("made", Moment, nullable=False),
    )
    op.create_index("media_result_made", "media_result", ["made"])
    op.create_table(
        "media_recording",
        sa.Column("root", sa.Text, primary_key=True),
        sa.Column("way", sa.Text, primary_key=True),
        sa.Column("sha256", sa.Text),
        sa.Column("duration", sa.Float),
        sa.Column("transcript", sa.Text),  # the `options` of its results
        sa.Column("video", sa.Text),  # the last report of `media.process_video`
        sa.Column("problem", sa.Text),
        sa.Column("seen", Moment, nullable=False),
    )
    op.create_index("media_recording_seen", "media_recording", ["seen"])
    op.create_table(
        "media_batch",
        sa.Column("job", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("root", sa.Text, nullable=False),
        sa.Column("way", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("result", sa.Text),
        sa.Column("made", Moment, nullable=False),
    )
    op.create_index("media_batch_made", "media_batch", ["made"])
