"""The first schema: effects, outbox, audit, approvals, archive, analytics."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create all tables of the first version."""
    _create_effects()
    _create_ledger()
    _create_analytics()


def downgrade() -> None:
    """Drop all tables."""
    for table in (
        "reports",
        "outbox",
        "job_fences",
        "cases",
        "audit",
        "archive",
        "approvals",
        "analytics_totals",
        "analytics_deltas",
    ):
        op.drop_table(table)


def _create_effects() -> None:
    op.create_table(
        "job_fences",
        _number(),
        _need("job_id", sa.Text),
        _need("fence", sa.BigInteger),
        _need("at", sa.BigInteger),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("job_id"),
    )
    op.create_table(
        "cases",
        _number(),
        _need("id", sa.Text),
        _need("job_id", sa.Text),
        _need("key", sa.Text),
        _need("digest", sa.Text),
        _need("vetted", sa.Text),
        _need("kind", sa.Text),
        _need("status", sa.Text),
        sa.Column("lat", sa.Double),
        sa.Column("lon", sa.Double),
        sa.Column("open_cell", sa.BigInteger),
        sa.Column("user_id", sa.Text),
        sa.Column("urgency", sa.Integer),
        _need("opened_at", sa.BigInteger),
        sa.Column("closed_at", sa.BigInteger),
        _need("data", sa.LargeBinary),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("job_id", "key", name="cases_effect"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("cases_by_kind", "cases", ["kind", "number"])
    op.create_index("cases_by_status", "cases", ["status", "number"])
    op.create_index(
        "cases_open_place", "cases", ["kind", "open_cell"], **_where("open_cell IS NOT NULL")
    )
    op.create_table(
        "reports",
        _number(),
        _need("user_id", sa.Text),
        _need("job_id", sa.Text),
        _need("at", sa.BigInteger),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("user_id", "job_id", name="reports_once"),
    )
    op.create_index("reports_by_user", "reports", ["user_id", "at"])


def _create_ledger() -> None:
    op.create_table(
        "outbox",
        _number(),
        _need("kind", sa.Text),
        _need("id", sa.Text),
        _need("type", sa.Text),
        _need("subject", sa.Text),
        _need("at", sa.BigInteger),
        _need("data", sa.LargeBinary),
        sa.Column("published_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("number"),
        sqlite_autoincrement=True,
    )
    op.create_index("outbox_waiting", "outbox", ["number"], **_where("published_at IS NULL"))
    op.create_table(
        "audit",
        _number(),
        _need("at", sa.BigInteger),
        _need("actor", sa.Text),
        _need("action", sa.Text),
        _need("subject", sa.Text),
        _need("detail", sa.LargeBinary),
        sa.Column("link", sa.BigInteger),
        sa.Column("digest", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("link"),
        sqlite_autoincrement=True,
    )
    op.create_index("audit_by_subject", "audit", ["subject", "number"])
    op.create_table(
        "approvals",
        _need("job_id", sa.Text),
        _need("action", sa.Text),
        _need("rule", sa.Text),
        _need("digest", sa.Text),
        _need("by", sa.Text),
        _need("note", sa.Text),
        _need("at", sa.BigInteger),
        sa.PrimaryKeyConstraint("job_id", "action", "rule", "digest"),
    )
    op.create_table(
        "archive",
        _number(),
        _need("job_id", sa.Text),
        _need("type", sa.Text),
        _need("state", sa.Text),
        _need("finished_at", sa.BigInteger),
        _need("detail", sa.LargeBinary),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("job_id", "finished_at", name="archive_once"),
    )
    op.create_index("archive_by_end", "archive", ["finished_at", "number"])


def _create_analytics() -> None:
    op.create_table(
        "analytics_deltas",
        _number(),
        _need("metric", sa.Text),
        _need("hour", sa.BigInteger),
        _need("n", sa.BigInteger),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "analytics_totals",
        _need("metric", sa.Text),
        _need("hour", sa.BigInteger),
        _need("n", sa.BigInteger),
        sa.PrimaryKeyConstraint("metric", "hour"),
    )


def _number() -> sa.Column[int]:
    whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("number", whole, nullable=False)


def _need(name: str, type_: Any) -> sa.Column[Any]:
    return sa.Column(name, type_, nullable=False)


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}
