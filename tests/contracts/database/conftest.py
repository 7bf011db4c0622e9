"""The fixtures of these tests; see `tests.support.database_engines`."""

from tests.support.database_engines import (
    another,
    clock,
    database,
    engine,
    hasty,
    make_engine,
    path,
    proxy,
    site,
)

__all__ = [
    "another",
    "clock",
    "database",
    "engine",
    "hasty",
    "make_engine",
    "path",
    "proxy",
    "site",
]
