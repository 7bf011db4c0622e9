"""Alembic's entry point: runs migrations on the connection and in the transaction of the caller."""

from __future__ import annotations

from alembic import context

from hms_svc.persistence.schema import VERSION_TABLE
from hms_svc.persistence.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=False,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
context.run_migrations()
