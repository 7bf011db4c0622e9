"""What an error of PostgreSQL means for the one who asked: again, lost, an outage, or our bug."""

from __future__ import annotations

from enum import Enum
from typing import Final

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from hms_svc.domain.errors import BadSetting

FAILURES: Final = (SQLAlchemyError, OSError)
"""What a call of the engine raises when it is the database that failed."""


class Fault(Enum):
    """What to do about an error."""

    AGAIN = "nothing was committed, and the same transaction may succeed now"
    LOST = "the connection is gone"
    OUTAGE = "the database cannot serve"
    OURS = "our own mistake"


_AGAIN: Final = {
    "40001": "serialization",
    "40P01": "deadlock",
    "23505": "somebody else was first with the same unique key, and is there to be read now",
    "0A000": "a plan that a migration has made stale",
}
_LOST: Final = {"57P01": "shut down", "57P02": "crashed", "25P03": "idle too long", "57P05": "idle"}
_OUTAGE_CLASSES: Final = frozenset({"08", "28", "3D", "53", "57", "58", "XX"})
"""Connections, logins, the database itself, resources, operators, its disk, its own bugs."""
_OUTAGES: Final = {
    "25006": "a standby, or read-only",
    "40001": "serialization, again and again",
    "40P01": "deadlocks, again and again",
    "55P03": "a lock that somebody holds",
    "42501": "no permission",
    "3F000": "no such schema",
    "42P01": "no such table: another schema than ours",
    "42703": "no such column: another schema than ours",
}


_SHARED: Final = frozenset({"42P05", "26000"})
"""A prepared statement that is there already, or not there: the session has changed."""


def shared_sessions(where: object) -> BadSetting:
    """Return the error that a pooler does not keep our sessions."""
    return BadSetting(
        f"{where}: a pooler before it gives each transaction another session (PgBouncer: "
        "pool_mode = transaction or statement); set pool_mode = session for this user or "
        "database, or name the server itself in database_url"
    )


def is_shared_session(error: BaseException) -> bool:
    """Return whether an error shows that our session is not our own."""
    return sqlstate_of(error) in _SHARED


def sqlstate_of(error: BaseException) -> str:
    """Return the five characters of PostgreSQL's code, empty where the error is not the server's."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    return getattr(origin, "sqlstate", None) or ""


def fault_of(error: BaseException) -> Fault:
    """Return what an error means."""
    state = sqlstate_of(error)
    if state in _AGAIN:
        return Fault.AGAIN
    if state in _LOST or state.startswith("08"):
        return Fault.LOST
    if state in _OUTAGES or state[:2] in _OUTAGE_CLASSES:
        return Fault.OUTAGE
    if isinstance(error, PoolTimeout | TimeoutError):
        return Fault.OUTAGE
    if isinstance(error, DBAPIError):
        lost = error.connection_invalidated or (not state and _is_closed(error))
        return Fault.LOST if lost else Fault.OURS
    return Fault.LOST if isinstance(error, OSError) else Fault.OURS


def is_outage_after_all(error: BaseException) -> bool:
    """Return whether an error that trying again did not mend is the database's, not ours."""
    return sqlstate_of(error) in _OUTAGES


def text_of(error: BaseException) -> str:
    """Return the server's own words, in one line, without the statement and its values."""
    if isinstance(error, PoolTimeout):
        return "every connection of the pool is in use (database_pool_size)"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    origin = error.orig if isinstance(error, DBAPIError) else error
    while origin is not None and origin.__cause__ is not None:
        origin = origin.__cause__
    message = getattr(origin, "message", None) or str(origin) or type(origin).__name__
    return " ".join(str(message).split())


def _is_closed(error: DBAPIError) -> bool:
    return "connection" in str(error.orig) and "closed" in str(error.orig)
