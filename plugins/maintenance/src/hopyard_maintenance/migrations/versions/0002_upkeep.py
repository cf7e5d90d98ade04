"""Health by history, steady and flapping states, samples by host, keys and their rotation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from hopyard.storage import Id, Moment

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _what_is_watched()
    op.create_table(
        "maintenance_turn",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("job_id", Id, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("since", Moment, nullable=False),
    )
    _keys()


def _what_is_watched() -> None:
    op.add_column("maintenance_sample", sa.Column("host", sa.Text, nullable=False, server_default=""))
    for name in ("streak", "changes"):
        op.add_column(
            "maintenance_state", sa.Column(name, sa.Integer, nullable=False, server_default=sa.text("0"))
        )
    for name, default in (("flapping", sa.false()), ("told", sa.true())):
        op.add_column(
            "maintenance_state", sa.Column(name, sa.Boolean, nullable=False, server_default=default)
        )
    op.create_table(
        "maintenance_change",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("n", sa.Integer, primary_key=True),
        sa.Column("at", Moment, nullable=False),
        sa.Column("ok", sa.Boolean, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_index("maintenance_change_at", "maintenance_change", ["at"])
    op.create_table(
        "maintenance_health",
        sa.Column("at", Moment, primary_key=True),
        sa.Column("ok", sa.Boolean, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
    )


def _keys() -> None:
    op.create_table(
        "maintenance_key",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("published", Moment, nullable=False),
    )
    op.create_table(
        "maintenance_rotation",
        sa.Column("id", Id, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text),
        sa.Column("old_version", sa.Text),
        sa.Column("old_id", sa.Text),
        sa.Column("started", Moment, nullable=False),
        sa.Column("updated", Moment, nullable=False),
        sa.Column("revoke_at", Moment),
        sa.Column("error", sa.Text),
    )
    op.create_index("maintenance_rotation_name", "maintenance_rotation", ["name", "started"])
    op.create_table(
        "maintenance_secret",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("version", sa.Text, primary_key=True),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("sealed_by", sa.Text, nullable=False),
        sa.Column("created", Moment, nullable=False),
    )
    op.create_table(
        "maintenance_key_event",
        sa.Column("id", Id, primary_key=True),
        sa.Column("at", Moment, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("rotation", Id),
        sa.Column("step", sa.Text, nullable=False),
        sa.Column("ok", sa.Boolean, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("job_id", Id),
        sa.Column("person", sa.Text),
    )
    op.create_index("maintenance_key_event_name", "maintenance_key_event", ["name", "at"])
