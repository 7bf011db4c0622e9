"""What an error of PostgreSQL means for the caller: retry, connection lost, outage, or bug."""

from __future__ import annotations

from enum import Enum
from typing import Final

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from hms_svc.domain.errors import BadSetting

FAILURES: Final = (SQLAlchemyError, OSError)
"""The errors of a call to the engine if the database failed."""


class PostgresFailure(Enum):
    """The meaning of an error."""

    AGAIN = "nothing was committed, and the same transaction may succeed now"
    LOST = "the connection is gone"
    OUTAGE = "the database cannot serve"
    BUG = "an error of this program"


_AGAIN: Final = {
    "40001": "serialization",
    "40P01": "deadlock",
    "23505": "another transaction inserted the same unique key first, and can be read now",
    "0A000": "a plan that a migration made stale",
}
_LOST: Final = {"57P01": "shut down", "57P02": "crashed", "25P03": "idle too long", "57P05": "idle"}
_OUTAGE_CLASSES: Final = frozenset({"08", "28", "3D", "53", "57", "58", "XX"})
"""Connections, logins, the database itself, resources, operators, its disk, internal errors."""
_OUTAGES: Final = {
    "25006": "a standby, or read-only",
    "40001": "repeated serialization failures",
    "40P01": "repeated deadlocks",
    "55P03": "a lock that another session holds",
    "42501": "no permission",
    "3F000": "no such schema",
    "42P01": "no such table: not our schema",
    "42703": "no such column: not our schema",
}


_SHARED: Final = frozenset({"42P05", "26000"})
"""A prepared statement that exists already or is missing: the session has changed."""


def shared_sessions(where: object) -> BadSetting:
    """Return the error for a pooler that shares sessions between clients."""
    return BadSetting(
        f"{where}: a pooler in front of it uses another session for each transaction (PgBouncer: "
        "pool_mode = transaction or statement); set pool_mode = session for this user or "
        "database, or use the address of the server itself in database_url"
    )


def is_shared_session(error: BaseException) -> bool:
    """Return whether an error shows that the session is shared with other clients."""
    return sqlstate_of(error) in _SHARED


def sqlstate_of(error: BaseException) -> str:
    """Return PostgreSQL's five-character code, empty if the error is not from the server."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    return getattr(origin, "sqlstate", None) or ""


def drivers_error(error: DBAPIError) -> BaseException:
    """Return the error of asyncpg that SQLAlchemy has wrapped."""
    wrapped = error.orig
    return error if wrapped is None else wrapped.__cause__ or wrapped


def fault_of(error: BaseException) -> PostgresFailure:
    """Return what an error means."""
    state = sqlstate_of(error)
    if state in _AGAIN:
        return PostgresFailure.AGAIN
    if state in _LOST or state.startswith("08"):
        return PostgresFailure.LOST
    if state in _OUTAGES or state[:2] in _OUTAGE_CLASSES:
        return PostgresFailure.OUTAGE
    if isinstance(error, PoolTimeout | TimeoutError):
        return PostgresFailure.OUTAGE
    if isinstance(error, DBAPIError):
        lost = error.connection_invalidated or (not state and _is_closed(error))
        return PostgresFailure.LOST if lost else PostgresFailure.BUG
    return PostgresFailure.LOST if isinstance(error, OSError) else PostgresFailure.BUG


def is_outage_after_all(error: BaseException) -> bool:
    """Return whether an error that remains after retries is an outage, not a bug."""
    return sqlstate_of(error) in _OUTAGES


def text_of(error: BaseException) -> str:
    """Return the server's message in one line, without the statement and its values."""
    if isinstance(error, PoolTimeout):
        return "all connections of the pool are in use (database_pool_size)"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    origin = error.orig if isinstance(error, DBAPIError) else error
    while origin is not None and origin.__cause__ is not None:
        origin = origin.__cause__
    message = getattr(origin, "message", None) or str(origin) or type(origin).__name__
    return " ".join(str(message).split())


def _is_closed(error: DBAPIError) -> bool:
    return "connection" in str(error.orig) and "closed" in str(error.orig)
