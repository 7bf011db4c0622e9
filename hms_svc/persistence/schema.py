"""The version of the schema: checked cheaply at every start, brought up where we may."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Column, Connection, MetaData, String, Table, insert, inspect, select

from hms_svc.domain.errors import SchemaMismatch
from hms_svc.persistence.tables import METADATA

HEAD: Final = "0001"
"""The newest revision under migrations/versions; revisions are numbers of four digits."""
_ALEMBIC: Final = Table(
    "alembic_version", MetaData(), Column("version_num", String(32), primary_key=True)
)


def read_version(connection: Connection) -> str | None:
    """Give the revision that the database is at, None where it has no schema of ours."""
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    found = connection.execute(select(_ALEMBIC.c.version_num)).scalar()
    return None if found is None else str(found)


def check_version(version: str | None, where: str) -> None:
    """Raise SchemaMismatch unless the database is at our revision."""
    if version == HEAD:
        return
    if version is not None and version > HEAD:
        raise SchemaMismatch(
            f"{where} has schema {version}, this program knows up to {HEAD}: use a newer hms-svc"
        )
    raise SchemaMismatch(
        f"{where} has schema {version or 'none'}, this program needs {HEAD}: "
        "run `hms-svc db migrate`"
    )


def bring_up(connection: Connection, where: str) -> None:
    """Make the schema ours, within the caller's transaction; a newer or foreign one is refused.

    An empty database gets its tables at once, for Alembic takes half a second
    to load; a test proves that migrating leads to the same tables.
    """
    version = read_version(connection)
    if version == HEAD:
        return
    if version is None and not inspect(connection).get_table_names():
        _create(connection)
    elif version is not None and version < HEAD:
        upgrade(connection)
    elif version is None:
        raise SchemaMismatch(f"{where} has tables, but none of ours: name another file")
    else:
        check_version(version, where)


def upgrade(connection: Connection) -> None:
    """Run every migration that is missing, within the caller's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    location = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", location.replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _create(connection: Connection) -> None:
    METADATA.create_all(connection, checkfirst=False)
    _ALEMBIC.create(connection, checkfirst=False)
    connection.execute(insert(_ALEMBIC).values(version_num=HEAD))
