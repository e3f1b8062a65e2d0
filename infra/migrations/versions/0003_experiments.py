"""Experiments: how they were set, who was exposed to which arm, and the arms of a decision."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "experiments",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("layer", sa.String(length=128), nullable=False),
        sa.Column("position", sa.Float(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("stopped_at", sa.BigInteger(), nullable=True),
        sa.Column("stop_reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "exposures",
        sa.Column("experiment", sa.String(length=128), nullable=False),
        sa.Column("user_id", sa.String(length=128), nullable=False),
        sa.Column("arm", sa.String(length=64), nullable=False),
        sa.Column("exposed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("experiment", "user_id"),
    )
    op.add_column("decisions", sa.Column("arms", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("decisions", "arms")
    op.drop_table("exposures")
    op.drop_table("experiments")
