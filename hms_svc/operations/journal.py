"""The audit of operators' actions: the intent is recorded before anything is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hms_svc.domain.errors import Refused
from hms_svc.domain.strict_json import encode
from hms_svc.domain.views import AuditRecord
from hms_svc.ports.clock import Clock
from hms_svc.ports.database import Database


class Journal:
    """Records what an operator is about to do, and its outcome."""

    def __init__(
        self, database: Database | None, clock: Clock, *, actor: str, read_only: bool
    ) -> None:
        self._database = database
        self._clock = clock
        self.actor = actor
        self._read_only = read_only

    def now_ms(self) -> int:
        """Return Unix milliseconds."""
        return self._clock.now_ms()

    def check_allowed(self, action: str) -> Database:
        """Return the database to record in; raises Refused in read-only mode or without one."""
        if self._read_only:
            raise Refused(f"{action} is not allowed: this session is read-only")
        if self._database is None:
            raise Refused(
                f"{action} is not possible: without the database there is no audit record"
            )
        return self._database

    async def intend(self, action: str, subject: str, detail: Mapping[str, object]) -> None:
        """Record what is about to be done. If this raises, nothing may be done."""
        await self._write(action, [(subject, {"phase": "intent", **detail})])

    async def conclude(
        self, action: str, outcomes: Iterable[tuple[str, Mapping[str, object]]]
    ) -> None:
        """Record the outcome for each subject."""
        rows = [(subject, {"phase": "outcome", **detail}) for subject, detail in outcomes]
        await self._write(action, rows)

    async def _write(self, action: str, rows: list[tuple[str, dict[str, object]]]) -> None:
        database = self.check_allowed(action)
        now = self._clock.now_ms()
        await database.audit.append(
            [
                AuditRecord(
                    at=now, actor=self.actor, action=action, subject=subject, detail=encode(detail)
                )
                for subject, detail in rows
            ]
        )
