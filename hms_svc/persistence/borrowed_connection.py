"""A SQLAlchemy connection over a raw one that is in somebody else's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, cast

from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool


class _Borrowed:
    """Statements pass; commit, rollback and close are the owner's, whatever SQLAlchemy thinks."""

    isolation_level: str | None = None

    def __init__(self, owned: sqlite3.Connection) -> None:
        self.cursor = owned.cursor
        self.create_function = owned.create_function

    def commit(self) -> None:
        """Leave it to the owner."""

    def rollback(self) -> None:
        """Leave it to the owner."""

    def close(self) -> None:
        """Leave it to the owner."""


def borrow(owned: sqlite3.Connection) -> Connection:
    """Bind a connection of SQLAlchemy to an open one; whoever owns it commits and closes."""
    creator = cast("Callable[[], Any]", lambda: _Borrowed(owned))
    engine = create_engine(
        "sqlite://", creator=creator, poolclass=NullPool, isolation_level="AUTOCOMMIT"
    )
    return engine.connect()
