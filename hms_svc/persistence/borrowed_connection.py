"""A SQLAlchemy connection over a raw one whose owner controls the transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, cast

from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool


class _Borrowed:
    """Passes statements on; commit, rollback and close do nothing, because the owner does them."""

    isolation_level: str | None = None

    def __init__(self, owned: sqlite3.Connection) -> None:
        self.cursor = owned.cursor
        self.create_function = owned.create_function

    def commit(self) -> None:
        """Do nothing: the owner does it."""

    def rollback(self) -> None:
        """Do nothing: the owner does it."""

    def close(self) -> None:
        """Do nothing: the owner does it."""


def borrow(owned: sqlite3.Connection) -> Connection:
    """Return a SQLAlchemy connection over an open one; the owner commits and closes."""
    creator = cast("Callable[[], Any]", lambda: _Borrowed(owned))
    engine = create_engine(
        "sqlite://", creator=creator, poolclass=NullPool, isolation_level="AUTOCOMMIT"
    )
    return engine.connect()
