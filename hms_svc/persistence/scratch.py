"""Schemas of a PostgreSQL database that exist for a while, beside that of the installation."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.schema import CreateSchema, DropSchema

from hms_svc.domain.errors import Refused
from hms_svc.persistence.engine import Engine

_NAMES: Final = text("SELECT nspname FROM pg_namespace WHERE nspname LIKE :pattern")


async def make_schema(engine: Engine, name: str) -> None:
    """Create a schema; the engine need not be open. Raise Refused if this user may not."""

    def make(on: Connection) -> None:
        on.execute(CreateSchema(name))

    try:
        await engine.change_schema(make)
    except ProgrammingError as error:
        raise Refused(
            f"{engine.where}: the schema {name} cannot be created: {error.orig}"
        ) from error


async def drop_schema(engine: Engine, name: str) -> None:
    """Drop a schema with all that is in it; the engine need not be open."""

    def drop(on: Connection) -> None:
        on.execute(DropSchema(name, cascade=True, if_exists=True))

    await engine.change_schema(drop)


async def schemas_like(engine: Engine, prefix: str) -> list[str]:
    """Return the names of the schemas that begin with a prefix; the engine need not be open."""
    pattern = prefix.replace("_", r"\_") + "%"
    return await engine.change_schema(
        lambda on: list(on.execute(_NAMES, {"pattern": pattern}).scalars())
    )
