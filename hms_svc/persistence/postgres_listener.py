"""Receives notices of what other sessions of PostgreSQL have committed, on a connection of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from hms_svc.domain.errors import DatabaseUnavailable
from hms_svc.persistence.postgres_address import PostgresAddress
from hms_svc.persistence.postgres_connector import Connector

log: Final = logging.getLogger("hms_svc.persistence")
_STATEMENT_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 1.0


class OutboxListener:
    """Listens on one channel. A lost connection is opened again by the next `open`."""

    def __init__(self, address: PostgresAddress) -> None:
        self._connector = Connector(address, statement_seconds=_STATEMENT_SECONDS)
        self._connection: Any = None

    async def open(self, channel: str, payload: str, wake: Callable[[], None]) -> None:
        """Have `wake` called for each notice with this payload; does nothing if that is so already.

        Never raises for a server that refuses or does not respond: the caller polls as well.
        """
        if self._connection is not None and not self._connection.is_closed():
            return

        def receive(_connection: Any, _process: int, _channel: str, received: object) -> None:
            if received == payload:
                wake()

        try:
            self._connection = await self._connector.connect()
            await self._connection.add_listener(channel, receive)
        except (DatabaseUnavailable, OSError) as error:
            log.debug("no notices of new rows: %s", error)

    async def close(self) -> None:
        """Disconnect; may be called again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.announce_end(_CLOSE_SECONDS)
