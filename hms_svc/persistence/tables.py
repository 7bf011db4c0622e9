"""All tables in this version of the schema. Times are Unix milliseconds, bytes are JSON.

A change here needs a migration; a test compares the two.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

METADATA: Final = MetaData()
_COUNTED: Final[dict[str, Any]] = {"sqlite_autoincrement": True}
"""Numbers are never reused, even if the newest row was removed."""


def _number() -> Column[int]:
    return Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True)


job_fences: Final = Table(
    "job_fences",
    METADATA,
    _number(),
    Column("job_id", Text, nullable=False, unique=True),
    Column("fence", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index("job_fences_by_fence", "fence").ddl_if(dialect="postgresql"),
)
"""The highest fence of each job, and when it was raised."""

cases: Final = Table(
    "cases",
    METADATA,
    _number(),
    Column("id", Text, nullable=False, unique=True),
    Column("job_id", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("vetted", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("lat", Double),
    Column("lon", Double),
    Column("open_cell", BigInteger),
    Column("user_id", Text),
    Column("urgency", Integer),
    Column("opened_at", BigInteger, nullable=False),
    Column("closed_at", BigInteger),
    Column("data", LargeBinary, nullable=False),
    UniqueConstraint("job_id", "key", name="cases_effect"),
    Index(
        "cases_open_place",
        "open_cell",
        sqlite_where=text("open_cell IS NOT NULL"),  # naming PostgreSQL here would load its dialect
    ),
    Index("cases_by_status", "status", "number"),
    Index("cases_by_kind", "kind", "number"),
)
"""A case is the effect (job_id, key); `open_cell` is its grid cell while it is open."""

job_effects: Final = Table(
    "job_effects",
    METADATA,
    _number(),
    Column("job_id", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("vetted", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    UniqueConstraint("job_id", "key", name="job_effects_once"),
)
"""The transactions of jobs with tables of the application, each the effect (job_id, key)."""

reports: Final = Table(
    "reports",
    METADATA,
    _number(),
    Column("user_id", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    UniqueConstraint("user_id", "job_id", name="reports_once"),
    Index("reports_by_user", "user_id", "at"),
)
"""The jobs that counted as reports of each user; kept for a day."""

outbox: Final = Table(
    "outbox",
    METADATA,
    _number(),
    Column("kind", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("published_at", BigInteger),
    Index(
        "outbox_waiting",
        "number",
        sqlite_where=text("published_at IS NULL"),
    ),
    **_COUNTED,
)
"""`kind` event: `data` is its data. `kind` job: `data` is the whole job."""

audit: Final = Table(
    "audit",
    METADATA,
    _number(),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", LargeBinary, nullable=False),
    Column("link", BigInteger, unique=True),
    Column("digest", Text, nullable=False, server_default=""),
    Index("audit_by_subject", "subject", "number"),
    **_COUNTED,
)

approvals: Final = Table(
    "approvals",
    METADATA,
    Column("job_id", Text, primary_key=True),
    Column("action", Text, primary_key=True),
    Column("rule", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("by", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)
"""Used by programs up to schema 0003; approvals are in the broker now. To be dropped later."""

archive: Final = Table(
    "archive",
    METADATA,
    _number(),
    Column("job_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("finished_at", BigInteger, nullable=False),
    Column("detail", LargeBinary, nullable=False),
    UniqueConstraint("job_id", "finished_at", name="archive_once"),
    Index("archive_by_end", "finished_at", "number"),
)
"""One row for each end of a job: an id may be used again once its job has left the broker."""

analytics_deltas: Final = Table(
    "analytics_deltas",
    METADATA,
    _number(),
    Column("metric", Text, nullable=False),
    Column("hour", BigInteger, nullable=False),
    Column("n", BigInteger, nullable=False),
)
analytics_totals: Final = Table(
    "analytics_totals",
    METADATA,
    Column("metric", Text, primary_key=True),
    Column("hour", BigInteger, primary_key=True),
    Column("n", BigInteger, nullable=False),
)
"""`hour` is hours since 1970."""

tokens: Final = Table(
    "tokens",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("rate", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
)
"""Tokens of the HTTP API. `digest` is that of the secret; `scopes` are separated by spaces."""

accepted_keys: Final = Table(
    "accepted_keys",
    METADATA,
    _number(),
    Column("key", Text, nullable=False, unique=True),
    Column("request", Text, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
)
"""Requests with an idempotency key: digests of key and request, and the answer."""

schema_info: Final = Table(
    "schema_info",
    METADATA,
    Column("oldest_program", Text, primary_key=True),
)
"""One row: the oldest program, by the newest revision it knows, that this schema still supports."""
