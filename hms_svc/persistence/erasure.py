"""Erases the personal data of jobs in the database: archive, cases, transactions, reports and outbox."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Table, bindparam, delete, null, or_, select, update

from hms_svc.domain.erasure import ERASED, erased_detail
from hms_svc.domain.job import Job
from hms_svc.domain.views import JobDetail
from hms_svc.persistence.engine import Engine
from hms_svc.persistence.statements import among
from hms_svc.persistence.tables import archive, cases, job_effects, outbox, reports

_EVENT: Final = "event"
_read_detail: Final = msgspec.json.Decoder(JobDetail).decode
_read_job: Final = msgspec.json.Decoder(Job).decode
_write: Final = msgspec.json.Encoder().encode

_CASES: Final = (
    update(cases)
    .where(among(cases.c.job_id))
    .values(data=bindparam("erased"), user_id=null(), lat=null(), lon=null(), open_cell=null())
)
_TRANSACTIONS: Final = (
    update(job_effects).where(among(job_effects.c.job_id)).values(value=bindparam("erased"))
)
_REPORTS: Final = delete(reports).where(among(reports.c.job_id))
_ARCHIVED: Final = select(archive.c.number, archive.c.job_id, archive.c.detail).where(
    among(archive.c.job_id)
)
_MESSAGES: Final = select(outbox.c.number).where(or_(among(outbox.c.subject), among(outbox.c.id)))
_NAMED: Final = select(outbox.c.number, outbox.c.kind, outbox.c.data).where(among(outbox.c.number))


class SqlErasure:
    """Implements ports.stores.ErasingStore."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def erase(self, job_ids: Sequence[str]) -> list[str]:
        if not job_ids:
            return []
        # The outbox is searched outside of the transaction.
        messages = await self._engine.read(lambda on: _messages_of(on, job_ids))
        return await self._engine.write(lambda on: _erase(on, job_ids, messages))


def _messages_of(connection: Connection, job_ids: Sequence[str]) -> list[int]:
    """Return the numbers of the outbox rows that are about these jobs, or are one of them."""
    return list(connection.execute(_MESSAGES, {"values": list(job_ids)}).scalars())


def _erase(connection: Connection, job_ids: Sequence[str], messages: Sequence[int]) -> list[str]:
    named = {"values": list(job_ids)}
    connection.execute(_CASES, {**named, "erased": ERASED})
    connection.execute(_TRANSACTIONS, {**named, "erased": ERASED})
    connection.execute(_REPORTS, named)
    _erase_messages(connection, messages)
    archived = connection.execute(_ARCHIVED, named).all()
    erased = [(row.number, _write(erased_detail(_read_detail(row.detail)))) for row in archived]
    _put(connection, archive, "detail", erased)
    return sorted({row.job_id for row in archived})


def _erase_messages(connection: Connection, messages: Sequence[int]) -> None:
    rows = connection.execute(_NAMED, {"values": list(messages)}).all()
    erased = [
        (row.number, ERASED if row.kind == _EVENT else _write(_erased_job(_read_job(row.data))))
        for row in rows
    ]
    _put(connection, outbox, "data", erased)


def _erased_job(job: Job) -> Job:
    return msgspec.structs.replace(
        job,
        data=ERASED,
        unique_key=None,
        traceparent=None,
        tracestate=None,
        meta=None,
        extra=None,
    )


def _put(
    connection: Connection, table: Table, column: str, rows: Sequence[tuple[int, bytes]]
) -> None:
    if rows:
        statement = (
            update(table)
            .where(table.c.number == bindparam("which"))
            .values({column: bindparam("erased")})
        )
        values: list[dict[str, Any]] = [
            {"which": which, "erased": erased} for which, erased in rows
        ]
        connection.execute(statement, values)
