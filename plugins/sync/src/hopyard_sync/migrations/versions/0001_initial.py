"""Connections and where each stands; events, records, Notion pages, mail; what was set aside."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from hopyard.storage import Id, Moment

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    _state()
    _calendars()
    _stores()
    _mail()


def _state() -> None:
    op.create_table(
        "sync_connection",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("holder", sa.Text),
        sa.Column("job", sa.Text),
        sa.Column("held_until", Moment),
        sa.Column("started", Moment),
        sa.Column("ended", Moment),
        sa.Column("succeeded", Moment),
        sa.Column("told", sa.Text),
        sa.Column("report", sa.Text),
    )
    op.create_table(
        "sync_stream",
        sa.Column("connection", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("cursor", sa.Text),
        sa.Column("position", sa.Text),
        sa.Column("pass_number", sa.BigInteger, nullable=False),
        sa.Column("completed", Moment),
    )
    op.create_table(
        "sync_limit",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("free_at", Moment, nullable=False),
    )
    op.create_table(
        "sync_token",
        sa.Column("connection", sa.Text, primary_key=True),
        sa.Column("sealed", sa.Text, nullable=False),
    )
    op.create_table(
        "sync_set_aside",
        sa.Column("id", Id, primary_key=True),
        sa.Column("connection", sa.Text, nullable=False),
        sa.Column("stream", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("content", sa.Text),
        sa.Column("at", Moment, nullable=False),
    )
    op.create_index("sync_set_aside_connection", "sync_set_aside", ["connection", "at"])


def _calendars() -> None:
    op.create_table(
        "sync_event",
        sa.Column("connection", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("id", Id, nullable=False, unique=True),
        sa.Column("uid", sa.Text, nullable=False),
        sa.Column("series", sa.Text),
        sa.Column("etag", sa.Text, nullable=False),
        sa.Column("ics", sa.Text, nullable=False),
        sa.Column("starts", Moment),
        sa.Column("ends", Moment),
        sa.Column("pass_number", sa.BigInteger, nullable=False),
        sa.Column("changed", Moment, nullable=False),
    )
    op.create_index("sync_event_uid", "sync_event", ["connection", "uid"])
    op.create_index("sync_event_starts", "sync_event", ["connection", "starts"])
    op.create_table(
        "sync_pair",
        sa.Column("connection", sa.Text, primary_key=True),
        sa.Column("uid", sa.Text, primary_key=True),
        sa.Column("a_name", sa.Text, nullable=False),
        sa.Column("a_etag", sa.Text, nullable=False),
        sa.Column("b_name", sa.Text, nullable=False),
        sa.Column("b_etag", sa.Text, nullable=False),
    )


def _stores() -> None:
    op.create_table(
        "sync_record",
        sa.Column("connection", sa.Text, primary_key=True),
        sa.Column("stream", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("pass_number", sa.BigInteger, nullable=False),
        sa.Column("changed", Moment, nullable=False),
    )
    op.create_table(
        "sync_notion_page",
        sa.Column("connection", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("object", sa.Text, nullable=False),
        sa.Column("parent", sa.Text),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("url", sa.Text),
        sa.Column("edited", sa.Text, nullable=False),
        sa.Column("properties", sa.Text, nullable=False),
        sa.Column("blocks", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("cut", sa.Boolean, nullable=False),
        sa.Column("gone", Moment),
        sa.Column("pass_number", sa.BigInteger, nullable=False),
        sa.Column("changed", Moment, nullable=False),
    )


def _mail() -> None:
    op.create_table(
        "sync_folder",
        sa.Column("connection", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("uidvalidity", sa.BigInteger, nullable=False),
        sa.Column("last_uid", sa.BigInteger, nullable=False),
        sa.Column("modseq", sa.Text),
        sa.Column("gone", Moment),
    )
    op.create_table(
        "sync_message",
        sa.Column("connection", sa.Text, primary_key=True),
        sa.Column("folder", sa.Text, primary_key=True),
        sa.Column("uidvalidity", sa.BigInteger, primary_key=True),
        sa.Column("uid", sa.BigInteger, primary_key=True),
        sa.Column("message_id", sa.Text),
        sa.Column("sender", sa.Text),
        sa.Column("recipients", sa.Text),
        sa.Column("subject", sa.Text),
        sa.Column("sent", Moment),
        sa.Column("received", Moment),
        sa.Column("flags", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("cut", sa.Boolean, nullable=False),
        sa.Column("gone", Moment),
    )
    op.create_index("sync_message_received", "sync_message", ["connection", "received"])
