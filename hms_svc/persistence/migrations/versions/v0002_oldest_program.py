"""The schema records the oldest supported program; places are found by their cell alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Only adds, except for a rebuilt index: programs that know 0001 still work."""
    info = op.create_table("schema_info", sa.Column("oldest_program", sa.Text, primary_key=True))
    op.bulk_insert(info, [{"oldest_program": "0001"}])
    _index_places("open_cell")
    if op.get_context().dialect.name == "postgresql":
        op.create_index("job_fences_by_fence", "job_fences", ["fence"])


def downgrade() -> None:
    """Revert the changes."""
    if op.get_context().dialect.name == "postgresql":
        op.drop_index("job_fences_by_fence", "job_fences")
    _index_places("kind", "open_cell")
    op.drop_table("schema_info")


def _index_places(*columns: str) -> None:
    open_ones = sa.text("open_cell IS NOT NULL")
    op.drop_index("cases_open_place", "cases")
    op.create_index(
        "cases_open_place", "cases", columns, sqlite_where=open_ones, postgresql_where=open_ones
    )
