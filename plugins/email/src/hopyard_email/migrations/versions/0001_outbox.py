"""The outbox, its timeline and limits, addresses that get no mail, and mail that came in."""

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
    _outbox()
    _sending()
    _incoming()


def _outbox() -> None:
    op.create_table(
        "email_content",
        sa.Column("id", Id, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("raw", sa.LargeBinary),
        sa.Column("created", Moment, nullable=False),
    )
    op.create_table(
        "email_letter",
        sa.Column("id", Id, primary_key=True),
        sa.Column("content_id", Id, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("recipient_key", sa.Text, nullable=False),
        sa.Column("domain", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("due", Moment, nullable=False),
        sa.Column("expires", Moment, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("sender_id", Id),
        sa.Column("began", Moment),
        sa.Column("look_at", Moment),
        sa.Column("reply", sa.Text),
        sa.Column("status", sa.Text),
        sa.Column("person", sa.Text),
        sa.Column("unsubscribe", sa.Text),
        sa.Column("created", Moment, nullable=False),
        sa.Column("updated", Moment, nullable=False),
    )
    live = sa.text("state IN ('queued', 'claimed', 'sending', 'unknown')")
    op.create_index(
        "email_letter_due",
        "email_letter",
        ["state", "due", "id"],
        postgresql_where=live,
        sqlite_where=live,
    )
    op.create_index("email_letter_recipient", "email_letter", ["recipient_key"])
    op.create_index("email_letter_message", "email_letter", ["message_id"])
    op.create_index("email_letter_content", "email_letter", ["content_id"])
    op.create_index("email_letter_updated", "email_letter", ["updated"])
    op.create_table(
        "email_event",
        sa.Column("id", Id, primary_key=True),
        sa.Column("letter_id", Id, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_index("email_event_letter", "email_event", ["letter_id", "id"])
    op.create_table(
        "email_suppressed",
        sa.Column("address", sa.Text, primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("letter_id", Id),
        sa.Column("created", Moment, nullable=False),
    )


def _sending() -> None:
    op.create_table(
        "email_sender",
        sa.Column("id", Id, primary_key=True),
        sa.Column("job", Id, nullable=False),
        sa.Column("beat", Moment, nullable=False),
    )
    op.create_table("email_limit", sa.Column("name", sa.Text, primary_key=True))
    op.create_table(
        "email_slot",
        sa.Column("id", Id, primary_key=True),
        sa.Column("letter_id", Id, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("sender_id", Id, nullable=False),
        sa.Column("expires", Moment),
    )
    op.create_index("email_slot_name", "email_slot", ["name", "expires"])
    op.create_index("email_slot_letter", "email_slot", ["letter_id"])
    op.create_table(
        "email_account",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("retry_at", Moment, nullable=False),
    )
    op.create_table(
        "email_summary",
        sa.Column("person", sa.Text, primary_key=True),
        sa.Column("day", sa.Text, primary_key=True),
        sa.Column("told_until", Moment, nullable=False),
        sa.Column("content_id", Id),
    )


def _incoming() -> None:
    op.create_table(
        "email_folder",
        sa.Column("mailbox", sa.Text, primary_key=True),
        sa.Column("folder", sa.Text, primary_key=True),
        sa.Column("validity", sa.BigInteger, nullable=False),
        sa.Column("last_uid", sa.BigInteger, nullable=False),
        sa.Column("updated", Moment, nullable=False),
    )
    op.create_table(
        "email_incoming",
        sa.Column("id", Id, primary_key=True),
        sa.Column("mailbox", sa.Text, nullable=False),
        sa.Column("folder", sa.Text, nullable=False),
        sa.Column("validity", sa.BigInteger, nullable=False),
        sa.Column("uid", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("chosen_by", sa.Text, nullable=False),
        sa.Column("problem", sa.Text),
        sa.Column("action", sa.Text),
        sa.Column("acted", sa.Boolean, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("received", Moment),
        sa.Column("created", Moment, nullable=False),
        sa.UniqueConstraint("mailbox", "folder", "validity", "uid"),
    )
    op.create_index("email_incoming_digest", "email_incoming", ["mailbox", "folder", "digest"])
    op.create_index("email_incoming_created", "email_incoming", ["created"])
    waiting = sa.text("NOT acted")
    op.create_index(
        "email_incoming_action",
        "email_incoming",
        ["mailbox", "folder"],
        postgresql_where=waiting,
        sqlite_where=waiting,
    )
