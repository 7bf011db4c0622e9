"""A PostgreSQL database as a stranger reads it: one connection a statement."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # asyncpg has no types


class PostgresView:
    """Implements `DatabaseView` over a server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """See DatabaseView."""
        return asyncio.run(self._rows(statement))

    def faults(self) -> list[str]:
        """See DatabaseView: nobody but the server itself could tell."""
        return []

    async def _rows(self, statement: str) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(self.url)
        try:
            return [tuple(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()
