"""The version of the schema: checked at every start, migrated if allowed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import Column, Connection, MetaData, String, Table, func, insert, inspect, select

from hms_svc.domain.errors import SchemaMismatch
from hms_svc.persistence.engine import Lock
from hms_svc.persistence.statements import POSTGRESQL
from hms_svc.persistence.tables import METADATA, schema_info

HEAD: Final = "0003"
"""The newest revision under migrations/versions; revisions are numbers of four digits."""
OLDEST_PROGRAM: Final = "0001"
"""The oldest program, by its HEAD, that the schema at HEAD still supports."""
SCHEMA_LOCK: Final = -2
"""The lock number of migrations; no place has it."""
_TABLE_WAIT: Final = "10s"
_ALEMBIC: Final = Table(
    "alembic_version", MetaData(), Column("version_num", String(32), primary_key=True)
)


class Version(msgspec.Struct, frozen=True):
    """The revision of a database, None without a schema, and the oldest program that it supports."""

    revision: str | None
    oldest_program: str = ""

    @property
    def is_foreign(self) -> bool:
        """Whether the revision is that of another program that uses Alembic."""
        return self.revision is not None and not re.fullmatch(r"[0-9]{4}", self.revision)

    @property
    def is_supported(self) -> bool:
        """Whether this program works with the schema, including a newer one that still supports it."""
        if self.revision is None or self.is_foreign:
            return False
        return self.revision == HEAD or (self.revision > HEAD and self.oldest_program <= HEAD)


def read_version(connection: Connection) -> Version:
    """Return the version of the database."""
    if not connection.dialect.has_table(connection, "alembic_version"):
        return Version(None)
    found = connection.execute(select(_ALEMBIC.c.version_num)).scalar()
    if found is None or found <= HEAD:
        return Version(found)
    # A newer schema says which programs it supports; a foreign table may contain anything.
    if not connection.dialect.has_table(connection, "schema_info"):
        return Version(found, found)
    return Version(found, str(connection.execute(select(schema_info.c.oldest_program)).scalar()))


def check_version(version: Version, where: str) -> None:
    """Raise SchemaMismatch unless this program works with the schema."""
    if version.is_supported:
        return
    revision = version.revision or "none"
    if version.is_foreign:
        raise SchemaMismatch(
            f"{where} has schema {revision} of another program: use a separate database"
        )
    if version.revision is not None and version.revision > HEAD:
        raise SchemaMismatch(
            f"{where} has schema {revision}, this program supports up to {HEAD}: use a newer hms-svc"
        )
    raise SchemaMismatch(
        f"{where} has schema {revision}, this program needs {HEAD}: run `hms-svc db migrate`"
    )


def migrate(connection: Connection, where: str, lock: Lock) -> str:
    """Migrate the schema within the caller's transaction; return its revision.

    Raise SchemaMismatch for a foreign or too new schema. Of several concurrent callers one
    does the work, and the others find it done.
    """
    lock(connection, [SCHEMA_LOCK])
    version = read_version(connection)
    if version.revision is None and inspect(connection).get_table_names():
        raise SchemaMismatch(f"{where} has tables of another program: use another database")
    if version.revision is None and connection.dialect.name != POSTGRESQL:
        create(connection)
    elif version.revision is None or (version.revision < HEAD and not version.is_foreign):
        upgrade(connection)
    version = read_version(connection)
    check_version(version, where)
    return str(version.revision)


def create(connection: Connection) -> None:
    """Create all tables of the embedded database directly: Alembic takes half a second to load.

    A test checks that the migrations lead to the same tables.
    """
    METADATA.create_all(connection, checkfirst=False)
    _ALEMBIC.create(connection, checkfirst=False)
    connection.execute(insert(_ALEMBIC).values(version_num=HEAD))
    connection.execute(insert(schema_info).values(oldest_program=OLDEST_PROGRAM))


def upgrade(connection: Connection) -> None:
    """Run all missing migrations within the caller's transaction."""
    from alembic import command
    from alembic.config import Config

    if connection.dialect.name == POSTGRESQL:
        # Later transactions queue up behind a migration that waits for a table.
        connection.execute(select(func.set_config("lock_timeout", _TABLE_WAIT, True)))
    config = Config()
    location = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", location.replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
