"""Limits of several kinds, reservations that end, and messages that wait to be sent."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("campaigns", sa.Column("rules", sa.JSON(), nullable=True))
    op.create_table(
        "channel_caps",
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("num", sa.Integer(), nullable=False),
        sa.Column("days", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("channel"),
    )
    op.create_table(
        "suppressions",
        sa.Column("user_id", sa.String(length=128), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("suppressed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id"),
    )
    op.add_column("reservations", sa.Column("channel", sa.String(length=32), nullable=True))
    held = sa.Column("state", sa.String(length=16), nullable=False, server_default="held")
    op.add_column("reservations", held)
    op.add_column("reservations", sa.Column("expires_at", sa.BigInteger(), nullable=True))
    op.add_column("reservations", sa.Column("exclusion_group", sa.String(128), nullable=True))
    op.add_column("reservations", sa.Column("excludes_until", sa.BigInteger(), nullable=True))
    op.create_index("reservations_by_expiry", "reservations", ["state", "expires_at"])
    waiting = sa.Column("state", sa.String(length=16), nullable=False, server_default="waiting")
    op.add_column("outbox", waiting)
    tries = sa.Column("num_tries", sa.Integer(), nullable=False, server_default="0")
    op.add_column("outbox", tries)
    next_at = sa.Column("next_at", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("outbox", next_at)
    op.add_column("outbox", sa.Column("reason", sa.Text(), nullable=True))
    op.create_index("outbox_by_state", "outbox", ["state", "next_at"])


def downgrade() -> None:
    op.drop_index("outbox_by_state", table_name="outbox")
    for column in ("reason", "next_at", "num_tries", "state"):
        op.drop_column("outbox", column)
    op.drop_index("reservations_by_expiry", table_name="reservations")
    for column in ("excludes_until", "exclusion_group", "expires_at", "state", "channel"):
        op.drop_column("reservations", column)
    op.drop_table("suppressions")
    op.drop_table("channel_caps")
    op.drop_column("campaigns", "rules")
