"""The transactions of jobs with tables of the application."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Programs that know 0003 look for the version in another table, and find none."""
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "job_effects",
        sa.Column("number", number, primary_key=True),
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("vetted", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("job_id", "key", name="job_effects_once"),
    )
    op.execute("UPDATE schema_info SET oldest_program = '0004'")


def downgrade() -> None:
    """Revert the changes."""
    op.execute("UPDATE schema_info SET oldest_program = '0001'")
    op.drop_table("job_effects")
