"""Where imported rows come from: finished files, sources of events, origins of fields."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "event_sources",
        sa.Column("event_id", sa.String(length=128), nullable=False),
        sa.Column("source", sa.String(length=256), nullable=False),
        sa.Column("precedence", sa.Integer(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=True),
        sa.Column("told_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", "source"),
    )
    op.create_table(
        "imported_files",
        sa.Column("file_id", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=256), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("content", sa.String(length=64), nullable=False),
        sa.Column("id_columns", sa.JSON(), nullable=False),
        sa.Column("num_chunks", sa.Integer(), nullable=False),
        sa.Column("finished", sa.Boolean(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("imported_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("file_id"),
    )
    op.create_index(op.f("ix_imported_files_content"), "imported_files", ["content"], unique=False)
    op.add_column("items", sa.Column("origins", sa.JSON(), nullable=True))
    op.add_column("users", sa.Column("origins", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("users", "origins")
    op.drop_column("items", "origins")
    op.drop_index(op.f("ix_imported_files_content"), table_name="imported_files")
    op.drop_table("imported_files")
    op.drop_table("event_sources")
