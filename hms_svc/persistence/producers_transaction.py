"""Transactions of producers: their statements, events and jobs in one commit, without a job."""

from __future__ import annotations

from sqlalchemy import Connection

from hms_svc.persistence import outbox
from hms_svc.persistence.engine import Engine
from hms_svc.persistence.statements import write_together
from hms_svc.ports.transactions import Write, Written


class SqlTransactions:
    """Implements ports.transactions.TransactionStore."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def run(self, write: Write, *, seconds: float) -> bool:
        """Commit, and never repeat a commit whose outcome is unknown; see TransactionStore."""
        return await self._engine.transact(
            lambda on: None, write, self._end, seconds=seconds, repeatable=False
        )

    def _end(self, connection: Connection, written: Written) -> bool:
        messages: list[outbox.Message] = [*written.events, *written.follow_ups]
        if not messages:
            return False
        write_together(connection, [outbox.insertion(messages)])
        return not self._engine.notify(connection, outbox.CHANNEL)
