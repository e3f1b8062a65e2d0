"""What was done to a shopper is found without a look at all else that is known of them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "treatments_by_user",
        "events",
        ["user_id"],
        sqlite_where=sa.text("kind = 'treatment'"),
        postgresql_where=sa.text("kind = 'treatment'"),
    )


def downgrade() -> None:
    op.drop_index("treatments_by_user", table_name="events")
