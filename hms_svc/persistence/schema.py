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
from hms_svc.persistence.tables import METADATA, job_fences, schema_info

HEAD: Final = "0004"
"""The newest revision under migrations/versions; revisions are numbers of four digits."""
OLDEST_PROGRAM: Final = "0004"
"""The oldest program, by its HEAD, that the schema at HEAD still supports."""
SCHEMA_LOCK: Final = -2
"""The lock number of migrations; no place has it."""
_TABLE_WAIT: Final = "10s"
VERSION_TABLE: Final = "hms_svc_version"
"""Alembic's table of this program. It has a name of its own, as an application may use Alembic as well."""
_FORMER_TABLE: Final = "alembic_version"
"""Its name up to schema 0003."""


def _version_table(name: str) -> Table:
    return Table(name, MetaData(), Column("version_num", String(32), primary_key=True))


_VERSIONS: Final = _version_table(VERSION_TABLE)
_FORMER: Final = _version_table(_FORMER_TABLE)


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
    has_table = connection.dialect.has_table
    if not has_table(connection, VERSION_TABLE):
        return _read_former(connection)
    found = connection.execute(select(_VERSIONS.c.version_num)).scalar()
    if found is None or found <= HEAD:
        return Version(found)
    # A newer schema says which programs it supports; a foreign table may contain anything.
    if not has_table(connection, "schema_info"):
        return Version(found, found)
    return Version(found, str(connection.execute(select(schema_info.c.oldest_program)).scalar()))


def _read_former(connection: Connection) -> Version:
    """Return the version of a schema up to 0003; none if the former table is that of another program."""
    has_table = connection.dialect.has_table
    if not has_table(connection, _FORMER_TABLE) or not has_table(connection, job_fences.name):
        return Version(None)
    former = Version(connection.execute(select(_FORMER.c.version_num)).scalar())
    return Version(None) if former.is_foreign else former


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
    if version.revision is None:
        _refuse_taken_names(connection, where)
    if version.revision is None and connection.dialect.name != POSTGRESQL:
        create(connection)
    elif version.revision is None or (version.revision < HEAD and not version.is_foreign):
        _rename_former(connection)
        upgrade(connection)
    version = read_version(connection)
    check_version(version, where)
    return str(version.revision)


def _refuse_taken_names(connection: Connection, where: str) -> None:
    """Raise SchemaMismatch for a file of another program, and for a database with tables named as ours."""
    if connection.dialect.name != POSTGRESQL:
        if inspect(connection).get_table_names():
            raise SchemaMismatch(f"{where} has tables of another program: use another file")
        return
    ours = connection.scalar(
        select(func.current_schema())
    )  # others on the search_path do not count
    taken = sorted(METADATA.tables.keys() & set(inspect(connection).get_table_names(ours)))
    if taken:
        raise SchemaMismatch(
            f"{where} has tables of another program with names that hms-svc needs: {', '.join(taken)}. "
            "Use another database, or a schema of its own: create it, and name it in database_url, "
            "such as postgresql://…/city?search_path=hms"
        )


def _rename_former(connection: Connection) -> None:
    """Move the version of a schema up to 0003 to the table's present name, with all of its constraints."""
    former = _read_former(connection).revision
    if former is None or connection.dialect.has_table(connection, VERSION_TABLE):
        return
    _VERSIONS.create(connection)
    connection.execute(insert(_VERSIONS).values(version_num=former))
    _FORMER.drop(connection)


def create(connection: Connection) -> None:
    """Create all tables of the embedded database directly: Alembic takes half a second to load.

    A test checks that the migrations lead to the same tables.
    """
    METADATA.create_all(connection, checkfirst=False)
    _VERSIONS.create(connection, checkfirst=False)
    connection.execute(insert(_VERSIONS).values(version_num=HEAD))
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
